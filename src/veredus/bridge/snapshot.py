"""What is there, oldest first: read when there is no cursor, or the server cannot calculate changes from it.

The state is read and kept before anything else, so that what changes meanwhile is found from it afterwards;
what is found both times has the same message id. A snapshot that is interrupted goes on where it was.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.settings import SnapshotSettings
from veredus.bridge.source import AccountSource
from veredus.wire.types import JsonObject

log = structlog.get_logger("veredus.bridge")


class Progress(Struct):
    """``state``: where following begins afterwards. ``after``: what was received before it is done."""

    state: str
    after: str | None = None


class Snapshot:
    """One for each track. ``Take`` gets pages of Emails, oldest first, and the state of the snapshot."""

    def __init__(
        self, source: AccountSource, bucket: KeyValue, pipeline: str, settings: SnapshotSettings
    ) -> None:
        self._source, self._bucket, self._settings = source, bucket, settings
        self._key = f"snap.{source.account}.{pipeline}.Email"

    async def run(
        self,
        old_state: str | None,
        properties: Sequence[str],
        take: Callable[[Sequence[JsonObject], str], Awaitable[None]],
    ) -> str:
        """Read what the settings say, or what is left of it; the state from which following goes on."""
        progress = await self._load() or await self._start(old_state)
        if progress is None:
            return await self._source.state("Email")
        log.info("snapshot", account=self._source.account, after=progress.after)
        async for page in self._pages(progress.after, properties):
            await take(page, progress.state)
            progress.after = page[-1].get("receivedAt") or progress.after
            await self._bucket.put(self._key, msgspec.json.encode(progress))
        await self._bucket.delete(self._key)
        return progress.state

    async def ask(self, after: str | None, since: str | None = None) -> str:
        """Let the next ``run`` read everything received since ``after`` (UTCDate; None: everything).

        ``since``: where the cursor stands, if there is one, for what has changed after it is still to be read.
        Gives the state from which following will go on.
        """
        state = since or await self._source.state("Email")
        await self._bucket.put(self._key, msgspec.json.encode(Progress(state, after)))
        return state

    async def is_asked(self) -> bool:
        """Whether there is one to be done: asked for, or interrupted."""
        return await self._bucket.get(self._key) is not None

    async def _load(self) -> Progress | None:
        found = await self._bucket.get(self._key)
        return None if found is None else msgspec.json.decode(found[0], type=Progress)

    async def _start(self, old_state: str | None) -> Progress | None:
        """None: nothing old is wanted."""
        mode = self._settings.mode
        if mode == "when_needed":
            mode = "recent" if old_state is None else "full"
        if mode == "none":
            return None
        progress = Progress(await self._source.state("Email"))
        if mode == "recent":
            progress.after = await self._oldest_of_recent()
        await self._bucket.put(self._key, msgspec.json.encode(progress))
        return progress

    async def _oldest_of_recent(self) -> str | None:
        """When the oldest of the newest ``limit`` was received; None: there are not so many."""
        newest = self._query(None, ["receivedAt"], ascending=False, position=self._settings.limit - 1)
        oldest = await newest.first()
        return None if oldest is None else oldest.get("receivedAt")

    async def _pages(self, after: str | None, properties: Sequence[str]) -> AsyncIterator[list[JsonObject]]:
        page: list[JsonObject] = []
        wanted = sorted({*properties, "receivedAt"})
        async for record in self._query(after, wanted, ascending=True):
            page.append(record.json)
            if len(page) == self._source.most:
                yield page
                page = []
        if page:
            yield page

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
