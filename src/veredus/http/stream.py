"""A connection that has left HTTP behind: an endless response, or a WebSocket.

uvicorn keeps a parser, a task and a dozen objects for each request; here nothing is left but the transport,
so that ten thousand idle streams are cheap. What the client does not take is never queued: a stream says
whether it can be written to, and whoever writes waits for that.
"""

import asyncio
import socket
from collections.abc import Callable
from math import ceil
from typing import cast

from veredus.http.settings import Timeouts

# When the kernel begins to ask a silent client whether it is there, how often, and how many times.
_KEEPALIVE_S = (60, 20, 3)
_UNACKNOWLEDGED_MS = 120_000
# Of the time of draining: before the first share nobody is sent away, because load balancers would send them
# here again; in the last one those come to rest who were sent away last.
_DRAIN_FROM, _DRAIN_UNTIL = 0.25, 0.9
_DRAIN_STEP_S = 0.1


class Disconnected(Exception):
    """The client went away; nobody is left to answer."""


class Streams:
    """The open streams of a server."""

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.open: set[Stream] = set()
        self.is_draining = False
        self.is_closing = False

    async def drain(self, seconds: float) -> None:
        """Ask stream after stream to end properly; it takes ``seconds``, however many there are.

        Who comes meanwhile is let in and asked, too: a browser takes a refusal for good.
        """
        self.is_draining = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + seconds * _DRAIN_UNTIL
        await asyncio.sleep(seconds * _DRAIN_FROM)
        while (left := began + seconds - loop.time()) > 0:
            staying = [stream for stream in self.open if not stream.is_leaving]
            steps = max((until - loop.time()) / _DRAIN_STEP_S, 1)
            for stream in staying[: ceil(len(staying) / steps)]:
                stream.is_leaving = True
                stream.shut_down()
            await asyncio.sleep(min(_DRAIN_STEP_S, left))

    def close(self) -> None:
        """Ask every stream to end properly, so that clients connect elsewhere; also those yet to come."""
        self.is_closing = True
        for stream in list(self.open):
            stream.shut_down()


class Stream(asyncio.Protocol):
    """The base of all streams; a subclass overrides ``opened``, ``shut_down`` and what else it needs.

    It is given to ``Exchange.detach``, which gives it the transport.
    """

    __slots__ = ("_stalled", "_streams", "_unsent", "is_leaving", "is_writable", "transport")

    transport: asyncio.Transport

    def attach(self, transport: asyncio.Transport, streams: Streams) -> None:
        """Take over a connection. Called by HttpProtocol alone. Raises Disconnected."""
        if transport.is_closing():  # the client left while it was let in: nobody would say so again
            raise Disconnected
        self.transport, self._streams = transport, streams
        self.is_writable = True
        # Whether it was asked to end.
        self.is_leaving = False
        self._stalled: asyncio.TimerHandle | None = None
        streams.open.add(self)
        transport.set_protocol(self)
        # Next to nothing waits in this process: the kernel's buffer is all that a slow client gets. Not 0:
        # under TLS that is a limit which is always reached, and nothing would ever be writable.
        transport.set_write_buffer_limits(high=1)
        _keep_alive(transport)
        self.opened()
        if streams.is_closing:  # it was let in while the others ended
            self.shut_down()

    def opened(self) -> None:
        """The transport is there; nothing of the response has been written."""
        raise NotImplementedError

    def writable(self) -> None:
        """The client has taken all that was written."""

    def lost(self) -> None:
        """The connection is gone."""

    def shut_down(self) -> None:
        """End properly; the server closes. May be called twice."""
        raise NotImplementedError

    # ---------------------------------------------------------------- asyncio.Protocol

    def pause_writing(self) -> None:
        self.is_writable = False
        self._wait_for_client()

    def _wait_for_client(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self._streams.timeouts.write_s, self._check_progress)

    def _check_progress(self) -> None:
        if self.transport.get_write_buffer_size() >= self._unsent:
            self.transport.abort()
        else:
            self._wait_for_client()

    def resume_writing(self) -> None:
        self.is_writable = True
        self._stop_timer()
        self.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_writable = False
        self._stop_timer()
        self._streams.open.discard(self)
        self.lost()

    def _stop_timer(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


# How Exchange reaches the connection: an ASGI extension of our own, in ``scope["extensions"]``.
DETACH = "veredus.detach"
Detach = Callable[[Stream], None]


def _keep_alive(transport: asyncio.Transport) -> None:
    """So that the connection to a client that is gone without a word does not stay for ever."""
    sock = cast("socket.socket | None", transport.get_extra_info("socket"))
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    idle, interval, count = _KEEPALIVE_S
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; what is sent and not acknowledged keeps it from asking
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not everywhere by this name
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
