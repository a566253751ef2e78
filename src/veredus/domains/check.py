"""What DNS says of a domain, compared with what it should: line by line, with the remedy."""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from veredus.domains.domains import Domain, Key
from veredus.domains.records import Record, Surroundings, mechanism, records
from veredus.resolver import LookupFailed, NoSuchName, Resolver

T = TypeVar("T")
Level = Literal["ok", "note", "warning", "problem"]
Look = Callable[..., Awaitable[tuple[Level, str]]]
# Mechanisms whose hosts are not looked at here: what they allow, only a mail from there would tell.
_INDIRECT = re.compile(r"(?i)\+?(include:|exists:|ptr\b|redirect=)")
_NETWORK = re.compile(r"(?i)\+?ip[46]:(.+)")


class Finding(Struct, frozen=True):
    """What was looked at, and how it is. ``text`` ends in a remedy unless all is well.

    note: a record that would be good to have is missing. warning: it works, but not everywhere, or it could
    not be told. problem: mail suffers.
    """

    name: str
    level: Level
    text: str


class Check:
    """One look at one domain."""

    def __init__(self, resolver: Resolver, domain: Domain, around: Surroundings) -> None:
        self._resolver, self._domain, self._around = resolver, domain, around
        self._wanted = {(one.name, one.type): one for one in records(domain, around)}

    async def findings(self, addresses: Sequence[str] = ()) -> list[Finding]:
        """``addresses``: those that mail is sent from; else those that DNS gives for our host.

        All is asked at once: a resolver that does not answer costs its timeout once.
        """
        async with asyncio.TaskGroup() as tasks:

            def look(name: str, at: Look, *args: object) -> asyncio.Task[Finding]:
                return tasks.create_task(self._guarded(name, at, *args))

            ours = tasks.create_task(self._ours())
            sending = tasks.create_task(_sending(addresses, ours))
            first = [look("MX", self._mx), look(self._around.hostname, self._host, ours)]
            rest = [
                look("SPF", self._spf, sending),
                *(look(f"DKIM {key.selector}", self._dkim, key) for key in self._domain.keys),
                look("DMARC", self._dmarc),
                look("TLS-RPT", self._optional, "_smtp._tls", b"v=TLSRPTv1"),
                look("MTA-STS", self._optional, "_mta-sts", b"v=STSv1"),
            ]
            reverse = [look(f"PTR {address}", self._ptr, address) for address in await sending]
        return [task.result() for task in (*first, *reverse, *rest)]

    async def _ours(self) -> list[str] | LookupFailed:
        try:
            return await _found(self._resolver.addresses(self._around.hostname))
        except LookupFailed as error:
            return error

    async def _guarded(self, name: str, look: Look, *args: object) -> Finding:
        try:
            return Finding(name, *await look(*args))
        except LookupFailed as error:
            return Finding(name, "problem", f"{error} - try again, or ask another resolver with dns.servers")

    def _record(self, name: str, type: Literal["MX", "TXT"] = "TXT") -> Record:
        return self._wanted[name, type]

    async def _mx(self) -> tuple[Level, str]:
        name, ours = self._domain.name, self._around.hostname.lower()
        hosts = [mx.host for mx in await _found(self._resolver.mx(name))]
        add = f"add {self._record(name, 'MX').zone_line()}"
        if not hosts:
            return "problem", f"there is none - {add}"
        if ours in hosts:
            others = [host for host in hosts if host != ours]
            return "ok", f"{ours}" + (f", besides {', '.join(others)}" if others else "")
        return "problem", f"mail goes to {', '.join(hosts)}, not to {ours} - {add}"

    async def _host(self, ours: Awaitable[list[str] | LookupFailed]) -> tuple[Level, str]:
        hostname, found = self._around.hostname, await ours
        if isinstance(found, LookupFailed):
            raise found
        if not found:
            return (
                "problem",
                f"has no address - add an A or AAAA record for {hostname}, or change the setting hostname",
            )
        return "ok", ", ".join(found)

    async def _ptr(self, address: str) -> tuple[Level, str]:
        """Many hosts refuse mail from an address without a name that leads back to it."""
        bad: Level = "problem" if self._around.smart_host is None else "warning"
        names = await _found(self._resolver.ptr(address))
        remedy = f"let whoever gave you the address name it {self._around.hostname}"
        if not names:
            return bad, f"the address has no name - {remedy}"
        for name in names:
            if _is_in(address, await _found(self._resolver.addresses(name))):
                return "ok", name
        return bad, f"{', '.join(names)} does not lead back to the address - {remedy}"

    async def _spf(self, sending: Awaitable[Sequence[str]]) -> tuple[Level, str]:
        name = self._domain.name
        wanted = self._record(name)
        policies = [text for text in await self._texts(name) if re.match(r"(?i)v=spf1( |\Z)", text)]
        if not policies:
            return "problem", f"there is none - add {wanted.zone_line()}"
        if len(policies) > 1:
            return "problem", f"there are {len(policies)} policies, and so none counts - leave one of them"
        policy = policies[0]
        terms = policy.split()[1:]
        if re.search(r"(?i)(?:^| )\+?all(?:$| )", policy):
            return "problem", f"{policy!r} lets every host send for the domain - end it in -all"
        if self._allows(terms, await sending):
            return "ok", policy
        if any(_INDIRECT.match(term) for term in terms):
            return "warning", f"{policy!r} may allow this host by what it refers to - look there"
        return "problem", f"{policy!r} does not allow this host - make it {wanted.value!r}"

    def _allows(self, terms: Sequence[str], addresses: Sequence[str]) -> bool:
        """Whether our host, or each of our addresses, is named; ``mx`` is right once the MX is."""
        sender = mechanism(self._around.smart_host or self._around.hostname)
        if sender.startswith("ip"):
            addresses = [sender.partition(":")[2]]
        hosts = {"mx", "+mx", sender, f"+{sender}"}
        if self._around.smart_host is not None:
            hosts -= {"mx", "+mx"}
        if hosts & {term.lower() for term in terms}:
            return True
        networks = [found[1] for term in terms if (found := _NETWORK.fullmatch(term))]
        return bool(addresses) and all(_is_in(address, networks) for address in addresses)

    async def _dkim(self, key: Key) -> tuple[Level, str]:
        name = f"{key.selector}._domainkey.{self._domain.name}"
        texts = await self._texts(name)
        if key.status == "retired":
            return "ok", f"retired; leave its record until {key.leave_until:%Y-%m-%d}"
        add = f"add {self._record(name).zone_line()}"
        bad: Level = "problem" if key.status == "signing" else "warning"
        if not texts:
            return bad, f"there is no TXT record at {name} - {add}"
        if len(texts) > 1:
            return bad, f"there are {len(texts)} TXT records at {name} - leave that of this server"
        if not is_key(texts[0], key):
            return bad, f"another key is at {name} - replace it: {add}"
        if key.status == "waiting":
            return "ok", f"published; `veredus domain rotate {self._domain.name}` signs with it"
        return "ok", key.algorithm

    async def _dmarc(self) -> tuple[Level, str]:
        name = f"_dmarc.{self._domain.name}"
        found = [text for text in await self._texts(name) if re.match(r"v=DMARC1\s*(;|\Z)", text)]
        if not found:
            return "problem", f"there is no policy - add {self._record(name).zone_line()}"
        if len(found) > 1:
            return "problem", f"there are {len(found)} policies, and so none counts - leave one of them"
        policy = re.search(r"(?i);\s*p\s*=\s*(none|quarantine|reject)\s*(;|\Z)", found[0])
        if policy is None:
            return "problem", f"{found[0]!r} has no p= - add {self._record(name).zone_line()}"
        if policy[1].lower() == "none":
            return "warning", f"{found[0]!r} keeps nobody from using your name - p=quarantine, then p=reject"
        return "ok", found[0]

    async def _optional(self, label: str, version: bytes) -> tuple[Level, str]:
        name = f"{label}.{self._domain.name}"
        for text in await self._texts(name):
            if text.encode().startswith(version):
                return "ok", text
        wanted = self._record(name)
        return "note", f"there is none ({wanted.why}) - add {wanted.zone_line()}"

    async def _texts(self, name: str) -> list[str]:
        return [text.decode("utf-8", "replace") for text in await _found(self._resolver.txt(name))]


async def published(resolver: Resolver, domain: Domain) -> list[Key]:
    """The waiting keys that DNS has. Raises LookupFailed."""
    found = []
    for key in domain.with_status("waiting"):
        texts = await _found(resolver.txt(f"{key.selector}._domainkey.{domain.name}"))
        if len(texts) == 1 and is_key(texts[0].decode("utf-8", "replace"), key):
            found.append(key)
    return found


def is_key(text: str, key: Key) -> bool:
    """Whether a TXT record holds this key, whatever else it says (RFC 6376 §3.6.1)."""

    def tag(record: str, name: str, default: str) -> str:
        found = re.search(rf"(?:^|;)\s*{name}\s*=([^;]*)", record)
        return re.sub(r"\s", "", found[1]) if found else default

    return all(
        tag(text, name, default) == tag(key.record, name, "") for name, default in (("k", "rsa"), ("p", ""))
    )


async def _sending(given: Sequence[str], ours: Awaitable[list[str] | LookupFailed]) -> Sequence[str]:
    if given:
        return given
    found = await ours
    return [] if isinstance(found, LookupFailed) else found


async def _found(question: Awaitable[list[T]]) -> list[T]:
    try:
        return await question
    except NoSuchName:
        return []


def _is_in(address: str, networks: Sequence[str]) -> bool:
    for network in networks:
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False):
                return True
        except ValueError:
            continue
    return False
