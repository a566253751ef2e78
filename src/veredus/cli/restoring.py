"""Restoring a backup into another kind of store, account by account, as a copy does (ADR 0023)."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veredus.cli.common import EXIT_PROBLEMS, Failure, write_note
from veredus.cli.copying import SYSTEM, Copy
from veredus.cli.transfer.progress import Silent, progress
from veredus.ports import Unavailable

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config
    from veredus.ports.moving import Dumps, Moving, Pieces

_DATABASE, _BLOBS = "veredus.db", "blobs"
# In the data directory while a restore is under way: the new ids, so that it can go on with them.
_UNDER_WAY = "restoring.json"


@dataclass(frozen=True, slots=True)
class How:
    """``manifest``: of the backup."""

    manifest: dict[str, Any]
    same_ids: bool
    no_index: bool


def is_file(directory: Path) -> bool:
    """Whether the backup is a SQLite database; else it is a dump of each account."""
    return (directory / _DATABASE).is_file()


@asynccontextmanager
async def _opened(directory: Path, config: "Config") -> "AsyncIterator[Dumps]":
    """The accounts of a backup."""
    from veredus.app import DumpFiles, open_store

    if is_file(directory):
        storage = replace(config.storage, url="sqlite")
        async with open_store(replace(config, data_dir=directory, storage=storage)) as (store, _):
            yield store
    elif DumpFiles.are_in(directory):
        yield DumpFiles(directory)
    else:
        raise Failure(f"{directory} is damaged: it has neither a database nor dumps of accounts")


@contextmanager
def loaded(directory: Path, config: "Config", blobs: Path) -> "Iterator[Config]":
    """The settings of a SQLite database that has what a backup says, for as long as it lasts.

    ``blobs``: the directory of the blobs. Raises Failure when the backup cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="veredus-verify-") as name:
        place = Path(name)
        if blobs.is_dir():
            (place / _BLOBS).symlink_to(blobs.absolute())
        as_data = replace(config, data_dir=place)

        async def load() -> None:
            from veredus.app import open_store

            async with _opened(directory, config) as source, open_store(as_data) as (target, _):
                await Copy(source, target).run(Silent())

        try:
            asyncio.run(load())
        except Unavailable as error:
            raise Failure(str(error), EXIT_PROBLEMS) from error
        yield as_data


def restore(directory: Path, config: "Config", how: How) -> None:
    """Into the store and the blobs of these settings."""
    asyncio.run(_restore(directory, config, how))


async def _restore(directory: Path, config: "Config", how: How) -> None:
    from veredus.app import open_store

    async with (
        _opened(directory, config) as source,
        open_store(config) as (target, registry),
        _new_ids(source, target, config, how) as renamed,
    ):
        if how.manifest.get("blobs", True):
            await _restore_blobs(directory, config)
        work = Copy(renamed, target)
        with progress(await work.total(), is_octets=False) as shown:
            await work.run(shown)
        if not how.no_index:
            from veredus.cli.indexing import rebuild_with

            await rebuild_with(config, target, registry)


async def _restore_blobs(directory: Path, config: "Config") -> None:
    from veredus.app import copy_blobs, open_blobs

    source = await open_blobs(replace(config, data_dir=directory, blobs=replace(config.blobs, url="file")))
    try:
        if config.blobs.url == "file":
            await source.backup(str(config.data_dir / _BLOBS))
            return
        target = await open_blobs(config)
        try:
            done = await copy_blobs(source, target)
        finally:
            await target.close()
        if done.damaged:
            raise Failure(
                f"{len(done.damaged)} blobs of the backup are damaged ({', '.join(done.damaged[:3])}): "
                "`veredus backup verify` names the messages; restore an older backup, or put good copies of "
                "the blobs into its directory"
            )
    finally:
        await source.close()


# ---------------------------------------------------------------- other ids


class _Renamed:
    """The accounts of a backup under other ids; ``system``: a store with what is said of them."""

    def __init__(self, source: "Dumps", system: "Dumps", ids: Mapping[str, str]) -> None:
        self._source, self._system = source, system
        self._ids = ids
        self._old = {new: old for old, new in ids.items()}

    async def accounts(self) -> list[str]:
        return sorted(self._ids.get(account, account) for account in await self._source.accounts())

    async def changed_since(self, account: str, stamp: str) -> None:
        """Of a backup all is loaded anew."""

    def dump(self, account: str, after: str | None = None) -> "Pieces":
        if account == SYSTEM:
            return self._system.dump(account, after)
        return self._source.dump(self._old.get(account, account), after)


@asynccontextmanager
async def _new_ids(source: "Dumps", target: "Moving", config: "Config", how: How) -> "AsyncIterator[Dumps]":
    """The accounts as they are to be restored."""
    note = config.data_dir / _UNDER_WAY
    under_way = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    if under_way.get("at") != how.manifest["at"] or under_way.get("same_ids") is not how.same_ids:
        if await target.accounts():
            raise Failure(
                "there is data in the target already - name an empty database or another --data-dir"
            )
        under_way = {"at": how.manifest["at"], "same_ids": how.same_ids, "ids": {}}
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if how.same_ids:
        write_note(note, under_way)
        yield source
    else:
        async with _system(source, under_way["ids"]) as (system, ids):
            write_note(note, under_way | {"ids": ids})
            yield _Renamed(source, system, ids)
    note.unlink()


@asynccontextmanager
async def _system(source: "Dumps", known: Mapping[str, str]) -> "AsyncIterator[tuple[Dumps, dict[str, str]]]":
    """A store with the accounts' names and users under new ids, and those ids by the old ones."""
    from functools import partial

    from veredus.app import open_app, open_store
    from veredus.config import Config
    from veredus.wire.ids import new_id

    with tempfile.TemporaryDirectory(prefix="veredus-restore-") as name:
        config = Config(data_dir=Path(name))
        async with open_store(config) as (store, _):
            await store.load(SYSTEM, partial(source.dump, SYSTEM))
        async with open_app(config) as opened:
            users = await opened.accounts.users()
            ids = {user["account"]: known.get(user["account"]) or new_id("a") for user in users}
            await renamed(opened, ids)
        async with open_store(config) as (store, _):
            yield store, ids


async def renamed(opened: "App", ids: Mapping[str, str]) -> None:
    """What is said of the accounts is said of their new ids; what they have queued is theirs still."""
    from veredus.outgoing import records

    await opened.accounts.rename(ids)
    async with opened.store.write(SYSTEM) as tx:
        for row in await tx.get(records.QUEUED, None, {"account"}):
            if row["account"] in ids:
                await tx.update(records.QUEUED, row["id"], {"account": ids[row["account"]]})
    # Some were destroyed since; to the others the server that was backed up may still push.
    await opened.web_push.destroy_subscriptions()
