"""All records of one type, in pages: by Foo/query where there is one (RFC 8620 §5.5)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from veredus.client.batch import Batch
from veredus.client.calls import named
from veredus.client.chunks import get_in_chunks
from veredus.client.errors import JMAPError, MethodError, ProtocolError
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.client.results import Got
from veredus.client.watch.patience import Patience
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
# Types whose records may be very many, and how they are listed: oldest first, where they have an age.
_LISTED: dict[str, list[JsonObject]] = {
    "Email": [{"property": "receivedAt", "isAscending": True}],
    "EmailSubmission": [{"property": "sentAt", "isAscending": True}],
    "ContactCard": [],
    "CalendarEvent": [],
}


class CannotList(JMAPError):
    """There are more records than one Foo/get gives, and the type has no Foo/query that could name them."""

    def __init__(self, host: str, type: str, account: Id, most: int) -> None:
        super().__init__(
            f"{host}: account {account} has more {type} than maxObjectsInGet = {most}, and there is no "
            f"{type}/query: all of them cannot be read. Watch {type} with start='now', or get them by id"
        )
        self.host, self.type, self.account = host, type, account


def since(after: str) -> str:
    """For a filter, where all that was received before ``after`` (UTCDate) is done.

    RFC 8621 §4.4.1 says "the same or after"; some servers (Stalwart) leave out the same.
    """
    return f"{datetime.fromisoformat(after) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"


class Listed(Struct, Generic[R]):
    """``state``: that these were read at. ``after``: all is read that was received before (UTCDate; None: not
    known). ``is_end``: when they were read, none came after them."""

    records: list[R]
    state: str
    after: str | None = None
    is_end: bool = False


class Listing(Generic[R]):
    """Reads with patience. ``properties`` None: all. ``extra``: further arguments of Foo/get."""

    def __init__(
        self,
        exchange: Exchange,
        kind: type[R] | str,
        account: Id,
        properties: Sequence[str] | None,
        patience: Patience,
        extra: Mapping[str, Any],
    ) -> None:
        self._exchange, self._account = exchange, account
        self.type, self.kind = named(kind)
        self._properties, self._patience, self._extra = properties, patience, extra
        # How far a pass is, is known by this property; who did not ask for it does not get it.
        self._adds_date = self.type == "Email" and properties is not None and "receivedAt" not in properties

    def pages(self, filter: Mapping[str, Any] | None, page: int) -> AsyncIterator[Listed[R]]:
        """Oldest first; ``page``: at most so many at a time. Raises CannotList.

        Where records come all the time there may be no last page: see ``is_end``.
        """
        return self._queried(filter, page) if self.type in _LISTED else self._whole(page)

    async def _whole(self, page: int) -> AsyncIterator[Listed[R]]:
        try:
            got = await self._patience.ask(partial(self.get, None, self._properties))
        except MethodError as error:
            if error.method != f"{self.type}/query" or error.type != "unknownMethod":
                raise
            async for listed in self._of_emails(page):
                yield listed
            return
        for at in range(0, len(got.list), page):
            yield Listed(got.list[at : at + page], got.state)

    async def _of_emails(self, page: int) -> AsyncIterator[Listed[R]]:
        """Threads have no /query (RFC 8621 §3): each has an Email that names it."""
        if self.type != "Thread":
            session = self._exchange.session
            raise CannotList(session.host, self.type, self._account, session.limits.max_objects_in_get)
        emails: Listing[Record] = Listing(
            self._exchange, "Email", self._account, ["threadId"], self._patience, {}
        )
        seen: set[Id] = set()
        async for found in emails.pages(None, page):
            ids = sorted({email["threadId"] for email in found.records} - seen)
            seen.update(ids)
            got = await self._patience.ask(partial(self.get, ids, self._properties))
            yield Listed(got.list, got.state, is_end=found.is_end)

    async def get(self, ids: Sequence[Id] | None, properties: Sequence[str] | None) -> Got[R]:
        return await get_in_chunks(self._exchange, self.kind, ids, properties, self._account, self._extra)

    async def _queried(self, filter: Mapping[str, Any] | None, page: int) -> AsyncIterator[Listed[R]]:
        seen: set[Id] = set()
        anchors: list[Id] = []
        last: list[Id] = []
        while True:
            try:
                ids, got, is_end = await self._patience.ask(partial(self._after, anchors, filter, page))
            except MethodError as error:
                if not anchors or error.type != "anchorNotFound":
                    raise
                # Then after the one before it; when a whole page is gone, from the beginning.
                anchors = anchors[:-1]
                continue
            by_id = {record.id: record for record in got.list}
            fresh = [by_id[id] for id in ids if id in by_id and id not in seen]
            if fresh:
                yield Listed(fresh, got.state, self._received(fresh), is_end=is_end)
            if not ids:
                return
            if ids == last:
                host = self._exchange.session.host
                raise ProtocolError(
                    host, f"{self.type}/query gives the same page again, whatever is asked for"
                )
            seen.update(ids)
            anchors = last = ids

    async def _after(
        self, anchors: Sequence[Id], filter: Mapping[str, Any] | None, page: int
    ) -> tuple[list[Id], Got[R], bool]:
        """(ids, the records, whether none came after them)."""
        where: JsonObject = {"anchor": anchors[-1], "anchorOffset": 1} if anchors else {}
        added = ["receivedAt"] if self._adds_date else []
        properties = None if self._properties is None else [*self._properties, *added]
        async with Batch(self._exchange, self._account) as batch:
            sort = _LISTED[self.type] or None
            query = batch.query(self.kind, filter, sort, limit=page, **where)
            got = batch.get(self.kind, query.ids_ref, properties, **self._extra)
        served = query.result.limit or page
        return query.ids, got.result, len(query.ids) < min(page, served)

    def _received(self, records: list[R]) -> str | None:
        """Of the last one (UTCDate; None: of no such type); it is taken away where it was not asked for."""
        date: str | None = records[-1].get("receivedAt") if self.type == "Email" else None
        if self._adds_date:
            for record in records:
                record.json.pop("receivedAt", None)
        return date
