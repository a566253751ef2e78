"""Pages of changes that stay what they were: the state at the end of a page is part of each message's id.

A page is kept in NATS before any of it is published. A reader that dies before it has moved the cursor finds
it there and does the same page again, with the same ids, although more may have changed at the server.

So an event is repeated under another id only if two readers are at work at once (each may have seen another
end of the same page), or if a server gives a page so large that it cannot be kept. Under the same id it is
repeated when the stream has forgotten it: after its duplicate window.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.source import AccountSource
from veredus.client.results import Changes
from veredus.wire.types import JsonObject


class Pages(AccountSource):
    """``source`` as it is read for one type: ``properties`` of what was created come along, None: all."""

    def __init__(
        self, source: AccountSource, type: str, properties: Sequence[str] | None, bucket: KeyValue
    ) -> None:
        super().__init__(source.client, source.account, source.concurrency)
        self._properties, self._bucket = properties, bucket
        self._key = f"page.{source.account}.{type}"
        self._loaded = False
        self._page: Changes | None = None

    async def changes(
        self, type: str, since: str, properties: Sequence[str] | None
    ) -> tuple[Changes, list[JsonObject]]:
        """As of AccountSource, with the properties that this was made for. Raises NatsError, too."""
        del properties
        page = await self._last()
        if page is not None and page.old_state == since:
            # What comes after it is found from its end.
            return replace(page, has_more_changes=True), []
        page, created = await super().changes(type, since, self._properties)
        if page.new_state != since and (page.created or page.updated or page.destroyed):
            value = msgspec.json.encode(page)
            # A page that the server made larger than we asked for is kept in memory alone.
            if len(value) <= self._bucket.link.max_payload // 2:
                await self._bucket.put(self._key, value)
            self._page = page
        return page, created

    async def _last(self) -> Changes | None:
        if not self._loaded:
            found = await self._bucket.get(self._key)
            self._page = None if found is None else msgspec.json.decode(found[0], type=Changes)
            self._loaded = True
        return self._page
