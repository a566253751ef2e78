"""DKIM signatures of what arrives (RFC 6376, RFC 8463), by dkimpy.

Keys are fetched first, of all signatures at once, so that dkimpy itself asks nobody.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import dkim

from veredus.formats.authentication_results import Result
from veredus.inspection.dmarc import Identity
from veredus.resolver import LookupFailed, NoSuchName, Resolver

T = TypeVar("T")

# §6.1: a verifier need not look at all there are.
_MOST = 10
# So many octets take dkimpy some milliseconds.
_LARGE = 64 * 1024

# dkimpy logs content.
_silent = logging.Logger("dkim")
_silent.disabled = True


async def check(resolver: Resolver, message: bytes) -> tuple[list[Result], list[Identity]]:
    """What each signature is worth; one result "none" when there is no signature."""
    try:
        verifier = await _on_thread_if_large(message, dkim.DKIM, message, _silent)
    except (dkim.DKIMException, IndexError, ValueError):  # header lines that dkimpy cannot read
        return [Result("dkim", "permerror", reason="the header section is malformed")], []
    count = min(sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers), _MOST)
    if not count:
        return [Result("dkim", "none")], []
    signatures = [_Signature(verifier, index) for index in range(count)]
    keys = await asyncio.gather(*(signature.fetch(resolver) for signature in signatures))
    results, identities = [], []
    for signature, key in zip(signatures, keys, strict=True):
        result, reason = await _on_thread_if_large(message, signature.verify, key)
        results.append(Result("dkim", result, signature.properties, reason))
        identities.append(Identity("dkim", signature.tag("d").lower(), result))
    return results, identities


async def _on_thread_if_large(message: bytes, work: Callable[..., T], *args: object) -> T:
    return await asyncio.to_thread(work, *args) if len(message) > _LARGE else work(*args)


class _Signature:
    """The signature field of this index; the first is the topmost."""

    def __init__(self, verifier: dkim.DKIM, index: int) -> None:
        self._verifier, self._index = verifier, index
        self._tags: dict[bytes, bytes] = {}
        # Why it cannot be verified at all.
        self._problem = ""
        try:
            self._tags = verifier.verify_headerprep(index)[0]
        except (dkim.DKIMException, ValueError) as error:
            self._problem = _plain(error)
            self._tags = getattr(verifier, "signature_fields", {})

    def tag(self, name: str) -> str:
        return re.sub(rb"\s", b"", self._tags.get(name.encode(), b"")).decode("ascii", "replace")

    @property
    def properties(self) -> Sequence[tuple[str, str]]:
        """Those of RFC 8601 §2.7.1 and RFC 6008 that are there."""
        found = [(f"header.{name}", self.tag(name)) for name in ("d", "i", "s", "a")]
        return [(name, value) for name, value in (*found, ("header.b", self.tag("b")[:8])) if value]

    async def fetch(self, resolver: Resolver) -> bytes | LookupFailed | None:
        """The record of the key. None: there is none."""
        if self._problem:
            return None
        try:
            texts = await resolver.txt(f"{self.tag('s')}._domainkey.{self.tag('d')}")
        except NoSuchName:
            return None
        except LookupFailed as error:
            return error
        # §3.6.2.2: of several records the result is undefined; what is no key is not counted here.
        return next((text for text in texts if b"p=" in text), None)

    def verify(self, key: bytes | LookupFailed | None) -> tuple[str, str]:
        """The result (RFC 8601 §2.7.1), and the reason unless it is "pass"."""
        if isinstance(key, LookupFailed):
            return "temperror", str(key)
        if self._problem or key is None:
            return "permerror", self._problem or "no key in DNS"
        if self.tag("a") == "rsa-sha1":
            return "policy", "SHA-1 is not accepted (RFC 8301)"
        try:
            dkim.evaluate_pk(self.tag("s"), key)
            is_good = self._verifier.verify(self._index, lambda name, timeout=5: key)
        except dkim.KeyFormatError as error:
            return ("policy" if "too small" in str(error) else "permerror"), _plain(error)
        except dkim.ValidationError as error:
            return "fail", _plain(error).partition(" (")[0]
        except Exception as error:  # dkimpy meets what it did not expect: no signature can be trusted then
            return "permerror", type(error).__name__
        if is_good and self.tag("l") and self._leaves_some():
            return "policy", "l= leaves a part of the body unsigned"
        return ("pass", "") if is_good else ("fail", "the signature does not fit")

    def _leaves_some(self) -> bool:
        """§8.2: anybody may have added what stands behind l=."""
        policy = dkim.CanonicalizationPolicy.from_c_value(self._tags.get(b"c"))
        return len(policy.canonicalize_body(self._verifier.body)) > int(self.tag("l"))


def _plain(error: Exception) -> str:
    return re.sub(r"b'|[^ -~]|'", "", str(error))[:100]
