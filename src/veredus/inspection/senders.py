"""Who sent a message, as far as DNS can tell: iprev, SPF, DKIM and DMARC, with the time they may take."""

import asyncio
from collections.abc import Awaitable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from msgspec import Struct

from veredus.formats.authentication_results import Result
from veredus.formats.smtp import Envelope
from veredus.inspection import dkim_check, spf_check
from veredus.inspection.dmarc import Disposition, Identity, Judgement, judge
from veredus.inspection.fields import authors, domain_of
from veredus.inspection.suffixes import suffixes
from veredus.resolver import LookupFailed, NoSuchName, Resolver

T = TypeVar("T")

# RFC 7208 §4.6.4 allows 20 s; a client waits 10 minutes for what we say of its message.
_PATIENCE_S = 20.0
# More authors than that are no message for a mailbox.
_AUTHORS = 5
_NAMES = 10
_DISPOSITIONS: tuple[Disposition, ...] = ("none", "quarantine", "reject")


class Checked(Struct, frozen=True):
    """``author``: whose domain asks for the disposition; empty when nobody's does."""

    results: Sequence[Result]
    disposition: Disposition = "none"
    author: str = ""


async def check(resolver: Resolver, envelope: Envelope, message: bytes) -> Checked:
    """What is to be written down, and what DMARC asks for.

    Without the address of the host that sent it (what comes by LMTP comes from our own) there is no SPF. Then
    DMARC cannot fail: SPF might have passed.
    """
    client = "" if envelope.protocol.endswith(("LMTP", "LMTPS")) else envelope.client
    identity = domain_of(envelope.sender) or envelope.helo.lower()
    results: list[Result] = []
    identities: list[Identity] = []
    late = Result("dkim", "temperror", reason="no answer in time")
    signed = _in_time(dkim_check.check(resolver, message), ([late], []))
    if client:
        came = _in_time(_iprev(resolver, client), "temperror")
        allowed = _in_time(spf_check.check(resolver, client, envelope.sender, envelope.helo), "temperror")
        iprev, spf, (found, signers) = await asyncio.gather(came, allowed, signed)
        about = "smtp.mailfrom" if envelope.sender else "smtp.helo"
        results += [
            Result("iprev", iprev, [("policy.iprev", client)]),
            Result("spf", spf, [(about, identity)]),
        ]
        identities.append(Identity("spf", identity, spf))
    else:
        found, signers = await signed
    results += found
    identities += signers
    judged = await _judged(resolver, identities, message)
    if not client:
        judged = [one for one in judged if one.result.result != "fail"]
    return _sum(results, judged)


async def _judged(resolver: Resolver, identities: Sequence[Identity], message: bytes) -> list[Judgement]:
    """Of each author: who adds one that passes does not hide one that fails (RFC 7489 §6.6.1)."""
    found = authors(message)
    if not found:
        return [Judgement(Result("dmarc", "permerror", reason="no author"))]
    if len(found) > _AUTHORS:
        return [Judgement(Result("dmarc", "permerror", reason="too many authors"), "quarantine")]
    list_ = suffixes()
    late = Judgement(Result("dmarc", "temperror", [("header.from", found[0])]))
    return list(
        await asyncio.gather(
            *(_in_time(judge(resolver, list_, author, identities, message), late) for author in found)
        )
    )


def _sum(results: Sequence[Result], judged: Sequence[Judgement]) -> Checked:
    """The severest of what is asked for counts."""
    worst = max(judged, key=lambda one: _DISPOSITIONS.index(one.disposition), default=None)
    all_of = [*results, *(one.result for one in judged)]
    if worst is None or worst.disposition == "none":
        return Checked(all_of)
    return Checked(all_of, worst.disposition, dict(worst.result.properties).get("header.from", ""))


async def _iprev(resolver: Resolver, client: str) -> str:
    """Whether a name of the address leads back to it (RFC 8601 §3)."""
    try:
        names = await resolver.ptr(client)
        for name in names[:_NAMES]:
            try:
                found = await resolver.addresses(name)
            except NoSuchName:
                continue
            if ip_address(client) in map(ip_address, found):
                return "pass"
    except NoSuchName:
        return "permerror"
    except LookupFailed:
        return "temperror"
    return "fail" if names else "permerror"


async def _in_time(work: Awaitable[T], otherwise: T) -> T:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await work
    except TimeoutError:
        return otherwise
