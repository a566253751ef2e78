"""Where a request comes from and where it believes to be: proxies, the Host field, CORS."""

import ipaddress
import re

from veredus.http.exchange import Exchange
from veredus.http.problems import Headers, Problem

# RFC 9110 §7.2; the underscore is not in RFC 1123, but container networks have such names.
_HOST = re.compile(rb"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
# How many answers are remembered, so that nobody fills the memory with made-up hosts.
_REMEMBERED = 1024


class Addresses:
    """Base URLs and client addresses, believing X-Forwarded-* from trusted proxies only."""

    def __init__(self, public_url: str | None, trusted_proxies: tuple[str, ...]) -> None:
        self._public_url = public_url.rstrip("/") if public_url else None
        self._networks = [ipaddress.ip_network(network, strict=False) for network in trusted_proxies]
        self._trusted: dict[str, bool] = {}
        self._urls: dict[tuple[str, bytes], str] = {}

    def check_host(self, x: Exchange) -> None:
        """HTTP/1.1 requires one Host field (RFC 9112 §3.2); ``base_url`` checks its form. Raises Problem."""
        fields = x.scope["headers"]
        if len(x.headers) != len(fields):
            names = [name for name, _ in fields]
            if names.count(b"host") > 1 or names.count(b"authorization") > 1:
                raise Problem(400, "A header field that may stand once stands twice.")
        if b"host" not in x.headers and x.scope["http_version"] == "1.1":
            raise Problem(400, "The request has no Host header field.")

    def base_url(self, x: Exchange) -> str:
        """Scheme and authority under which the client reaches this server. Raises Problem."""
        if self._public_url is not None:
            return self._public_url
        scheme: str = x.scope["scheme"]
        host = x.headers.get(b"host", b"")
        if b"x-forwarded-host" in x.headers or b"x-forwarded-proto" in x.headers:
            scheme, host = self._forwarded(x, scheme, host)
        url = self._urls.get((scheme, host))
        return url if url is not None else self._new_url(x, scheme, host)

    def client(self, x: Exchange) -> str:
        """The address of the client: the last in X-Forwarded-For that is no trusted proxy."""
        peer = x.scope["client"]
        address = peer[0] if peer else "unix"
        if b"x-forwarded-for" in x.headers and self._trusts(address):
            for hop in reversed(x.headers[b"x-forwarded-for"].split(b",")):
                address = hop.strip().decode("latin-1")[:45]
                if not self._trusts(address):
                    break
        return address

    def _forwarded(self, x: Exchange, scheme: str, host: bytes) -> tuple[str, bytes]:
        peer = x.scope["client"]
        if not self._trusts(peer[0] if peer else "unix"):
            return scheme, host
        # The last of several is the one that the nearest proxy wrote.
        proto = x.headers.get(b"x-forwarded-proto", b"").rpartition(b",")[2].strip().lower()
        if proto in (b"http", b"https"):
            scheme = proto.decode()
        return scheme, x.headers.get(b"x-forwarded-host", host).rpartition(b",")[2].strip()

    def _trusts(self, address: str) -> bool:
        trusted = self._trusted.get(address)
        if trusted is None:
            if len(self._trusted) >= _REMEMBERED:
                self._trusted.clear()
            trusted = self._trusted[address] = self._in_networks(address)
        return trusted

    def _in_networks(self, address: str) -> bool:
        if address == "unix":  # who may connect there is said by the file system
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks)

    def _new_url(self, x: Exchange, scheme: str, host: bytes) -> str:
        if not host and x.scope["http_version"] == "1.0":
            address, port = x.scope["server"]
            return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"
        if not _HOST.fullmatch(host):
            raise Problem(400, "The Host header field is not a host with an optional port.")
        if len(self._urls) >= _REMEMBERED:
            self._urls.clear()
        url = self._urls[scheme, host] = f"{scheme}://{host.decode('ascii').lower()}"
        return url


class Cors:
    """Which web pages may use this server (https://fetch.spec.whatwg.org/#http-cors-protocol).

    No cookie is ever read, so credentials need no permission: the page must know them itself.
    """

    _EXPOSED = (
        b"access-control-expose-headers",
        b"Accept-Ranges, Content-Disposition, Content-Range, ETag, Retry-After, WWW-Authenticate",
    )
    _PREFLIGHT = (
        (
            b"access-control-allow-headers",
            b"Authorization, Content-Type, If-None-Match, If-Range, Last-Event-ID, Range",
        ),
        (b"access-control-max-age", b"86400"),
    )

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode("latin-1") for origin in origins)

    def fields(self, origin: bytes | None) -> Headers:
        """Header fields for every response."""
        if self._any:
            return [(b"access-control-allow-origin", b"*"), self._EXPOSED]
        if origin is None or origin not in self._origins:
            return [(b"vary", b"Origin")]
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), self._EXPOSED]

    def preflight(self, allow: bytes) -> Headers:
        """Header fields for the response to a preflight request, besides ``fields``."""
        return [(b"access-control-allow-methods", allow), *self._PREFLIGHT]
