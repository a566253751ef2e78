"""The event-source resource (RFC 8620 §7.3): an endless response that tells of each change.

A stream is one small object on a transport: it has no task and no queue. A block is encoded once for all
who get the same.
"""

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import cast

import msgspec
from msgspec import Struct

from veredus.engine.limits import InFlight
from veredus.formats.eventstream import block
from veredus.http.edge import Edge
from veredus.http.exchange import Exchange
from veredus.http.problems import Headers, Problem
from veredus.http.routes import Route
from veredus.http.stream import Stream
from veredus.push import position as positions
from veredus.push.event import Event
from veredus.push.hub import Hub, NotAllowed
from veredus.push.position import Position
from veredus.push.view import End, Subscription

# The shortest and the longest interval of pings, in seconds, unless the server is told others.
PING_S = (15, 900)
# Names of types that we do not know are allowed: a client may ask more servers than one for the same.
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,254}")
_UNSIGNED = re.compile(r"[0-9]{1,16}")
# So many milliseconds a client waits until it connects again: after we have ended all streams at once; after
# one was ended in its turn; and, because browsers' own 3 to 5 s are long, after the connection was lost.
_RETRY_MS = (1000, 5000)
_RETRY_DRAINED_MS = (100, 1000)
_RETRY_LOST_MS = (500, 1500)
# Octets that the kernel keeps for a client that does not read; it is behind after some dozens of events, and
# not after megabytes of them.
_SEND_BUFFER = 16_384
_LAST_CHUNK = b"0\r\n\r\n"

_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    # no-transform: a proxy that compresses would hold back what it has not filled a block with.
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class _Wanted(Struct, frozen=True):
    """The variables of a request. ``ping_s`` 0: never; ``types`` None: all; ``since`` None: from now on."""

    types: frozenset[str] | None
    closes_after_state: bool
    ping_s: int
    since: Position | None


class _Open(Struct):
    """The streams that are open; ``counts``: those and others of each user."""

    streams: set[Stream]
    counts: InFlight


class EventSource:
    """The endpoint. ``ping_s``: the shortest and the longest interval."""

    def __init__(self, edge: Edge, hub: Hub, ping_s: tuple[int, int] = PING_S) -> None:
        if ping_s[0] > 30 or ping_s[1] < 300:
            raise ValueError("RFC 8620 §7.3: a minimum above 30 s or a maximum below 300 s")
        self._edge, self._hub, self._ping_s = edge, hub, ping_s
        self._open = _Open(set(), edge.streams)

    def streams(self) -> int:
        """How many are open, for metrics."""
        return len(self._open.streams)

    def routes(self) -> list[Route]:
        return [Route("/jmap/eventsource", {"GET": self._get}, tickets=True)]

    async def _get(self, x: Exchange) -> None:
        """Begin a stream. Raises Problem (400, 401), RequestError (429), Unavailable."""
        wanted = self._read(x)
        if x.method == "HEAD":
            await x.stream(200, [*_HEADERS], _nothing())
            return
        with self._edge.streams.begun(x.identity.user):
            await self._begin(x, wanted)

    async def _begin(self, x: Exchange, wanted: _Wanted) -> None:
        stream = _EventStream(self._open, wanted, _head(x), is_chunked=x.scope["http_version"] != "1.0")
        try:
            stream.subscription = await self._hub.subscribe(x.identity, wanted.types, stream, wanted.since)
        except NotAllowed:
            raise self._edge.unauthorized() from None
        # Nothing waits between the two, so no event comes before there is a transport.
        try:
            x.detach(200, stream)
        except BaseException:
            stream.subscription.close()
            raise

    def _read(self, x: Exchange) -> _Wanted:
        query = x.query
        for name in ("types", "closeafter", "ping"):
            if name not in query:
                raise Problem(400, f"The URL has no variable {name} (RFC 8620 §7.3).")
        types = None if query["types"] == "*" else frozenset(query["types"].split(","))
        if types is not None and not all(map(_TYPE.fullmatch, types)):
            raise Problem(400, "types must be * or names of types with a comma between them.")
        if query["closeafter"] not in ("state", "no"):
            raise Problem(400, "closeafter must be state or no.")
        if not _UNSIGNED.fullmatch(query["ping"]):
            raise Problem(400, "ping must be a number of seconds, or 0 for no pings.")
        ping_s = int(query["ping"])
        if ping_s:
            ping_s = min(max(ping_s, self._ping_s[0]), self._ping_s[1])
        return _Wanted(types, query["closeafter"] == "state", ping_s, _since(x, query))


def _since(x: Exchange, query: dict[str, str]) -> Position | None:
    """Where the client stood. The variable is for a page that opens a new EventSource, with a new ticket:
    it can set no header field. Who stands nowhere that we know of is told everything."""
    header = x.headers.get(b"last-event-id")
    last = query.get("lastEventId") if header is None else header.decode("latin-1")
    if not last:
        return None
    return positions.decode(last) or {}


def _head(x: Exchange) -> bytes:
    """The header section. The connection ends with the response, so that a client that comes again may get
    to another server."""
    fields = [(b"date", formatdate(usegmt=True).encode("ascii")), *_HEADERS, *x.common]
    fields.append((b"connection", b"close"))
    if x.scope["http_version"] != "1.0":
        fields.append((b"transfer-encoding", b"chunked"))
    lines = [b"HTTP/1.1 200 OK", *(b"%b: %b" % field for field in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk


# -------------------------------------------------------------------- blocks


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _state(event: Event) -> bytes:
    return block(event="state", data=msgspec.json.encode(event.change), id=event.id)


def _state_chunk(event: Event) -> bytes:
    return _chunk(event.encoded(_state))


def _between(range_ms: tuple[int, int]) -> int:
    """Not all clients come back at the same moment."""
    return random.randint(*range_ms)  # noqa: S311 - not a secret


@lru_cache(1024)
def _ping(interval_s: int) -> bytes:
    return block(event="ping", data=msgspec.json.encode({"interval": interval_s}))


class _EventStream(Stream):
    """One client: a Sink (push.view) on a transport."""

    __slots__ = (
        "_closes_after_state",
        "_encode",
        "_head",
        "_is_chunked",
        "_open",
        "_ping_s",
        "_ping_timer",
        "_told_at",
        "subscription",
    )

    subscription: Subscription

    def __init__(self, open: _Open, wanted: _Wanted, head: bytes, *, is_chunked: bool) -> None:
        """``open``: where it is to be found until it is lost. ``head``: goes before the first block."""
        self._open, self._head, self._is_chunked = open, head, is_chunked
        self._closes_after_state = wanted.closes_after_state
        self._ping_s = wanted.ping_s
        self._ping_timer: asyncio.TimerHandle | None = None
        self._encode: Callable[[Event], bytes] = _state_chunk if is_chunked else _state

    # ---------------------------------------------------------------- of Stream

    def opened(self) -> None:
        self._open.streams.add(self)
        sock = cast("socket.socket | None", self.transport.get_extra_info("socket"))
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        loop = asyncio.get_running_loop()
        self._told_at = loop.time()
        if self._ping_s:
            self._ping_timer = loop.call_later(self._ping_s, self._ping_if_due)
        self.subscription.ready()
        if self._head:
            # It has missed nothing. It learns where it stands, so that it misses nothing either if the
            # connection is lost before the first event.
            position = positions.encode(self.subscription.position)
            self._write_block(block(id=position, retry_ms=_between(_RETRY_LOST_MS)))

    def writable(self) -> None:
        self.subscription.ready()

    def lost(self) -> None:
        self._leave()
        self._open.streams.discard(self)
        self._open.counts.end(self.subscription.view.key.identity.user)

    def shut_down(self) -> None:
        is_in_turn = self._streams.is_draining and not self._streams.is_closing
        retry = block(retry_ms=_between(_RETRY_DRAINED_MS if is_in_turn else _RETRY_MS))
        self._finish(_chunk(retry) if self._is_chunked else retry)

    # ---------------------------------------------------------------- of Sink

    def take(self, event: Event) -> bool:
        if not self.is_writable:
            return False
        data = event.encoded(self._encode)
        if self._closes_after_state:
            self._finish(data)
        else:
            self._told_at = asyncio.get_running_loop().time()
            self._write(data)
        return True

    def end(self, why: End) -> None:
        """A client whose credentials are no longer good connects again, and is answered 401."""
        if why == "shutdown":
            self.shut_down()
        else:
            self._finish(b"")

    # ---------------------------------------------------------------- pings

    def _ping_if_due(self) -> None:
        """An event only notes its time; here it is seen whether one was sent since, and looked again then."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        wait_s = self._told_at + self._ping_s - now
        if wait_s < 0.001:  # the resolution of the timer
            if self.is_writable:  # else there is something to read for it
                self._write_block(_ping(self._ping_s))
            self._told_at, wait_s = now, self._ping_s
        self._ping_timer = loop.call_later(wait_s, self._ping_if_due)

    # ---------------------------------------------------------------- writing

    def _write_block(self, data: bytes) -> None:
        self._write(_chunk(data) if self._is_chunked else data)

    def _write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        self.transport.write(data)

    def _finish(self, last: bytes) -> None:
        """Write ``last``, end the response and close the connection once the client has got that."""
        self._leave()
        if not self.transport.is_closing():
            self._write(last + _LAST_CHUNK if self._is_chunked else last)
            self.transport.close()

    def _leave(self) -> None:
        self.subscription.close()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None
