"""DKIM signatures of what arrives (RFC 6376): their keys are fetched from DNS, of all at once."""

import asyncio
import re
import time
from collections.abc import Sequence

from veredus.formats.authentication_results import Result
from veredus.formats.dkim_verify import Invalid, Signature, Verifier
from veredus.inspection.dmarc import Identity
from veredus.resolver import LookupFailed, NoSuchName, Resolver

# §6.1: a verifier need not look at all there are.
_MOST = 10
# So many octets take some milliseconds.
_LARGE = 256 * 1024

_Answer = bytes | LookupFailed | Invalid


async def check(resolver: Resolver, message: bytes) -> tuple[list[Result], list[Identity]]:
    """What each signature is worth; one result "none" when there is no signature."""
    verifier = Verifier(message)
    signatures = verifier.signatures(_MOST)
    if not signatures:
        return [Result("dkim", "none")], []
    now = int(time.time())
    answers = await asyncio.gather(*(_record(resolver, verifier, one, now) for one in signatures))
    if len(message) > _LARGE:
        found = await asyncio.to_thread(_verified, verifier, signatures, answers)
    else:
        found = _verified(verifier, signatures, answers)
    results, identities = [], []
    for signature, (result, reason) in zip(signatures, found, strict=True):
        results.append(Result("dkim", result, _properties(signature), reason))
        identities.append(Identity("dkim", signature.domain, result))
    return results, identities


async def _record(resolver: Resolver, verifier: Verifier, signature: Signature, now: int) -> _Answer:
    """The record of the key; or why there is none, or none is needed."""
    try:
        verifier.check(signature, now)
        texts = await resolver.txt(signature.key_name)
    except NoSuchName:
        texts = []
    except (LookupFailed, Invalid) as error:
        return error
    # §3.6.2.2: which of several counts is not defined; what is no key is not one of them.
    return next((text for text in texts if b"p=" in text), Invalid("no key in DNS"))


def _verified(
    verifier: Verifier, signatures: Sequence[Signature], answers: Sequence[_Answer]
) -> list[tuple[str, str]]:
    """The result of each (RFC 8601 §2.7.1), and the reason unless it is "pass"."""
    return [_result(verifier, *both) for both in zip(signatures, answers, strict=True)]


def _result(verifier: Verifier, signature: Signature, answer: _Answer) -> tuple[str, str]:
    if isinstance(answer, LookupFailed):
        return "temperror", str(answer)
    try:
        if isinstance(answer, Invalid):
            raise answer
        verifier.verify(signature, answer)
    except Invalid as error:
        return error.result, str(error)
    return "pass", ""


def _properties(signature: Signature) -> list[tuple[str, str]]:
    """Those of RFC 8601 §2.7.1 and RFC 6008 that are there, and look like what they are."""
    tags = signature.tags
    found = [("header.d", signature.domain), ("header.i", tags.get("i", "")), ("header.s", tags.get("s", ""))]
    found += [("header.a", tags.get("a", "")), ("header.b", tags.get("b", "")[:8])]
    return [(name, value) for name, value in found if re.fullmatch(r"[!-~]{1,255}", value)]
