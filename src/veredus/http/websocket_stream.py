"""A WebSocket (RFC 6455) on a transport: messages in and out, pings, limits, the closing handshake.

The library parses and checks frames and does no I/O. An idle connection has no task, no queue and, since
both sides forget their context after each message (RFC 7692 §7.1.1), no state of zlib either.
"""

import asyncio
import copy
import logging
from collections import deque

from msgspec import Struct
from websockets.extensions import Extension
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, SERVER, Protocol, State

from veredus.http.stream import Stream

# Smaller messages are not worth the time.
_COMPRESS_FROM = 1024
# Larger ones are compressed in a thread: they would hold up everybody else.
_COMPRESS_ASIDE_FROM = 256 * 1024
# Octets that are understood in one turn of the loop: many tiny messages must not hold up everybody else.
_PIECE = 8192
# How long a client may take to close when it was told to; until then what it still sends is read past, or
# its kernel would throw away our last message.
_CLOSE_S = 5.0
_FAILED_S = 1.0

_PING = Frame(Opcode.PING, b"").serialize(mask=False)

# The library tells of each opening and closing; our access log does.
_log = logging.getLogger("veredus.http.websocket_frames")
_log.setLevel(logging.WARNING)


class Liveness(Struct, frozen=True):
    """After ``ping_s`` of silence a ping is sent, and after another ``pong_s`` the connection is dropped."""

    ping_s: float = 60
    pong_s: float = 20


LIVENESS = Liveness()


def text_frame(message: bytes) -> bytes:
    """A message as it goes over the wire, uncompressed; the same for every connection."""
    return Frame(Opcode.TEXT, message).serialize(mask=False)


class WebSocketStream(Stream):
    """One connection; a subclass says what messages mean.

    While the client does not take what is sent to it nothing is read from it, so it can have no more in
    memory here than the answers to what it has sent before.
    """

    __slots__ = (
        "_fragments",
        "_head",
        "_heard_at",
        "_is_over",
        "_liveness",
        "_pinged_at",
        "_protocol",
        "_timer",
        "_unread",
        "_waiting",
    )

    def __init__(self, head: bytes, extensions: list[Extension], max_size: int, liveness: Liveness) -> None:
        """``head``: the response to the handshake. ``max_size``: octets of a message, uncompressed."""
        self._head, self._liveness = head, liveness
        self._protocol = Protocol(SERVER, max_size=max_size, logger=_log)
        self._protocol.extensions = extensions
        # Of a message of which the end has not come; the protocol bounds it.
        self._fragments: bytearray | None = None
        # What has come and is not looked at yet; as long as there is any, nothing more is read.
        self._unread = b""
        # Frames for which the client has not made room; made when the first has to wait.
        self._waiting: deque[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # When a ping was sent that may be unanswered.
        self._pinged_at: float | None = None
        # What still comes is not looked at.
        self._is_over = False

    # ---------------------------------------------------------------- for the subclass

    def received(self, message: bytes) -> None:
        """A text message has come, which may not be UTF-8."""
        raise NotImplementedError

    def left(self) -> None:
        """The connection is gone, or the closing handshake has begun; may be called twice."""

    def too_big(self) -> bytes | None:
        """What to say, as a message, to a client that sends too large a message, before it is closed."""
        return None

    @property
    def is_open(self) -> bool:
        """Whether messages may still be sent."""
        return self._protocol.state is State.OPEN and not self.transport.is_closing()

    @property
    def can_push(self) -> bool:
        """Whether a message would not have to wait."""
        return self.is_writable and not self._waiting and self.is_open

    def write(self, frame: bytes) -> None:
        """Send a frame, or keep it until the client has taken what was sent before."""
        if not self.is_open:
            return
        if self.can_push:
            self.transport.write(frame)
        else:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(frame)

    async def send(self, message: bytes) -> None:
        """Send a text message, compressed if that is agreed and worth it."""
        if not self._protocol.extensions or len(message) < _COMPRESS_FROM:
            self.write(text_frame(message))
        elif len(message) < _COMPRESS_ASIDE_FROM:
            self.write(self._compressed(message))
        else:
            self.write(await asyncio.to_thread(self._compressed, message))

    def _compressed(self, message: bytes) -> bytes:
        # Copied, because an extension keeps its encoder while it works, and several threads may.
        extensions = [copy.copy(extension) for extension in self._protocol.extensions]
        return Frame(Opcode.TEXT, message).serialize(mask=False, extensions=extensions)

    def close(self, code: CloseCode, reason: str) -> None:
        """Begin the closing handshake. What waits to be sent is given up."""
        if self.is_open:
            self._protocol.send_close(code, reason)
            self._flush()

    def fail(self, code: CloseCode, reason: str) -> None:
        """The same, for what the client should not have sent: nothing more of it is looked at."""
        if self.is_open:
            self._protocol.fail(code, reason)
            self._flush()

    # ---------------------------------------------------------------- of Stream

    def opened(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self.transport.write(self._head)
        self._head = b""
        self._timer = asyncio.get_running_loop().call_later(self._liveness.ping_s, self._check_alive)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def writable(self) -> None:
        """Called when the client has taken all; what waits goes out piece by piece."""
        waiting = self._waiting
        while waiting and self.is_writable and self.is_open:
            self.transport.write(waiting.popleft())
        if self.is_writable:
            self._waiting = None
            self._go_on_reading()

    def lost(self) -> None:
        self._stop_watching()
        self._waiting = self._fragments = None
        self._unread = b""
        # It refers to the protocol that it belongs to, and cycles are collected rarely.
        self._protocol.parser.close()
        self.left()

    # ---------------------------------------------------------------- reading

    def data_received(self, data: bytes) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        is_waiting = bool(self._unread)
        self._unread += data
        if not is_waiting:
            self._read_piece()

    def _read_piece(self) -> None:
        if not self._unread or not (self.is_writable or self._is_over):
            return
        piece, self._unread = self._unread[:_PIECE], self._unread[_PIECE:]
        self._understand_frames(piece)
        if self._unread and not self.transport.is_closing():
            self.transport.pause_reading()
        self._go_on_reading()

    def _go_on_reading(self) -> None:
        if self.transport.is_closing():
            return
        if self._unread:
            asyncio.get_running_loop().call_soon(self._read_piece)
        elif self.is_writable or self._is_over:
            self.transport.resume_reading()

    def _understand_frames(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and not self._is_over:
                self._frame_received(event)
        self._flush()

    def eof_received(self) -> bool:
        """False: the transport closes itself."""
        return False

    def _frame_received(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self.fail(CloseCode.UNSUPPORTED_DATA, "JMAP messages are text (RFC 8887 section 4.3.1).")
        elif frame.opcode is Opcode.TEXT and frame.fin:
            self.received(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self._fragments = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._fragments is not None:
            self._fragments += frame.data
            if frame.fin:
                message, self._fragments = bytes(self._fragments), None
                self.received(message)

    # ---------------------------------------------------------------- closing

    def _flush(self) -> None:
        """Send what the protocol itself says: pongs and the closing handshake."""
        writes = self._protocol.data_to_send()
        if not writes or self.transport.is_closing():
            return
        data = b"".join(writes)
        sent = self._protocol.close_sent
        if sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG and not self._is_over:
            message = self.too_big()
            data = data if message is None else text_frame(message) + data
        if data:
            self.transport.write(data)
        if self._protocol.state is not State.OPEN:
            self._end(has_failed=SEND_EOF in writes and self._protocol.close_rcvd is None)

    def _end(self, *, has_failed: bool) -> None:
        """``has_failed``: nothing is expected of the client any more, not even that it closes."""
        self._is_over = True
        self._waiting = self._fragments = None
        self._stop_watching()
        self.left()
        if self._protocol.close_rcvd is not None or self.transport.is_closing():
            self.transport.close()
            return
        self._go_on_reading()
        wait_s = _CLOSE_S
        if has_failed and self.transport.can_write_eof():
            self.transport.write_eof()
        elif has_failed:  # TLS has no half-closed connections, and the client waits for us to close
            wait_s = _FAILED_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.transport.abort)

    # ---------------------------------------------------------------- silence

    def _check_alive(self) -> None:
        """Octets only note their time; here it is seen whether any came, and looked again later."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self.is_writable:  # we do not read, so we cannot know; who takes nothing is dropped by Stream
            self._heard_at = now
        if self._pinged_at is not None and self._heard_at < self._pinged_at:
            self.transport.abort()
            return
        self._pinged_at = None
        wait_s = self._heard_at + self._liveness.ping_s - now
        if wait_s < 0.001:  # the resolution of the timer
            self._pinged_at, wait_s = now, self._liveness.pong_s
            self.transport.write(_PING)
        self._timer = loop.call_later(wait_s, self._check_alive)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
