"""The listening sockets of one reception, its connections, and their end."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import structlog

from veredus.formats.smtp import Budget, Release, Reply, Session, Terms
from veredus.reception.connection import Connection
from veredus.reception.delivery import Reception
from veredus.reception.gate import Gate, is_private

log = structlog.get_logger()

_HANDSHAKE_S = 20.0


class Server:
    """The listening sockets of one reception, and the connections that came through them."""

    def __init__(self, reception: Reception, gate: Gate | None = None, max_delay_s: int = 0) -> None:
        """``gate`` and ``max_delay_s`` (of FUTURERELEASE; 0: not offered) are of submission alone."""
        self.reception, self.gate = reception, gate
        self._release = Release(max_delay_s, reception.now) if max_delay_s else None
        self._in_flight = Budget(reception.limits.in_flight)
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._clients: Counter[str] = Counter()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, reception: Reception, listen: Sequence[str | socket.socket]) -> "Server":
        """Listen on "host:port" or "unix:/path", or on a socket that is bound already.

        "[::1]:24" is an IPv6 address, ":24" every interface, port 0 a free one.
        """
        return await cls(reception).open(listen)

    async def open(
        self, listen: Sequence[str | socket.socket], tls_listen: Sequence[str | socket.socket] = ()
    ) -> "Server":
        """What ``start`` does. ``tls_listen``: the same with TLS from the first octet."""
        reception = self.reception
        try:
            for address in listen:
                self._listeners.append(await self._listen(address, None))
            for address in tls_listen:
                assert reception.tls
                self._listeners.append(await self._listen(address, reception.tls))
        except BaseException:
            await self.close(timeout_s=0)
            raise
        self._check_times()
        log.info("listening", role=reception.role, addresses=self.addresses)
        return self

    async def _listen(self, address: str | socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def connect() -> Connection:
            return Connection(self, tls=tls is not None)

        # Who does not shake hands is not among the connections that are counted yet.
        patience_s = _HANDSHAKE_S if tls else None
        if isinstance(address, socket.socket):
            return await loop.create_server(connect, sock=address, ssl=tls, ssl_handshake_timeout=patience_s)
        if address.startswith("unix:"):
            path = address.removeprefix("unix:")
            return await loop.create_unix_server(connect, path, ssl=tls, ssl_handshake_timeout=patience_s)
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"not host:port and not unix:/path: {address}")
        where = host.strip("[]") or None
        return await loop.create_server(connect, where, int(port), ssl=tls, ssl_handshake_timeout=patience_s)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return tuple(sock for listener in self._listeners for sock in listener.sockets)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, in the form of ``start``, with the ports that were found."""
        return [_address(sock) for sock in self.sockets]

    async def close(self, timeout_s: float = 30) -> None:
        """Take no more connections, let transactions end for so long, then cut them off.

        A delivery that was cut off has not been answered, so the client will send its message again.
        """
        self._is_closing = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self._connections):
            connection.shut_down()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), timeout_s)
        for connection in tuple(self._connections):
            connection.abort()
        await self._is_empty.wait()
        if self._timer:
            self._timer.cancel()

    # ------------------------------------------------------------ for the connections

    def session(self, client: str, tls: bool) -> Session:
        reception = self.reception
        return Session(
            Terms(
                role=reception.role,
                hostname=reception.hostname,
                limits=reception.limits,
                in_flight=self._in_flight,
                client=client,
                offers_tls=reception.tls is not None,
                tls=tls,
                is_private=is_private(client),
                release=self._release,
            )
        )

    def admit(self, connection: Connection) -> Reply | None:
        limits, client = self.reception.limits, connection.client
        if self._is_closing:
            return Reply(421, "4.3.2", f"{self.reception.hostname} is shutting down")
        if len(self._connections) >= limits.connections or (
            client and self._clients[client] >= limits.connections_per_client
        ):
            return Reply(421, "4.7.0", f"{self.reception.hostname} Too many connections, try again later")
        self._connections.add(connection)
        self._clients[client] += 1
        self._is_empty.clear()
        return None

    def forget(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._clients[connection.client] -= 1
        if not self._clients[connection.client]:
            del self._clients[connection.client]
        if not self._connections:
            self._is_empty.set()

    def _check_times(self) -> None:
        """One timer for all connections: to move a timer of their own with every read would cost more."""
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            connection.check_time(loop.time())
        limits = self.reception.limits
        pause_s = min(5.0, limits.idle_timeout_s / 10, limits.transaction_timeout_s / 10)
        self._timer = loop.call_later(pause_s, self._check_times)


def _address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
