"""Relays for tests: short timeouts, closed at the end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from veredus.ports import Address, Parcel
from veredus.relay.opening import Options
from veredus.relay.session import Timeouts
from veredus.relay.smtp import SmtpRelay
from veredus.resolver import Resolver

PATIENT = Timeouts(10, 10, 10, 10, 10, 10, 10, 1)
# For hosts that say nothing.
BRIEF = Timeouts(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.1)
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
