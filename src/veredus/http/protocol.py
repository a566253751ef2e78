"""uvicorn's HTTP/1.1 connection, with the limits on slow and endless clients that it does not have itself.

    phase      what must happen in time                       else
    HEADERS    the header section ends, in 64 KiB or so       408, 431
    BODY       an octet comes, unless we are not reading      408
    BODY,      the rest is read past in time, because most    closed
    answered     clients send all of it before they look
    IDLE       the next request begins (uvicorn's own timer)  closed
    any        the client takes what was written              aborted

A timer runs only while a request is incomplete after a read, so a request that comes whole costs none.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from veredus.http.problems import Problem
from veredus.http.stream import DETACH, Stream, Streams

# Octets that may come in one go without ending a header section, a chunk or a trailer section.
MAX_HEADERS = 65_536
# How long we still read on a connection that we end, so that a request which was on its way is not answered
# with a reset: longer than most ways.
_HANG_UP_S = 0.5


class _Phase(Enum):
    IDLE = auto()
    HEADERS = auto()
    BODY = auto()


class _Corked:
    """A transport that writes what is given to it in one turn of the loop with one call of the kernel.

    uvicorn writes the header section and the body of a response one after the other: two calls and two
    packets, of which the first costs more than all that we do ourselves.
    """

    __slots__ = ("_loop", "_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        # The client may have gone since: uvloop raises at a write behind its end.
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush_and_leave(self) -> asyncio.Transport:
        """The transport itself."""
        self.flush()
        return self._transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection. ``refused`` is told the status of each answer that the application never saw."""

    def __init__(
        self, config: Config, state: ServerState, streams: Streams, refused: Callable[[int], None]
    ) -> None:
        super().__init__(config, state, {})
        self._streams = streams
        self._timeouts = streams.timeouts
        self._refused = refused
        self._phase = _Phase.IDLE
        self._silent = 0  # octets since the last header section, piece of a body or end
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._has_hung_up = False

    # ---------------------------------------------------------------- connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Corked(transport, self.loop))  # type: ignore[arg-type]
        self._arm_read_timer(self._timeouts.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_read_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().connection_lost(exc)
        # uvicorn leaves it running after a lost connection, and so keeps all of this alive.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._has_hung_up:
            return
        self._silent += len(data)
        super().data_received(data)
        if self._phase is _Phase.IDLE:
            # Empty lines between requests have stopped uvicorn's timer.
            cycle: Any = self.cycle
            if cycle is not None and cycle.response_complete and self._read_timer is None:
                self._arm_read_timer(self._timeouts.header_s)
        elif self.transport.is_closing():
            return
        elif self._silent > MAX_HEADERS:
            self._refuse(431 if self._phase is _Phase.HEADERS else 413)
        elif self._phase is _Phase.BODY:
            self._wait_for_body()
        elif self._read_timer is None:
            self._arm_read_timer(self._timeouts.header_s)

    def shutdown(self) -> None:
        """Called by the server when it closes: a request of which a part has come is still answered."""
        cycle: Any = self.cycle
        if self._phase is _Phase.HEADERS or self._has_hung_up:
            return
        if cycle is not None and not cycle.response_complete:
            super().shutdown()
        elif self.transport.can_write_eof():
            self._hang_up()
        else:
            self.transport.close()

    def _hang_up(self) -> None:
        """Say that we end, and close when the client has closed, or a little later (RFC 9112 §9.6).

        A request that crosses this gets no answer; the client knows that, and that it may be sent again if it
        is idempotent.
        """
        self._unset_keepalive_if_required()
        self._stop_read_timer()
        self._has_hung_up = True
        transport: Any = self.transport
        transport.flush()
        transport.write_eof()
        self._arm_read_timer(_HANG_UP_S)

    # ---------------------------------------------------------------- parser callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DETACH: self.detach}  # type: ignore[dict-item]
        self._phase = _Phase.HEADERS

    def on_headers_complete(self) -> None:
        super().on_headers_complete()  # raises when the request target is none
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            # uvicorn would add trailer fields to the header fields: a way around what a proxy takes out.
            self.headers = []
        self._phase = _Phase.BODY
        self._silent = 0
        self._stop_read_timer()

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = _Phase.IDLE
        self._silent = 0
        self._stop_read_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is _Phase.BODY and not self.transport.is_closing():  # answered before the body came
            self._unset_keepalive_if_required()
            self._wait_for_body()

    # ---------------------------------------------------------------- streams

    def detach(self, stream: Stream) -> None:
        """Give the connection to ``stream`` for good, before a response has begun."""
        self._stop_read_timer()
        self._unset_keepalive_if_required()
        if self._write_timer is not None:
            self._write_timer.cancel()
        self.connections.discard(self)
        # For uvicorn the client has gone; there is nobody whom it could answer.
        self.cycle.disconnected = True
        self.flow.resume_reading()
        transport: Any = self.transport
        stream.attach(transport.flush_and_leave(), self._streams)

    # ---------------------------------------------------------------- slow to send

    def _wait_for_body(self) -> None:
        """Start the time for the next octet; a refused body gets one such time for all the rest."""
        if not self.cycle.response_complete:
            self._stop_read_timer()
        if self._read_timer is None:
            self._arm_read_timer(self._timeouts.body_s)

    def _arm_read_timer(self, seconds: float) -> None:
        self._read_timer = self.loop.call_later(seconds, self._read_too_slow)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _read_too_slow(self) -> None:
        self._read_timer = None
        if self._has_hung_up:
            self.transport.close()
        elif self.flow.read_paused:  # it is us who are slow
            self._arm_read_timer(self._timeouts.body_s)
        elif self._phase is _Phase.IDLE:
            self.transport.close()  # opened ahead of need
        else:
            self._refuse(408)

    # ---------------------------------------------------------------- slow to take

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self._timeouts.write_s, self._write_too_slow)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _write_too_slow(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            self.transport.abort()
            return
        self._unsent = unsent
        self._write_timer = self.loop.call_later(self._timeouts.write_s, self._write_too_slow)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # close() would wait for a client that takes nothing
        else:
            super().timeout_keep_alive_handler()

    # ---------------------------------------------------------------- refusals

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is not HTTP."""
        self._refuse(400)

    def _refuse(self, status: int) -> None:
        """Answer if that is still possible, and close."""
        cycle: Any = self.cycle
        if self._phase is _Phase.BODY:
            can_answer = not (cycle.response_started or self.pipeline)
        else:
            can_answer = cycle is None or cycle.response_complete
        if can_answer:
            self._refused(status)
            self.transport.write(_refusal(status))
        self.transport.close()


def _refusal(status: int) -> bytes:
    body = msgspec.json.encode(Problem(status).to_json())
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/problem+json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("ascii") + body
