"""What is there, oldest first: read when there is no cursor, or the server cannot calculate changes from it.

The state is read and kept before anything else, so that what changes meanwhile is found from it afterwards;
what is found both times has the same message id. A snapshot that is interrupted goes on where it was.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec
import structlog
from msgspec import Struct, field

from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.settings import SnapshotSettings
from veredus.bridge.source import AccountSource
from veredus.wire.types import JsonObject

log = structlog.get_logger("veredus.bridge")


class Progress(Struct):
    """``state``: where following begins afterwards. ``after``: what was received before it is done.

    ``from_state``: from which the server could not calculate changes; None: there was no cursor, or somebody
    has asked for the snapshot. ``run``: of this snapshot alone, however often it is interrupted.
    ``wanted``: False when nothing old is to be read at all, which is not kept.
    """

    state: str
    after: str | None = None
    from_state: str | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    wanted: bool = True


# Gets a page of records, oldest first.
Take: TypeAlias = Callable[[Sequence[JsonObject], Progress], Awaitable[None]]


class Snapshot:
    """One for each track. Emails are read as the settings say; of other types there are few, and the settings
    only say whether they are read at all."""

    def __init__(
        self,
        source: AccountSource,
        bucket: KeyValue,
        pipeline: str,
        settings: SnapshotSettings,
        *,
        type: str = "Email",
    ) -> None:
        self._source, self._bucket, self._settings = source, bucket, settings
        self._pipeline, self._type = pipeline, type
        self._key = f"snap.{source.account}.{pipeline}.{type}"

    async def run(
        self,
        old_state: str | None,
        properties: Sequence[str] | None,
        take: Take,
        lost: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> str:
        """Read what the settings say, or what is left of it; the state from which following goes on. Keep it,
        and say so (``done``).

        ``lost`` is told first when the server could not calculate; once more after an interruption.
        """
        progress = await self._load() or await self._start(old_state)
        if progress.from_state is not None and lost is not None:
            await lost(progress)
        if not progress.wanted:
            return progress.state
        about = {"account": self._source.account, "pipeline": self._pipeline, "type": self._type}
        log.info("snapshot", after=progress.after, **about)
        async for page in self._pages(progress.after, properties):
            await take(page, progress)
            progress.after = (page[-1].get("receivedAt") if page else None) or progress.after
            await self._bucket.put(self._key, msgspec.json.encode(progress))
        log.info("snapshot_ends", **about)
        return progress.state

    async def done(self) -> None:
        """What ``run`` gave is kept: from now on it would begin anew."""
        if await self.is_asked():
            await self._bucket.delete(self._key)

    async def ask(self, after: str | None, since: str | None = None) -> str:
        """Let the next ``run`` read everything received since ``after`` (UTCDate; None: everything).

        ``since``: where the cursor stands, if there is one: what has changed after it is still to be read.
        Gives the state from which following will go on.
        """
        state = since or await self._source.state(self._type)
        await self._bucket.put(self._key, msgspec.json.encode(Progress(state, after)))
        return state

    async def is_asked(self) -> bool:
        """Whether there is one to be done: asked for, or interrupted."""
        return await self._bucket.get(self._key) is not None

    async def _load(self) -> Progress | None:
        found = await self._bucket.get(self._key)
        return None if found is None else msgspec.json.decode(found[0], type=Progress)

    async def _start(self, old_state: str | None) -> Progress:
        mode = self._settings.mode
        if mode == "when_needed":
            mode = "recent" if old_state is None else "full"
        progress = Progress(await self._source.state(self._type), from_state=old_state)
        if mode == "none":
            progress.wanted = False
            return progress
        if mode == "recent" and self._type in ("Email", "Thread"):
            progress.after = await self._oldest_of_recent()
        await self._bucket.put(self._key, msgspec.json.encode(progress))
        return progress

    async def _oldest_of_recent(self) -> str | None:
        """When the oldest of the newest ``limit`` was received; None: there are not so many."""
        newest = self._query(None, ["receivedAt"], ascending=False, position=self._settings.limit - 1)
        oldest = await newest.first()
        return None if oldest is None else oldest.get("receivedAt")

    async def _pages(
        self, after: str | None, properties: Sequence[str] | None
    ) -> AsyncIterator[list[JsonObject]]:
        match self._type:
            case "Email":
                pages = self._emails(after, properties or ())
            case "Thread":
                pages = self._threads(after)
            case _:
                pages = self._others()
        async for page in pages:
            yield page

    async def _emails(self, after: str | None, properties: Sequence[str]) -> AsyncIterator[list[JsonObject]]:
        page: list[JsonObject] = []
        wanted = sorted({*properties, "receivedAt"})
        async for record in self._query(_a_second_before(after), wanted, ascending=True):
            if after is not None and _second(record.json.get("receivedAt")) < _second(after):
                continue
            page.append(record.json)
            if len(page) == self._source.most:
                yield page
                page = []
        if page:
            yield page

    async def _threads(self, after: str | None) -> AsyncIterator[list[JsonObject]]:
        """By their Emails: there may be too many to get at once, and there is no Thread/query."""
        async for emails in self._emails(after, ["threadId"]):
            ids = dict.fromkeys(email["threadId"] for email in emails)
            yield await self._source.get("Thread", list(ids), None)

    async def _others(self) -> AsyncIterator[list[JsonObject]]:
        records = await self._source.all(self._type)
        for at in range(0, len(records), self._source.most):
            yield records[at : at + self._source.most]

    def _query(self, after: str | None, properties: Sequence[str], *, ascending: bool, **extra: Any) -> Any:
        return self._source.client.query(
            "Email",
            {"after": after} if after else None,
            [{"property": "receivedAt", "isAscending": ascending}],
            properties=properties,
            page=self._source.most,
            account=self._source.account,
            **extra,
        )


def _a_second_before(after: str | None) -> str | None:
    """RFC 8621 §4.4.1 says "the same or after"; some servers (Stalwart) leave out the same."""
    try:
        moment = datetime.fromisoformat(_second(after))
    except ValueError:
        return after
    return (moment - timedelta(seconds=1)).isoformat() + "Z"


def _second(date: Any) -> str:
    """A UTCDate without fraction and zone: so they can be compared."""
    return str(date or "")[:19]
