"""Who may submit: logins, how often they may fail, and from which addresses users send (RFC 6409, 4954)."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

import structlog

from veredus.formats.smtp import Login, LoginOffered, Reply, SenderOffered
from veredus.ports.trouble import described
from veredus.reception.delivery import Delivery

log = structlog.get_logger()

_WRONG = Reply(535, "5.7.8", "Authentication credentials invalid")
_TOO_OFTEN = Reply(454, "4.7.0", "Too many failed logins from your address, try again later")
_AWAY = Reply(454, "4.7.0", "Temporary authentication failure")
_FAILED = Reply(451, "4.3.0", "Temporary failure, try again later")
# So many networks are remembered; beyond, those whose last failure is longest ago are forgotten.
_NETWORKS = 10_000


class Submission(Delivery, Protocol):
    """What submission asks of the rest; an exception is a temporary failure to the client."""

    async def log_in(self, user: str, password: str) -> Login | Reply | None:
        """Who it is; None: the password is wrong. A reply refuses a right one that is of no use here."""
        ...

    async def sender(self, login: Login, address: str) -> Reply | None:
        """None: the user may send from this address ("": the null reverse-path); else the refusal."""
        ...


class Failures:
    """Failed logins of each network: an IPv4 address, or 64 bits of an IPv6 one. In this process alone."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        # By network: when the window began, and the failures since.
        self._found: dict[str, tuple[float, int]] = {}

    def are_too_many(self, client: str, now: float) -> bool:
        began, count = self._found.get(network_of(client), (now, 0))
        return count >= self._limit and now - began < self._window_s

    def add(self, client: str, now: float) -> None:
        network = network_of(client)
        began, count = self._found.pop(network, (now, 0))
        fresh = now - began >= self._window_s
        self._found[network] = (now, 1) if fresh else (began, count + 1)
        if len(self._found) > _NETWORKS:
            del self._found[next(iter(self._found))]


class Gate:
    """Asks a Submission, whatever goes wrong in it, and slows down those who guess."""

    def __init__(
        self,
        submission: Submission,
        clock: Callable[[], float],
        *,
        delay_s: float = 1.0,
        failures: int = 20,
        window_s: float = 600.0,
    ) -> None:
        """``clock``: monotonic seconds. ``failures``: of one network within ``window_s`` until its logins are
        not looked at any more; ``delay_s`` before the answer to each."""
        self._submission, self._clock, self._delay_s = submission, clock, delay_s
        self._failures = Failures(failures, window_s)

    async def log_in(self, offered: LoginOffered, client: str) -> Login | Reply:
        """Who it is, or the refusal."""
        # Behind an address of this machine is a proxy or a webmail: all its users would pay for one of them.
        is_counted = not is_private(client)
        if is_counted and self._failures.are_too_many(client, self._clock()):
            log.warning("login not looked at", client=client)
            return _TOO_OFTEN
        try:
            found = await self._submission.log_in(offered.user, offered.password)
        except Exception as error:
            log.error("login failed", client=client, **described(error))
            return _AWAY
        if found is None:
            if is_counted:
                self._failures.add(client, self._clock())
            log.info("login refused", client=client)
            await asyncio.sleep(self._delay_s)
        return found or _WRONG

    async def sender(self, offered: SenderOffered) -> Reply | None:
        """Whether the user may send from the address."""
        try:
            return await self._submission.sender(offered.login, offered.address)
        except Exception as error:
            log.error("sender not looked up", **described(error))
            return _FAILED


def network_of(client: str) -> str:
    """What one customer has: who has an IPv6 network has 2^64 addresses to guess from."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_private(client: str) -> bool:
    """Whether nobody else can hear what a client says: it is on this machine ("": a local socket)."""
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return not client
