"""From an address, a domain or a URL to where the Session resource may be (RFC 8620 §2.2).

An SRV answer is not authentic (RFC 8620 §8.3). The certificate is checked against the host in the URL
(RFC 9110 §4.3.4), which is the SRV target, so TLS does not prove that the target serves the domain
(RFC 6125 §6.2.1). RFC 6186 §6 and RFC 6764 §8 therefore want the user asked before a target outside of the
domain is connected to: such targets are kept apart as ``unproven``, and no credentials go there.
"""

import ipaddress
import random
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver
from msgspec import Struct
from yarl import URL

from veredus.client.errors import JMAPError

WELL_KNOWN = "/.well-known/jmap"
_LIFETIME_S = 5.0
# With a port or a path, it is not a domain that services are looked up for.
_HOST_ONLY = re.compile(r"[^:/]*\Z")
# What DNS answers is not to be trusted, nor to be a part of any URL.
_TARGET = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")


class DiscoveryError(JMAPError):
    """No place to look for a Session resource."""


class Service(Struct, frozen=True):
    """One SRV record (RFC 2782); ``target`` without its last dot, so "" for the root."""

    priority: int
    weight: int
    port: int
    target: str


class Resolver(Protocol):
    """Answers for SRV records; () where there are none, or none could be had."""

    async def services(self, name: str) -> Iterable[Service]: ...


class Discovery(Struct, frozen=True):
    """URLs of the Session resource: those to try, in order, and those that only an SRV record vouches for."""

    urls: tuple[str, ...]
    unproven: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """What to tell a person when none of ``urls`` answers; empty: nothing more."""
        if not self.unproven:
            return ""
        return (
            f"DNS names {' and '.join(self.unproven)}, outside of the domain, which nothing proves; "
            "if it is the right one, connect to that URL"
        )


class DnsResolver:
    """Raises nothing: without an answer, the domain itself is what is left to try.

    ``nameservers``: IP addresses, other than the system's.
    """

    def __init__(self, nameservers: Sequence[str] | None = None, *, port: int = 53) -> None:
        self._nameservers, self._port = nameservers, port

    async def services(self, name: str) -> Iterable[Service]:
        try:
            resolver = dns.asyncresolver.Resolver(configure=self._nameservers is None)
            resolver.port = self._port
            if self._nameservers is not None:
                resolver.nameservers = list(self._nameservers)
            answer = await resolver.resolve(name, "SRV", search=False, lifetime=_LIFETIME_S)
        except (dns.exception.DNSException, OSError):
            return ()
        return [
            Service(
                each.priority, each.weight, each.port, each.target.to_text(omit_final_dot=True).strip(".")
            )
            for each in answer
        ]


async def candidates(server: str) -> tuple[str, ...]:
    """The URLs to try for ``server``, in order. Raises DiscoveryError."""
    return (await discover(server)).urls


async def discover(
    server: str, *, resolver: Resolver | None = None, trust: Collection[str] = ()
) -> Discovery:
    """Where the Session resource of ``server`` may be: an address, a domain, host:port or a URL.

    A URL without a path is of a host, and gets the well-known path; without a scheme, https, or http on
    this machine. ``trust``: hosts that the user agrees to, wherever the domain is. Raises DiscoveryError.
    """
    server = server.strip()
    if "://" in server:
        return Discovery((_of_url(server),))
    domain = server.rpartition("@")[2]
    if _is_ip(domain) and ":" in domain:
        domain = f"[{domain}]"
    if _is_local(domain) or _is_ip(domain) or not _HOST_ONLY.match(domain):
        return Discovery((_of_url(f"{'http' if _is_local(domain) else 'https'}://{domain}"),))
    host = _host(domain, server)
    services = list(await (resolver or DnsResolver()).services(f"_jmap._tcp.{host}."))
    # "." says that there decidedly is no such service (RFC 2782), "example.com/.well-known/jmap" included.
    if services and not any(service.target for service in services):
        raise DiscoveryError(f"{host}: its DNS says that it has no JMAP (an SRV record with the target '.')")
    urls: list[str] = []
    unproven: list[str] = []
    trusted = {name.lower().rstrip(".") for name in trust}
    for service in in_order(service for service in services if service.target):
        target = service.target.lower()
        if not _TARGET.match(target) or not service.port:
            continue
        proven = target == host or target.endswith(f".{host}") or target in trusted
        (urls if proven else unproven).append(_well_known(target, service.port))
    return Discovery(tuple(dict.fromkeys([*urls, _well_known(host, 443)])), tuple(dict.fromkeys(unproven)))


def in_order(services: Iterable[Service]) -> list[Service]:
    """By priority; among equals drawn by weight, as RFC 2782 says."""
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    ordered: list[Service] = []
    while left:
        group = [service for service in left if service.priority == left[0].priority]
        # Those of weight 0 stand first and are drawn only by a 0.
        drawn = random.randint(0, sum(service.weight for service in group))  # noqa: S311 - no secret
        for service in group:
            drawn -= service.weight
            if drawn <= 0:
                break
        left.remove(service)
        ordered.append(service)
    return ordered


def _well_known(host: str, port: int) -> str:
    return str(URL.build(scheme="https", host=host, port=port, path=WELL_KNOWN))


def _of_url(url: str) -> str:
    """``url`` as it is, with the well-known path where it has none. Raises DiscoveryError."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        # Not repeated here: what holds a password ends in a log.
        raise DiscoveryError("a URL with a name or a password in it: credentials are given apart")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise DiscoveryError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in ("https", "http") or not host:
        raise DiscoveryError(f"{url!r} is no URL of HTTP")
    path = parts.path if parts.path.strip("/") else WELL_KNOWN
    return parts._replace(path=path, fragment="").geturl()


def _host(domain: str, server: str) -> str:
    """``domain`` in lower case and in ASCII (IDNA). Raises DiscoveryError."""
    try:
        host = URL.build(scheme="https", host=domain.rstrip(".")).raw_host
    except ValueError:
        host = None
    if not host or any(not label or len(label) > 63 for label in host.split(".")):
        raise DiscoveryError(f"{server!r} is no address, domain or URL")
    return host.lower()


def _is_local(domain: str) -> bool:
    """Whether this is this machine, whatever DNS says (RFC 6761 §6.3); with a port or without."""
    name = (urlsplit(f"//{domain}").hostname or "") if domain.count("[") == domain.count("]") else ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_ip(name) and ipaddress.ip_address(name).is_loopback


def _is_ip(domain: str) -> bool:
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return False
    return True
