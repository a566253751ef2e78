"""DMARC (RFC 7489): whether who is named as author agrees, and what its domain asks for if not.

The parts of authheaders that do this are not used: they cut domains at a hyphen, look at one signature alone,
and read the public suffix list anew for each message.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from veredus.formats.authentication_results import Result
from veredus.inspection.suffixes import Suffixes
from veredus.resolver import LookupFailed, NoSuchName, Resolver

Disposition = Literal["none", "quarantine", "reject"]
_DISPOSITIONS: tuple[Disposition, ...] = ("none", "quarantine", "reject")


class Identity(Struct, frozen=True):
    """A domain that SPF or DKIM looked at. ``result``: their word, such as pass or temperror."""

    method: Literal["spf", "dkim"]
    domain: str
    result: str


class Policy(Struct, frozen=True):
    """What a domain asks for (§6.3); ``asked`` is for the domain that was looked up: of p= and sp= one."""

    asked: Disposition
    is_strict: dict[str, bool]
    percent: int = 100


class Judgement(Struct, frozen=True):
    """``disposition``: what to do with the message; "none" unless it failed."""

    result: Result
    disposition: Disposition = "none"


async def judge(
    resolver: Resolver, suffixes: Suffixes, author: str, identities: Sequence[Identity], message: bytes
) -> Judgement:
    """DMARC for one domain of the From field."""
    try:
        policy = await find(resolver, suffixes, author)
    except LookupFailed as error:
        return Judgement(_result("temperror", author, reason=str(error)))
    if policy is None:
        return Judgement(_result("none", author))
    aligned = [one for one in identities if _is_aligned(one, author, policy, suffixes)]
    if any(one.result == "pass" for one in aligned):
        return Judgement(_result("pass", author, policy))
    if any(one.result == "temperror" for one in aligned):
        return Judgement(_result("temperror", author, policy))
    return Judgement(_result("fail", author, policy), _sampled(policy, message))


def _result(result: str, author: str, policy: Policy | None = None, reason: str = "") -> Result:
    asked = [("policy.dmarc", policy.asked)] if policy else []
    return Result("dmarc", result, [("header.from", author), *asked], reason)


def _is_aligned(identity: Identity, author: str, policy: Policy, suffixes: Suffixes) -> bool:
    """§3.1: the same domain; unless it must be, the same organization."""
    if identity.domain == author:
        return True
    return not policy.is_strict[identity.method] and (
        suffixes.organizational(identity.domain) == suffixes.organizational(author)
    )


def _sampled(policy: Policy, message: bytes) -> Disposition:
    """§6.6.4: of the messages outside pct= the next milder thing is asked. The message itself is the die."""
    if policy.percent < 100:
        die = int.from_bytes(hashlib.sha256(message).digest()[:4], "big") % 100
        if die >= policy.percent:
            return _DISPOSITIONS[max(_DISPOSITIONS.index(policy.asked) - 1, 0)]
    return policy.asked


async def find(resolver: Resolver, suffixes: Suffixes, author: str) -> Policy | None:
    """The policy for a domain: its own, or that of its organization (§6.6.3). Raises LookupFailed."""
    tags = await _tags(resolver, author)
    organization = suffixes.organizational(author)
    if tags is None and organization != author and (tags := await _tags(resolver, organization)):
        tags = {**tags, "p": tags.get("sp", tags.get("p", ""))}
    return _policy(tags) if tags else None


async def _tags(resolver: Resolver, domain: str) -> dict[str, str] | None:
    """The tags of the only policy there; of several none counts."""
    try:
        texts = await resolver.txt(f"_dmarc.{domain}")
    except NoSuchName:
        return None
    found = [text for text in texts if re.match(rb"v\s*=\s*DMARC1\s*(;|\Z)", text)]
    if len(found) != 1:
        return None
    pairs = (part.partition("=") for part in found[0].decode("latin-1").split(";"))
    return {name.strip().lower(): value.strip() for name, is_tag, value in pairs if is_tag}


def _policy(tags: dict[str, str]) -> Policy | None:
    """§6.6.3: without a policy that makes sense it is one that only wants reports, or none at all."""
    asked = next((one for one in _DISPOSITIONS if one == tags.get("p", "").lower()), None)
    if asked is None:
        if not tags.get("rua", "").lower().startswith("mailto:"):
            return None
        asked = "none"
    percent = tags.get("pct", "100")
    return Policy(
        asked,
        {"spf": tags.get("aspf", "").lower() == "s", "dkim": tags.get("adkim", "").lower() == "s"},
        int(percent) if re.fullmatch(r"[0-9]{1,3}", percent) else 100,
    )
