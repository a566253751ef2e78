"""The listening sockets of one reception, its connections, and their end."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import structlog

from veredus.formats.smtp import Budget, Reply, Session, Terms
from veredus.reception.connection import Connection
from veredus.reception.delivery import Reception

log = structlog.get_logger()


class Server:
    """The listening sockets of one reception, and the connections that came through them."""

    def __init__(self, reception: Reception) -> None:
        self.reception = reception
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
        server = cls(reception)
        try:
            for address in listen:
                server._listeners.append(await server._listen(address))
        except BaseException:
            await server.close(timeout_s=0)
            raise
        server._check_times()
        log.info("listening", role=reception.role, addresses=server.addresses)
        return server

    async def _listen(self, address: str | socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if isinstance(address, socket.socket):
            return await loop.create_server(lambda: Connection(self), sock=address)
        if address.startswith("unix:"):
            return await loop.create_unix_server(lambda: Connection(self), address.removeprefix("unix:"))
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"not host:port and not unix:/path: {address}")
        return await loop.create_server(lambda: Connection(self), host.strip("[]") or None, int(port))

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

    def session(self, client: str) -> Session:
        reception = self.reception
        return Session(
            Terms(
                role=reception.role,
                hostname=reception.hostname,
                limits=reception.limits,
                in_flight=self._in_flight,
                client=client,
                offers_tls=reception.tls is not None,
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
