"""Relays for tests: short timeouts, closed at the end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sending.dns_server import DnsServer
from sending.peer import Peer
from veredus.ports import Address, Fate, Parcel, Unreachable
from veredus.relay.opening import Options
from veredus.relay.session import Timeouts
from veredus.relay.smtp import SmtpRelay
from veredus.resolver import Resolver

PATIENT = Timeouts(10, 10, 10, 10, 10, 10, 10, 1)
# For hosts that say nothing.
BRIEF = Timeouts(10, 1, 1, 1, 1, 1, 1, 0.1)
TEXT = b"Subject: hello\r\n\r\n.a line with a dot\r\nand another\r\n"


def parcel(
    *recipients: "str | Address", sender: "str | Address" = "me@veredus.example", data: bytes = TEXT
) -> Parcel:
    """To ann@example.org, if nobody is named."""
    return Parcel(_address(sender), [_address(it) for it in recipients or ("ann@example.org",)], data)


def _address(it: "str | Address") -> Address:
    return it if isinstance(it, Address) else Address(it)


@asynccontextmanager
async def relaying(
    url: str, servers: Sequence[str] = ("127.0.0.1:9",), **options: Any
) -> AsyncIterator[SmtpRelay]:
    """``servers``: of DNS; nobody is asked unless they are given."""
    resolver = Resolver(servers, timeout_s=1)
    options = {"hostname": "veredus.example", "timeouts": PATIENT} | options
    relay = SmtpRelay(url, resolver, Options(**options))
    try:
        yield relay
    finally:
        await relay.close()
        await resolver.close()


async def fate(dns: DnsServer, smtp: Peer, **options: object) -> Fate | str:
    """Of one message to ann@example.org by MX: what became of it, or why the domain was not reached."""
    async with relaying("mx", [dns.address], port=smtp.port, **options) as relay:
        try:
            return (await relay.send("example.org", parcel()))["ann@example.org"]
        except Unreachable as unreachable:
            return f"final: {unreachable}" if unreachable.is_final else str(unreachable)
