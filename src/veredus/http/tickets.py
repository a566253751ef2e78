"""POST /jmap/ticket: a one-time ticket for what cannot send an Authorization field (docs/push.md)."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from veredus.http.edge import Edge
from veredus.http.exchange import Exchange
from veredus.http.routes import Route
from veredus.ports import Identity
from veredus.wire.dates import utc_date

# Makes a ticket that stands for an identity; gives it, and when it ends.
Mint = Callable[[Identity], Awaitable[tuple[str, datetime]]]


class Tickets:
    """The endpoint. A ticket never gets another ticket: the route wants an Authorization field."""

    def __init__(self, edge: Edge, mint: Mint) -> None:
        self._edge, self._mint = edge, mint

    def routes(self) -> list[Route]:
        return [Route("/jmap/ticket", {"POST": self._make})]

    async def _make(self, x: Exchange) -> None:
        with self._edge.requests.one(x.identity.user):
            ticket, expires = await self._mint(x.identity)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await x.respond(200, headers, msgspec.json.encode({"ticket": ticket, "expires": utc_date(expires)}))
