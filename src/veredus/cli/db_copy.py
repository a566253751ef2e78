"""`veredus db copy`: moving to another store. See docs/moving.md."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit, urlunsplit

import typer

from veredus.cli.common import EXIT_USAGE, Failure, NoIndex
from veredus.cli.opened import data_of

if TYPE_CHECKING:
    from veredus.cli.copying import Copy
    from veredus.config import Config


def copy(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="URL",
            help="postgresql://user@host/database, or a directory: SQLite. A password is better in "
            "PGPASSWORD or ~/.pgpass.",
        ),
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option("--to-file", metavar="FILE", help="A file that has the URL in it.")
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare what an earlier run has copied once more, record by record."),
    ] = False,
    no_index: NoIndex = False,
) -> None:
    """Copy all accounts into another store, compare them, and index their words.

    The server may run meanwhile: run this again, and it copies the accounts that have changed; the last time
    with the server stopped. Interrupted, it goes on when it is run again. Messages (blobs) stay where they
    are: `veredus blob move` moves those.
    """
    import asyncio

    config = data_of(ctx)
    target = target_of(config, to, to_file)
    asyncio.run(_copy(config, target, compare=compare, no_index=no_index))


def target_of(config: "Config", to: str | None, to_file: Path | None) -> "Config":
    """The settings of the target."""
    from veredus.config import checks

    if (to is None) == (to_file is None):
        raise Failure("say where to: either --to URL or --to-file FILE", EXIT_USAGE)
    url = to if to_file is None else to_file.read_text(encoding="utf-8").strip()
    assert url is not None
    if "://" not in url:
        target = replace(config, storage=replace(config.storage, url="sqlite"), data_dir=Path(url))
        is_same = config.storage.url == "sqlite" and target.data_dir.resolve() == config.data_dir.resolve()
    elif (problem := checks.postgres_url(url)) is not None:
        raise Failure(f"--to {_shown(url)}: {problem}", EXIT_USAGE)
    else:
        target = replace(config, storage=replace(config.storage, url=url, replicas=()))
        is_same = _shown(url) == _shown(config.storage.url)
    if is_same:
        raise Failure("the target is the store that is configured: name another", EXIT_USAGE)
    return target


def place_of(config: "Config") -> str:
    """Where the store is, for people: no password."""
    return str(config.data_dir) if config.storage.url == "sqlite" else _shown(config.storage.url)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, user + host, parts.path, "", ""))


async def _copy(config: "Config", target: "Config", *, compare: bool, no_index: bool) -> None:
    from veredus.app import open_store
    from veredus.cli.copying import Copy
    from veredus.cli.indexing import rebuild_with
    from veredus.cli.transfer.progress import progress

    async with open_store(config) as (source_store, _), open_store(target) as (target_store, registry):
        work = Copy(source_store, target_store, compare=compare)
        began = time.monotonic()
        with progress(await work.total(), is_octets=False) as shown:
            await work.run(shown)
        _say(work, time.monotonic() - began, place_of(target))
        changed = await work.changed()
        if not no_index:
            await rebuild_with(config, target_store, registry)
        _what_next(target, changed, no_index=no_index)


def _say(work: "Copy", seconds: float, place: str) -> None:
    rate = f" ({work.records / seconds:.0f} a second)" if work.records else ""
    unchanged = f"; {work.unchanged} accounts have not changed" if work.unchanged else ""
    agree = "every record, state and entry of the log is the same on both sides"
    if not work.is_compared:
        agree = (
            "states and numbers of records are the same on both sides, and --compare compares every record"
        )
    typer.echo(
        f"copied {work.records} records of {work.accounts} accounts to {place} in {seconds:.1f} s{rate}"
        f"{unchanged}; {agree}",
        err=True,
    )


def _what_next(target: "Config", changed: list[str], *, no_index: bool) -> None:
    if no_index:
        typer.echo(
            "no search finds words in what was copied until `veredus index rebuild` has run with the new "
            "settings",
            err=True,
        )
    if changed:
        names = ", ".join(changed[:3]) + ", ..." * (len(changed) > 3)
        typer.echo(
            f"{len(changed)} accounts have changed meanwhile ({names}): stop the server "
            "and run this once more",
            err=True,
        )
        return
    if target.storage.url == "sqlite":
        lines = [f'data_dir = "{target.data_dir.absolute()}"', "[storage]", 'url = "sqlite"']
        more = "\n# the messages, unless they are in S3: copy or move the directory blobs there, too"
    else:
        lines = ["[storage]", f'url = "{_shown(target.storage.url)}"']
        more = "\n# with its password in the URL, or in PGPASSWORD or ~/.pgpass of the server"
    typer.echo("If no server has been running meanwhile, change veredus.toml and start it:\n", err=True)
    typer.echo("\n".join(lines) + more)
