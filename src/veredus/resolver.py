"""Questions to DNS, for those who send mail and those who check it; dnspython behind a small face."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename
from msgspec import Struct

_CACHED: Final = 10_000
# Answers larger than this come by TCP (RFC 9715): fragments can be forged.
_PAYLOAD: Final = 1232


class NoSuchName(Exception):
    """DNS says that there is no such name (NXDOMAIN), or there can be none."""


class LookupFailed(Exception):
    """No answer now: no server answered in time, or none knew (SERVFAIL). Another time it may work."""


class Mx(Struct, frozen=True):
    """A host that takes mail; "." for a domain that takes none (RFC 7505)."""

    preference: int
    host: str
    is_secure: bool = False


class TlsaRecord(Struct, frozen=True):
    """An association (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching_type: int
    data: bytes


class Tlsa(Struct, frozen=True):
    """``is_secure``: the resolver says that DNSSEC vouches for the answer."""

    records: Sequence[TlsaRecord]
    is_secure: bool


class Addresses(Struct, frozen=True):
    """IPv6 first; ``is_secure``: DNSSEC vouches for all of them."""

    addresses: Sequence[str]
    is_secure: bool


class Resolver:
    """Answers are kept as long as they say, negative ones too; of 10,000 the least used go.

    ``servers``: such as "127.0.0.1:53" or "[::1]:53"; none: those of the system. Each question raises
    NoSuchName and LookupFailed. The AD bit is believed: a server that lies about it, or a network that forges
    it, can keep mail from being sent, but cannot weaken what would be done without it.
    """

    def __init__(self, servers: Sequence[str] = (), timeout_s: float = 10) -> None:
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def mx(self, domain: str) -> list[Mx]:
        """In order of preference; empty: the domain has none."""
        answer = await self._ask(domain, "MX")
        is_secure = _is_secure(answer)
        found = [Mx(it.preference, _text(it.exchange), is_secure) for it in answer]
        return sorted(found, key=lambda it: it.preference)

    async def addresses(self, host: str) -> list[str]:
        """AAAA, then A; empty: the name exists without them."""
        return list((await self.lookup(host)).addresses)

    async def lookup(self, host: str) -> Addresses:
        """As ``addresses``, with what DNSSEC says."""
        six, four = await asyncio.gather(
            self._ask(host, "AAAA"), self._ask(host, "A"), return_exceptions=True
        )
        if isinstance(six, BaseException) and not isinstance(six, LookupFailed):
            raise six
        if isinstance(four, BaseException):
            raise four
        if isinstance(six, BaseException):  # some servers know nothing of AAAA, and A is enough
            if not four:
                raise six
            return Addresses([it.address for it in four], False)
        found = [it.address for answer in (six, four) for it in answer]
        return Addresses(found, _is_secure(six) and _is_secure(four))

    async def txt(self, name: str) -> list[bytes]:
        """The strings of one record joined (RFC 7208 §3.3)."""
        return [b"".join(it.strings) for it in await self._ask(name, "TXT")]

    async def tlsa(self, name: str) -> Tlsa:
        """Of a name such as "_25._tcp.mx.example"."""
        answer = await self._ask(name, "TLSA")
        return Tlsa(
            [TlsaRecord(it.usage, it.selector, it.mtype, it.cert) for it in answer], _is_secure(answer)
        )

    async def ptr(self, address: str) -> list[str]:
        """The names of an IP address."""
        name = dns.reversename.from_address(str(ip_address(address)))
        return [_text(it.target) for it in await self._ask(name, "PTR")]

    async def _ask(self, name: "str | dns.name.Name", type: str) -> dns.resolver.Answer:
        try:
            if isinstance(name, str):
                name = dns.name.from_text(name)
            return await self._opened().resolve(name, type, raise_on_no_answer=False, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN) as error:
            raise NoSuchName(str(name)) from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            if isinstance(name, str):  # a label too long, or none: DNS cannot have it
                raise NoSuchName(name) from error
            raise LookupFailed(f"{type} of {name}: {_why(error)}") from error

    def _opened(self) -> dns.asyncresolver.Resolver:
        """Only now, since a machine without resolv.conf may never ask. Raises DNSException."""
        if self._resolver is None:
            it = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                it.nameservers = [_server(text) for text in self._servers]
            it.lifetime = self._timeout_s
            it.timeout = min(it.timeout, self._timeout_s)
            it.cache = dns.resolver.LRUCache(_CACHED)
            # RFC 6840 §5.7: AD in a question asks for AD in the answer.
            it.set_flags(dns.flags.RD | dns.flags.AD)
            it.use_edns(0, 0, _PAYLOAD)
            self._resolver = it
        return self._resolver

    async def close(self) -> None:
        """Forget what was learned; there are no connections to end."""
        self._resolver = None


def _server(text: str) -> dns.nameserver.Nameserver:
    host, _, port = text.rpartition(":")
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))


def _text(name: Any) -> str:
    """Without the dot at the end; the root is "."."""
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()


def _is_secure(answer: dns.resolver.Answer) -> bool:
    return bool(answer.response.flags & dns.flags.AD)


def _why(error: Exception) -> str:
    match error:
        case dns.exception.Timeout():
            return "no answer in time"
        case dns.resolver.NoNameservers():
            return "no server could answer"
        case dns.resolver.NoResolverConfiguration():
            return "this machine names no resolver"
        case _:
            return type(error).__name__
