"""Connections to what a Guard permits and to nothing else, for aiohttp.

Names go through its resolver; literal addresses do not (aiohttp takes them as resolved), but each socket, of
each attempt of Happy Eyeballs too, is made by the socket factory: no way of connecting gets around that.
"""

import errno
import socket
import ssl
from typing import Any

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from veredus.push.web.target import Guard, not_permitted


def guarded(
    guard: Guard, *, plain: bool, tls: ssl.SSLContext, limit: int, limit_per_host: int
) -> TCPConnector:
    """``plain``: for ``http:`` URLs. ``limit``: connections in all."""

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, type, proto, _, address = info
        if not guard.permits(address[0], plain=plain):
            raise PermissionError(errno.EACCES, not_permitted(address[0]))
        return socket.socket(family, type, proto)

    return TCPConnector(
        resolver=_Resolver(guard, plain),
        socket_factory=make_socket,
        use_dns_cache=False,
        ssl=tls,
        limit=limit,
        limit_per_host=limit_per_host,
    )


class _Resolver(AbstractResolver):
    """What aiohttp asks for the addresses of a name."""

    def __init__(self, guard: Guard, plain: bool) -> None:
        self._guard, self._plain = guard, plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._guard.resolve(host, plain=self._plain)
        if not found:
            raise OSError(f"{host} has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        """The guard outlives its connectors."""
