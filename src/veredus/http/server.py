"""Listening sockets for an ASGI application, in a running event loop, beside other servers.

uvicorn gives the connection; its own Server is for a process of its own: it takes the signals, ends the
process when a port is taken and polls ten times a second.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import Any, Protocol

from uvicorn import Config
from uvicorn.server import ServerState

from veredus.certificates import CHECK_S, Certificate
from veredus.http.exchange import Receive, Scope, Send
from veredus.http.protocol import HttpProtocol
from veredus.http.settings import Timeouts
from veredus.http.stream import Streams

_BACKLOG = 2048
_TLS_HANDSHAKE_S = 15


class Application(Protocol):
    """An ASGI application that also hears of what never reached it, and of the end."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...

    def refused(self, status: int) -> None: ...

    def closed(self) -> None: ...


class HttpServer:
    """Running listeners. ``addresses`` are those that were bound: ``host:port`` or ``unix:path``."""

    def __init__(self, app: Application, tls: tuple[str, str] | None, timeouts: Timeouts) -> None:
        self.addresses: list[str] = []
        self._app = app
        self._timeouts = timeouts
        self._streams = Streams(timeouts)
        self._certificate = Certificate(*tls, alpn=["http/1.1"]) if tls else None
        self._servers: list[asyncio.AbstractServer] = []
        self._state = ServerState()
        self._ticks = 0
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._config = Config(
            app,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,  # what it warns of is in our own log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._timeouts.keep_alive_s,  # type: ignore[arg-type]  # goes to call_later
        )
        self._config.load()

    async def listen(self, address: str | socket.socket) -> None:
        """Start to accept connections, on an address or on a socket that is bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._tick(loop)
        context = self._certificate.context if self._certificate else None
        handshake = _TLS_HANDSHAKE_S if context else None
        if isinstance(address, socket.socket):
            server = await loop.create_server(
                self._connection, sock=address, ssl=context, backlog=_BACKLOG, ssl_handshake_timeout=handshake
            )
            self._servers.append(server)
            self.addresses.append(_name(address))
            return
        if address.startswith("unix:"):
            path = address.removeprefix("unix:")
            unix = await loop.create_unix_server(
                self._connection, path, ssl=context, backlog=_BACKLOG, ssl_handshake_timeout=handshake
            )
            os.chmod(path, 0o666)  # noqa: S103 - like a TCP port; the directory says who may connect
            self._servers.append(unix)
            self.addresses.append(address)
            return
        host, _, port = address.rpartition(":")
        server = await loop.create_server(
            self._connection,
            host.strip("[]") or None,
            int(port),
            ssl=context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=handshake,
        )
        self._servers.append(server)
        self.addresses.extend(map(_name, server.sockets))

    async def drain(self, seconds: float) -> None:
        """Serve on for so long, and let clients go elsewhere, who lose nothing by it.

        Each response is the last of its connection, and streams are ended one after the other. It takes all
        of the time even when nobody is connected: whoever has not heard of it still sends clients here.
        """
        self._is_closing = True
        self._set_default_headers()
        await self._streams.drain(seconds)

    async def close(self, *, retired: bool = False) -> None:
        """Refuse new connections, let the requests in flight end, cut off what has not ended in time.

        ``retired``: others serve on the same sockets, so there is no haste. A client that just sends its
        next request on an idle connection cannot know that this process ends, so it is waited for; only
        who has sent none for ``linger_s`` finds the connection closed.
        """
        for server in self._servers:
            server.close()
        self._is_closing = True
        self._set_default_headers()
        await asyncio.sleep(0)  # what was accepted already is a connection after this
        self._streams.close()
        if retired:
            self._end_after_answers()
            await self._wait_for_connections(self._timeouts.linger_s)
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._end_requests(self._timeouts.retire_s if retired else self._timeouts.shutdown_s)
        if self._timer is not None:
            self._timer.cancel()
        self._app.closed()
        for server in self._servers:
            await server.wait_closed()
        for address in self.addresses:
            if address.startswith("unix:"):
                with suppress(FileNotFoundError):  # newer event loops have removed it
                    os.unlink(address.removeprefix("unix:"))

    def _end_after_answers(self) -> None:
        """Connections with a request in flight end when it is answered."""
        connection: Any
        for connection in list(self._state.connections):
            if connection.cycle is not None and not connection.cycle.response_complete:
                connection.shutdown()

    async def _wait_for_connections(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (self._state.connections or self._streams.open) and loop.time() < end:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.02)

    async def _end_requests(self, patience_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_s
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await asyncio.sleep(0)  # connections that had nothing to send are gone after this
        await self._wait_for_connections(end - loop.time())
        for connection in list(self._state.connections):
            connection.transport.abort()
        for stream in list(self._streams.open):
            stream.transport.abort()

    def _connection(self) -> HttpProtocol:
        return HttpProtocol(self._config, self._state, self._streams, self._app.refused)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Each second: the Date field (RFC 9110 §6.6.1); each minute: a renewed certificate."""
        self._set_default_headers()
        self._ticks += 1
        if self._certificate is not None and self._ticks % CHECK_S == 0:
            self._certificate.reload_if_changed()
        self._timer = loop.call_later(1, self._tick, loop)

    def _set_default_headers(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
        if self._is_closing:  # for uvicorn this also means to close behind the response
            self._state.default_headers.append((b"connection", b"close"))


async def serve(
    app: Application,
    listen: Sequence[str | socket.socket],
    *,
    tls: tuple[str, str] | None = None,
    timeouts: Timeouts | None = None,
) -> HttpServer:
    """Serve ``app`` on ``host:port``, ``[ipv6]:port`` or ``unix:path`` until ``close()``; port 0: a free one.

    Also on sockets that are bound already.
    ``tls``: PEM files of the certificate chain and of its key.
    Raises OSError (ssl.SSLError is one), and then listens nowhere.
    """
    server = HttpServer(app, tls, timeouts or Timeouts())
    try:
        for address in listen:
            await server.listen(address)
    except OSError:
        await server.close()
        raise
    return server


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
