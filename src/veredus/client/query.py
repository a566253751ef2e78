"""Walk through the results of Foo/query, however long the list is (RFC 8620 §5.5)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from veredus.client.batch import Batch
from veredus.client.calls import GetCall, named
from veredus.client.errors import MethodError, ProtocolError
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)
PAGE = 100


class Query(Generic[R]):
    """An asynchronous iterable of records, fetched a page at a time: query and get in one request.

    A page begins after the last record of the one before (``anchor``), so that records which come or go
    meanwhile neither repeat nor hide others; those that are found may be moved or destroyed on the way.
    Each iteration asks anew.
    """

    def __init__(
        self,
        exchange: Exchange,
        kind: type[R],
        arguments: Mapping[str, Any],
        properties: Sequence[str] | None,
        *,
        limit: int | None = None,
        page: int = PAGE,
        account: Id | None = None,
    ) -> None:
        self._exchange, self._kind, self._arguments, self._properties = exchange, kind, arguments, properties
        self._limit, self._account = limit, account
        if page < 1:
            raise ValueError("page must be 1 or more")
        self._page = max(1, min(page, exchange.session.limits.max_objects_in_get))

    async def __aiter__(self) -> AsyncIterator[R]:
        async for ids, records in self._pages(fetch=True):
            by_id = {record.id: record for record in records}
            for id in ids:
                if id in by_id:  # or it was destroyed between query and get
                    yield by_id[id]

    async def ids(self) -> AsyncIterator[Id]:
        """Only the ids."""
        async for ids, _ in self._pages(fetch=False):
            for id in ids:
                yield id

    async def all(self) -> list[R]:
        """All of them, in a list."""
        return [record async for record in self]

    async def first(self) -> R | None:
        """The first one; None: there is none."""
        async for ids, records in self._pages(fetch=True, at_most=1):
            return records[0] if ids and records else None
        return None

    async def _pages(
        self, *, fetch: bool, at_most: int | None = None
    ) -> AsyncIterator[tuple[list[Id], list[R]]]:
        left = self._limit if at_most is None else at_most
        seen: set[Id] = set()
        walked: list[Id] = []
        last: list[Id] = []
        while left is None or left > 0:
            wanted = self._page if left is None else min(left, self._page)
            ids, records, served = await self._next(walked, wanted, fetch=fetch)
            fresh = [id for id in ids if id not in seen]
            if fresh:
                yield fresh, records
            if len(ids) < min(wanted, served or wanted):
                return
            if ids == last:
                host, name = self._exchange.session.host, named(self._kind)[0]
                raise ProtocolError(host, f"{name}/query gives the same page again, whatever is asked for")
            seen.update(fresh)
            walked += ids
            last = ids
            left = None if left is None else left - len(fresh)

    async def _next(
        self, walked: list[Id], limit: int, *, fetch: bool
    ) -> tuple[list[Id], list[R], int | None]:
        """The page after ``walked``, which may begin with some of it again.

        Its last record may be gone by now, with many before it (who moves what is found moves them all out
        of what is searched), so ever longer steps are taken back, and at last one to the beginning.
        """
        back = 1
        while back <= len(walked):
            try:
                where = {"anchor": walked[-back], "anchorOffset": 1}
                return await self._ask(where, limit, fetch=fetch)
            except MethodError as error:
                if error.type != "anchorNotFound":
                    raise
            back *= 2
        walked.clear()
        return await self._ask({}, limit, fetch=fetch)

    async def _ask(
        self, where: Mapping[str, Any], limit: int, *, fetch: bool
    ) -> tuple[list[Id], list[R], int | None]:
        got: GetCall[R] | None = None
        async with Batch(self._exchange, self._account) as batch:
            query = batch.query(self._kind, limit=limit, **self._arguments, **where)
            if fetch:
                got = batch.get(self._kind, query.ids_ref, self._properties)
        return query.ids, got.list if got else [], query.result.limit
