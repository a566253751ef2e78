"""Which transport tells us of changes, and what happens when it is lost.

The best transport that works is used. One that fails to connect leaves its place to the next, and is tried
again later; one that worked is tried again first. Whatever fails, signals to look at everything go on.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, NoReturn, TypeAlias

from msgspec import Struct

from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, NotSupported, ProtocolError, TransportError, Unauthorized
from veredus.client.http import Connection
from veredus.client.push.eventsource import eventsource
from veredus.client.push.signals import Changed, Connected, Lost, Pending, PushPosition, Transport
from veredus.client.push.transport import Heard, NotOffered, Stream, Wanted
from veredus.client.push.websocket import websocket
from veredus.client.session import Session
from veredus.client.templates import event_source_url
from veredus.wire.websocket import CAPABILITY as WEBSOCKET

SessionProvider: TypeAlias = Callable[[], Awaitable[Session]]
Choice: TypeAlias = Transport | Literal["auto"]
POLL: Transport = "poll"


class Offer(Struct, frozen=True):
    """A transport that the session has."""

    name: Transport
    url: str

    def open(
        self, connection: Connection, wanted: Wanted, position: PushPosition
    ) -> AbstractAsyncContextManager[Stream]:
        """Raises JMAPError."""
        if self.name == "websocket":
            return websocket(connection, self.url, wanted, position.push_state)
        return eventsource(connection, self.url, wanted, position.last_event_id)


class Run:
    """The task behind one stream of signals; it owns every connection that it opens."""

    def __init__(
        self,
        connection: Connection,
        session: SessionProvider,
        wanted: Wanted,
        choice: Choice,
        pending: Pending,
    ) -> None:
        self._connection, self._session, self._wanted = connection, session, wanted
        self._choice, self._pending = choice, pending
        timing = self._timing = wanted.timing
        self._backoff = Backoff(timing.first_backoff_s, timing.longest_backoff_s, timing.healthy_s)
        # Until when a transport is not tried again; times of the loop.
        self._barred: dict[Transport, float] = {}
        self.transport: Transport | None = None
        self.position = PushPosition()
        self.refusals: dict[Transport, JMAPError] = {}

    async def run(self) -> NoReturn:
        """Until cancelled. Raises Unauthorized and NotSupported."""
        if self._choice == POLL:
            await self._poll(None)
        while True:
            try:
                offers = self._offers(await self._current())
            except (Unauthorized, NotSupported):
                raise
            except JMAPError as error:
                await self._wait(None, error)
                continue
            await self._round(offers)

    async def _current(self) -> Session:
        """The session, in time: a server that is half gone must not hold us up. Raises JMAPError."""
        try:
            async with asyncio.timeout(self._timing.connect_s):
                return await self._session()
        except TimeoutError:
            raise TransportError("session", f"no answer within {self._timing.connect_s:g} s") from None

    def _offers(self, session: Session) -> list[Offer]:
        """Best first. Raises JMAPError when the one that was chosen is not among them."""
        urls: dict[Transport, str | None] = {
            "websocket": self._websocket_url(session),
            "eventsource": self._event_source_url(session),
        }
        offers = [Offer(name, url) for name, url in urls.items() if url and self._choice in (name, "auto")]
        if not offers and self._choice != "auto":
            if self._choice in self.refusals:
                raise self.refusals[self._choice]
            raise NotSupported(session.host, WEBSOCKET if self._choice == "websocket" else "eventSourceUrl")
        return offers

    def _websocket_url(self, session: Session) -> str | None:
        url = session.websocket_url
        if url and session.url.startswith("https:") and not url.lower().startswith("wss:"):
            what = f"the session's WebSocket {url} would send credentials without TLS"
            self.refusals["websocket"] = ProtocolError(session.host, what)
            return None
        return url

    def _event_source_url(self, session: Session) -> str | None:
        if not session.event_source_url:
            return None
        try:
            return event_source_url(
                session.event_source_url,
                session.url,
                types=self._wanted.types,
                close_after="state" if self._wanted.closes_after_state else "no",
                ping=math.ceil(self._wanted.ping_s),
            )
        except ProtocolError as error:
            self.refusals["eventsource"] = error
            return None

    async def _round(self, offers: list[Offer]) -> None:
        """Try them, until one has worked and was lost; or wait, if none works."""
        now = asyncio.get_running_loop().time()
        self._barred = {name: until for name, until in self._barred.items() if until > now}
        failed: dict[Transport, JMAPError] = {}
        for offer in offers:
            if offer.name in self._barred:
                continue
            try:
                await self._try(offer, list(failed))
                return
            except Unauthorized:
                raise
            except JMAPError as error:
                failed[offer.name] = self.refusals[offer.name] = error
        passing = [name for name, error in failed.items() if not isinstance(error, NotOffered)]
        if failed and (passing or self._choice != "auto"):
            self._barred.clear()
            name = passing[-1] if passing else next(iter(failed))
            await self._wait(name, failed[name])
            return
        self._bar(list(failed))
        await self._poll(min(self._barred.values(), default=now + self._timing.better_s))

    async def _try(self, offer: Offer, failed: list[Transport]) -> None:
        """As ``_follow``; and once more when there are other credentials."""
        try:
            await self._follow(offer, failed)
        except Unauthorized:
            if not await self._connection.refresh_credentials():
                raise
            await self._follow(offer, failed)

    async def _follow(self, offer: Offer, failed: list[Transport]) -> None:
        """Signal what a transport tells, until it is lost or it is time to try a better one; then wait.

        Raises JMAPError when it did not work at all. ``failed``: the better ones that did not.
        """
        stream: Stream | None = None
        ended: JMAPError | None = None
        try:
            async with offer.open(self._connection, self._wanted, self.position) as stream:
                self._connected(offer, failed)
                # Only the WebSocket is better than another.
                async with asyncio.timeout_at(self._barred.get("websocket")):
                    while (heard := await stream.next()) is not None:
                        self._take(offer, heard)
        except TimeoutError:
            return  # a better one may work by now
        except JMAPError as error:
            if stream is None:
                raise
            if not stream.works:
                self._lost(offer.name, error, 0.0)
                raise
            ended = error
        finally:
            self.transport = None
        if ended is None:  # as agreed, with closeafter
            await asyncio.sleep(self._backoff.next_s())
        else:
            await self._wait(offer.name, ended)

    def _connected(self, offer: Offer, failed: list[Transport]) -> None:
        self._bar(failed)
        self._backoff.connected()
        self.refusals.pop(offer.name, None)
        self.transport = offer.name
        self._pending.put(Connected(offer.name, self.position))

    def _take(self, offer: Offer, heard: Heard) -> None:
        if heard.is_event:
            self._backoff.reset()
        self._stand_at(offer, heard.position)
        if heard.changed:
            self._pending.put(Changed(heard.changed, self.position))

    def _stand_at(self, offer: Offer, said: str | None) -> None:
        """``said``: by the server on this transport; the other one knows nothing of it."""
        if said is not None and offer.name == "websocket":
            self.position = PushPosition(said, self.position.last_event_id)
        elif said is not None:
            self.position = PushPosition(self.position.push_state, said)

    def _bar(self, names: list[Transport]) -> None:
        until = asyncio.get_running_loop().time() + self._timing.better_s
        self._barred.update(dict.fromkeys(names, until))

    async def _poll(self, until: float | None) -> None:
        """Leave it to the signals to look; ``until`` None: for ever."""
        loop = asyncio.get_running_loop()
        self.transport = POLL
        self._pending.put(Connected(POLL, self.position))
        if until is None:
            await loop.create_future()
        else:
            await asyncio.sleep(until - loop.time())
        self.transport = None

    async def _wait(self, transport: Transport | None, error: JMAPError) -> None:
        wait_s = self._backoff.next_s(error.retry_after_s if isinstance(error, TransportError) else None)
        self._lost(transport, error, wait_s)
        await asyncio.sleep(wait_s)

    def _lost(self, transport: Transport | None, error: JMAPError, retry_in_s: float) -> None:
        self.transport = None
        self._pending.put(Lost(transport, error, retry_in_s))
