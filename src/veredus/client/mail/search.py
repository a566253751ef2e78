"""The Emails that a search finds (docs/search-grammar.md)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from veredus.client.batch import Sort
from veredus.client.exchange import Exchange
from veredus.client.mail_types import Email
from veredus.client.query import Query
from veredus.client.search import Context, Mailboxes, Node, names_mailboxes, to_filter
from veredus.wire.types import Id, JsonObject

NEWEST_FIRST: Sort = ({"property": "receivedAt", "isAscending": False},)


class Search:
    """An asynchronous iterable of Emails that fetches page by page; each iteration asks anew.

    Raises UnknownMailbox when it is begun, if there is no such Mailbox as ``in:`` says.
    """

    def __init__(
        self,
        exchange: Exchange,
        account: Id,
        node: Node,
        mailboxes: Callable[[], Awaitable[Mailboxes]],
        zone: tzinfo | None,
        *,
        sort: Sort | None,
        properties: Sequence[str] | None,
        limit: int | None,
        page: int,
        collapse_threads: bool,
    ) -> None:
        self._exchange, self._account, self._node, self._mailboxes = exchange, account, node, mailboxes
        self._zone, self._properties, self._limit, self._page = zone, properties, limit, page
        self._arguments: JsonObject = {"sort": sort}
        if collapse_threads:
            self._arguments["collapseThreads"] = True

    async def __aiter__(self) -> AsyncIterator[Email]:
        async for email in await self._query():
            yield email

    async def ids(self) -> AsyncIterator[Id]:
        """Only the ids."""
        async for id in (await self._query()).ids():
            yield id

    async def all(self) -> list[Email]:
        """All of them, in a list."""
        return await (await self._query()).all()

    async def first(self) -> Email | None:
        """The first one; None: there is none."""
        return await (await self._query()).first()

    async def filter(self) -> JsonObject:
        """The filter of Email/query that the search becomes (RFC 8621 §4.4.1)."""
        mailboxes = await self._mailboxes() if names_mailboxes(self._node) else Mailboxes()
        now = datetime.now(UTC)
        return to_filter(self._node, Context(mailboxes, now, self._zone or _local_zone(now)))

    async def _query(self) -> Query[Email]:
        filter = await self.filter()
        arguments: dict[str, Any] = {**self._arguments, "filter": filter or None}
        return Query(
            self._exchange,
            Email,
            arguments,
            self._properties,
            limit=self._limit,
            page=self._page,
            account=self._account,
        )


def _local_zone(now: datetime) -> tzinfo:
    return now.astimezone().tzinfo or UTC
