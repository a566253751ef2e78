"""Which addresses a push URL may lead to (RFC 8620 §8.6: against server-side request forgery).

A name is checked by what it resolves to, and nothing is resolved twice: the address that was checked is the
one that is connected to (see ``connector``).
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from yarl import URL

Address: TypeAlias = IPv4Address | IPv6Address
# From a name to its addresses, as text. Raises OSError: there is no such name, or no answer.
Lookup: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]

# The characters of a URI (RFC 3986 §2): no spaces, no line ends, nothing that has to be encoded first.
_URI = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")
# The host, in brackets or not, and the port; what else stands there, parsers do not agree on.
_AUTHORITY = re.compile(r"https?://(?:\[[0-9a-fA-F:.%]+\]|[^\[\]:@/?#]+)(?::[0-9]{1,5})?(?=[/?#]|\Z)")
_USER = re.compile(r"https?://[^/?#]*@")
_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_UNICAST_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# What Python takes for public, depending on its version, and what a cloud answers to its own machines alone.
_NOT_PUBLIC = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))
# Below are services that speak first or badly; the two are those of HTTP.
_FIRST_FREE_PORT = 1024
_HTTP_PORTS = (80, 443)
# A name server that never answers must not hold up other lookups of the process.
_LOOKUPS_AT_ONCE = 8


class Blocked(Exception):
    """A push URL that is not called; the text says why, and names no more than the host."""


class Guard:
    """What may be called. ``close`` it."""

    def __init__(self, allow: Sequence[str] = (), lookup: Lookup | None = None) -> None:
        """``allow``: networks (CIDR) that may be called although not public; there, ``http:`` is permitted.

        ``lookup``: instead of the system's resolver. Raises ValueError: not a network.
        """
        self._allow = tuple(ip_network(network, strict=False) for network in allow)
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="push-lookup")
        self._lookup = lookup or self._system_lookup

    @property
    def allows_plain(self) -> bool:
        """Whether there is any ``http:`` URL that may be called."""
        return bool(self._allow)

    def check_url(self, url: str) -> URL:
        """The URL in parts, its spelling untouched. Raises Blocked when no address behind it could be
        permitted: by scheme, user, port, or literal address; what a name leads to is checked in the call.
        """
        plain = self.allows_plain and url.startswith("http://")
        if not (plain or url.startswith("https://")):
            raise Blocked("the URL must begin with https://")
        if not _URI.fullmatch(url):
            raise Blocked("the URL has characters that no URL may have")
        if _USER.match(url):
            raise Blocked("the URL must not name a user")
        if not _AUTHORITY.match(url):
            raise Blocked("the URL is malformed")
        try:
            parsed = URL(url, encoded=True)
            host, port = parsed.raw_host, parsed.port
        except ValueError:
            raise Blocked("the URL is malformed") from None
        if port is None or not (port in _HTTP_PORTS or _FIRST_FREE_PORT <= port < 1 << 16):
            raise Blocked(f"port {port} is not called")
        self._check_host(host or "", plain)
        return parsed

    def _check_host(self, host: str, plain: bool) -> None:
        if ":" in host or host.replace(".", "").isdigit():
            if not self.permits(host, plain=plain):
                raise Blocked(not_permitted(host))
        elif not _NAME.fullmatch(host):
            raise Blocked("the URL names no host")

    def permits(self, address: str, *, plain: bool) -> bool:
        """Whether an IP address may be called. ``plain``: by ``http:``."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        reached = _reached(found)
        if all(any(address in network for network in self._allow) for address in reached):
            return True
        return not plain and all(map(_is_public, reached))

    async def resolve(self, host: str, *, plain: bool) -> list[str]:
        """The addresses of a name that may be called. Raises Blocked: none of them; OSError: it has none."""
        found = await self._lookup(host)
        permitted = [address for address in found if self.permits(address, plain=plain)]
        if found and not permitted:
            raise Blocked(not_permitted(host))
        return permitted

    async def _system_lookup(self, host: str) -> list[str]:
        find = asyncio.get_running_loop().run_in_executor
        infos = await find(self._threads, _addresses, host)
        return [str(info[4][0]) for info in infos]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str) -> list[Any]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def not_permitted(host: str) -> str:
    """What a person reads of a host that is not called."""
    return f"{host} is in no public network"


def _reached(address: Address) -> list[Address]:
    """An address and those that a gateway on the way may make of it, except those that mean the same."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(address.packed[-4:])]
    embedded = [address.sixtofour, *(address.teredo or ())]
    return [address, *(inner for inner in embedded if inner is not None)]


def _is_public(address: Address) -> bool:
    """Global unicast (RFC 4291 §2.4; the special-purpose registries of IANA)."""
    if isinstance(address, IPv6Address) and address not in _UNICAST_6:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast
