"""Which hosts take the mail of a destination (RFC 5321 §5)."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from random import SystemRandom
from typing import Final, Literal, Protocol

from veredus.ports import Unreachable
from veredus.relay import dane
from veredus.relay.host import Host
from veredus.relay.mta_sts import Policies, Policy
from veredus.relay.opening import Options
from veredus.relay.wire import reason
from veredus.resolver import LookupFailed, Mx, NoSuchName, Resolver, Tlsa

_RANDOM: Final = SystemRandom()
# Somebody else's zone says how many hosts there are.
_MOST_HOSTS: Final = 12
_MOST_ADDRESSES: Final = 4


class Routes(Protocol):
    """Where mail goes."""

    async def hosts(self, destination: str) -> Sequence[Host]:
        """In the order in which they are tried; at least one. Raises Unreachable."""
        ...


class SmartHost:
    """One host takes everything. It is found as the system finds names, /etc/hosts included."""

    def __init__(
        self, name: str, port: int, *, tls: Literal["opportunistic", "required"], is_implicit: bool
    ) -> None:
        self._name = name
        self._port = port
        self._is_strict = is_implicit or tls == "required"

    async def hosts(self, destination: str) -> Sequence[Host]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unreachable(f"451 4.4.3 {self._name}: {reason(error)}") from error
        # On this machine nobody listens in between, and hosts have certificates that they made themselves.
        # Everywhere else a password may be sent, and is sent to nobody who has not proved who he is.
        return [
            Host(
                self._name,
                [address],
                "verified" if self._is_strict or not _is_loopback(address) else "opportunistic",
            )
            for address in dict.fromkeys(str(it[4][0]) for it in found)
        ]


class MxRoutes:
    """The hosts that DNS names, and what DANE and MTA-STS demand of them."""

    def __init__(self, resolver: Resolver, policies: Policies, options: Options) -> None:
        self._resolver = resolver
        self._policies = policies
        self._options = options

    async def hosts(self, destination: str) -> Sequence[Host]:
        if destination.startswith("["):
            return [self._literal(destination)]
        try:
            exchangers = await self._resolver.mx(destination)
        except NoSuchName:
            raise Unreachable(f"550 5.1.2 There is no domain {destination}", is_final=True) from None
        except LookupFailed as error:
            raise Unreachable(f"451 4.4.3 {error}") from error
        is_implicit = not exchangers
        exchangers = self._others(destination, exchangers or [Mx(0, destination)])
        policy = await self._policies.of(destination)
        if policy is not None and policy.is_enforced:
            exchangers = [it for it in exchangers if policy.names(it.host)]
            if not exchangers:
                raise Unreachable(f"451 4.7.0 No host of {destination} is one that its MTA-STS policy names")
        return await self._found(destination, exchangers, policy, is_implicit=is_implicit)

    def _others(self, destination: str, exchangers: Sequence[Mx]) -> list[Mx]:
        """Those that come before ourselves (RFC 5321 §5.1), at random among equals. Raises Unreachable."""
        if [it.host for it in exchangers] == ["."]:
            raise Unreachable(f"556 5.1.10 {destination} takes no mail", is_final=True)
        own = self._options.hostname.lower()
        limit = min((it.preference for it in exchangers if it.host == own), default=65536)
        left = [it for it in exchangers if it.preference < limit and it.host not in (".", own)]
        if not left:
            raise Unreachable(f"554 5.4.6 Mail for {destination} would come back to this host", is_final=True)
        return sorted(left, key=lambda it: (it.preference, _RANDOM.random()))[:_MOST_HOSTS]

    async def _found(
        self, destination: str, exchangers: Sequence[Mx], policy: Policy | None, *, is_implicit: bool
    ) -> list[Host]:
        hosts, troubles, are_final = [], [], True
        for it in exchangers:
            try:
                hosts.append(await self._host(it, policy))
            except NoSuchName:
                troubles.append(f"There is no host {it.host}")
            except LookupFailed as error:
                troubles.append(str(error))
                are_final = False
        usable = [it for it in hosts if it.addresses]
        if usable:
            return usable
        if are_final and is_implicit:
            raise Unreachable(f"550 5.1.2 {destination} has no host that takes mail", is_final=True)
        # RFC 5321 §5.1: MX records without any address are an error that somebody may repair.
        text = troubles[0] if troubles else f"No host of {destination} has an address"
        raise Unreachable(f"451 4.4.3 {text}")

    async def _host(self, exchanger: Mx, policy: Policy | None) -> Host:
        """Raises NoSuchName, LookupFailed."""
        found = await self._resolver.lookup(exchanger.host)
        addresses = found.addresses[:_MOST_ADDRESSES]
        if exchanger.is_secure and found.is_secure and addresses:
            # RFC 7672 §2.1.2: without an answer to this question the host must not be used.
            tlsa = await self._tlsa(exchanger.host)
            if tlsa.is_secure and tlsa.records:
                records = dane.usable(tlsa.records)
                return Host(exchanger.host, addresses, "dane" if records else "encrypted", records)
        is_verified = self._options.tls == "required" or (policy is not None and policy.is_enforced)
        return Host(exchanger.host, addresses, "verified" if is_verified else "opportunistic")

    async def _tlsa(self, host: str) -> Tlsa:
        try:
            return await self._resolver.tlsa(f"_{self._options.port}._tcp.{host}")
        except NoSuchName:
            return Tlsa((), is_secure=False)

    def _literal(self, destination: str) -> Host:
        """RFC 5321 §4.1.3. Raises Unreachable."""
        try:
            address = str(ip_address(destination.strip("[]").removeprefix("ipv6:")))
        except ValueError:
            raise Unreachable(f"553 5.1.2 {destination} is no address", is_final=True) from None
        return Host(address, [address], "verified" if self._options.tls == "required" else "opportunistic")


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
