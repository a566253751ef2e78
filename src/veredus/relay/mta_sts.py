"""What domains demand of whoever sends them mail (MTA-STS, RFC 8461)."""

import asyncio
import re
import socket
from collections import OrderedDict
from typing import Any, Final, Literal

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from veredus.relay.contexts import Contexts
from veredus.relay.wire import reason
from veredus.resolver import LookupFailed, NoSuchName, Resolver

log = structlog.get_logger()

_LARGEST: Final = 64 * 1024
_LONGEST_S: Final = 31_557_600  # §3.2
_REMEMBERED: Final = 10_000
# After a policy could not be fetched it is not tried with each message (§3.3).
_PAUSE_S: Final = 300
_RECORD: Final = re.compile(rb"v=STSv1[ \t]*;(?:.*;)?[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;.*)?", re.DOTALL)
_FETCH_S: Final = 60


class Policy(Struct, frozen=True):
    """§3.2; ``patterns`` in lower case."""

    mode: Literal["enforce", "testing", "none"]
    patterns: tuple[str, ...]
    max_age_s: int

    @property
    def is_enforced(self) -> bool:
        return self.mode == "enforce"

    def names(self, host: str) -> bool:
        """§4.1: "*" stands for one label, the first."""
        rest = host.partition(".")[2]
        return any(it == host or (it.startswith("*.") and it[2:] == rest) for it in self.patterns)


class _Known(Struct, frozen=True):
    """``policy``: None after it could not be fetched, until ``until``, of the loop's clock."""

    id: bytes
    policy: Policy | None
    until: float


class Policies:
    """Policies are remembered for as long as they say, of 10,000 domains, until the process ends."""

    def __init__(self, resolver: Resolver, contexts: Contexts, port: int) -> None:
        self._resolver = resolver
        self._contexts = contexts
        self._port = port
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._session: ClientSession | None = None

    async def of(self, domain: str) -> Policy | None:
        """None: the domain has no policy, or it cannot be had and none is remembered (§3.3, §5.1)."""
        known = self._known.get(domain)
        now = asyncio.get_running_loop().time()
        if known is not None and known.until <= now:
            known = None
        id = await self._id(domain)
        if id is None or (known is not None and known.id == id):
            return known.policy if known is not None else None
        policy = await self._fetch(domain)
        if policy is not None:
            self._remember(domain, _Known(id, policy, now + policy.max_age_s))
            return policy
        if known is not None and known.policy is not None:
            return known.policy
        self._remember(domain, _Known(id, None, now + _PAUSE_S))
        return None

    async def _id(self, domain: str) -> bytes | None:
        """§3.1: of which policy DNS speaks; None: of none, or it cannot be asked."""
        try:
            records = await self._resolver.txt(f"_mta-sts.{domain}")
        except (NoSuchName, LookupFailed):
            return None
        found = [it for it in records if it.startswith((b"v=STSv1;", b"v=STSv1 "))]
        match = _RECORD.fullmatch(found[0]) if len(found) == 1 else None
        return match[1] if match else None

    async def _fetch(self, domain: str) -> Policy | None:
        """§3.3: no redirects, and only with a certificate for this name."""
        url = URL.build(
            scheme="https", host=f"mta-sts.{domain}", port=self._port, path="/.well-known/mta-sts.txt"
        )
        try:
            async with self._opened().get(url, allow_redirects=False) as response:
                if response.status != 200 or response.content_type != "text/plain":
                    why = f"{response.status} {response.content_type}"
                else:
                    policy = parse(await _body(response.content))
                    if policy is not None:
                        return policy
                    why = "no policy"
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            # aiohttp wraps what the network and TLS say.
            why = reason(
                getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
            )
        log.info("MTA-STS policy cannot be had", domain=domain, reason=why)
        return None

    def _opened(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(
                resolver=_Addresses(self._resolver),
                use_dns_cache=False,
                ssl=self._contexts.verified,
                limit=20,
                force_close=True,
            )
            self._session = ClientSession(connector=connector, timeout=ClientTimeout(total=_FETCH_S))
        return self._session

    def _remember(self, domain: str, known: _Known) -> None:
        self._known[domain] = known
        self._known.move_to_end(domain)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _body(content: Any) -> str:
    """Raises ValueError: it is too long, or no UTF-8."""
    data = bytearray()
    async for chunk in content.iter_chunked(_LARGEST):
        data += chunk
        if len(data) > _LARGEST:
            raise ValueError("too long")
    return data.decode()


def parse(text: str) -> Policy | None:
    """§3.2: the first of repeated fields counts, but for "mx"; unknown ones are left out. None: no policy."""
    fields: dict[str, str] = {}
    patterns = []
    for line in text.splitlines():
        key, _, value = (it.strip() for it in line.partition(":"))
        if key == "mx":
            patterns.append(value.lower().rstrip("."))
        else:
            fields.setdefault(key, value)
    mode, age = fields.get("mode"), fields.get("max_age", "")
    if fields.get("version") != "STSv1" or not (age.isascii() and age.isdigit() and len(age) <= 10):
        return None
    match mode:
        case "enforce" | "testing" if patterns:
            return Policy(mode, tuple(patterns), min(int(age), _LONGEST_S))
        case "none":
            return Policy(mode, (), min(int(age), _LONGEST_S))
        case _:
            return None


class _Addresses(AbstractResolver):
    """What aiohttp asks for the addresses of a name."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        try:
            addresses = await self._resolver.addresses(host)
        except (NoSuchName, LookupFailed) as error:
            raise OSError(None, f"{host} has no address") from error
        return [
            ResolveResult(hostname=host, host=it, port=port, family=_family(it), proto=0, flags=0)
            for it in addresses
        ]

    async def close(self) -> None:
        """The resolver is not ours."""


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
