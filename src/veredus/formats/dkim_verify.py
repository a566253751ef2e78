"""Verifying DKIM signatures (RFC 6376 §6, RFC 8463), whoever made message, signature and key.

Everything here takes time in proportion to the size of what it is given. (dkimpy does not: a line of a
megabyte of spaces would keep it busy for half an hour.)
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct

from veredus.formats.dkim_body import canonical_body
from veredus.formats.dkim_fields import field_of, relaxed_field, selected, split

# RFC 8301 §3.2: shorter keys prove nothing; longer ones are nobody's, and cost time.
_RSA_BITS = range(1024, 4097)
_FIELD = 16 * 1024
_RECORD = 8 * 1024
# §3.5: clocks differ.
_SLACK_S = 600
_SPACE = re.compile(r"[ \t\r\n]")
_NUMBER = re.compile(r"[0-9]{1,12}")
_PREHASHED = Prehashed(SHA256())


class Invalid(Exception):
    """Why a signature counts for nothing. ``result``: the word of RFC 8601 §2.7.1."""

    def __init__(self, reason: str, result: str = "permerror") -> None:
        super().__init__(reason)
        self.result = result


class Signature(Struct, frozen=True):
    """One DKIM-Signature field: its text, and its tags without white space (§3.2)."""

    text: bytes
    tags: Mapping[str, str]

    @property
    def domain(self) -> str:
        return self.tags.get("d", "").lower().removesuffix(".")

    @property
    def key_name(self) -> str:
        """Where its public key is (§3.6.2.1)."""
        return f"{self.tags.get('s', '')}._domainkey.{self.domain}"


class Verifier:
    """A message, taken apart once for all its signatures."""

    def __init__(self, message: bytes) -> None:
        """``message`` with CRLF line ends."""
        self._texts, self._body = split(message)
        # Its name, and the whole text of the field.
        self._fields = [(field_of(text)[0], text) for text in self._texts]
        self._digests: dict[tuple[bool, int | None], bytes] = {}

    def signatures(self, most: int) -> list[Signature]:
        """The topmost ones, at most so many."""
        found = [text for name, text in self._fields if name == "dkim-signature"][:most]
        return [Signature(text, _tags_or_nothing(text)) for text in found]

    def check(self, signature: Signature, now: int) -> None:
        """What can be said without the key (§6.1.1). Raises Invalid."""
        tags = signature.tags
        if missing := [name for name in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(name)]:
            raise Invalid(f"{missing[0]}= is missing")
        if tags["v"] != "1":
            raise Invalid("v= is not 1")
        if tags["a"] == "rsa-sha1":
            raise Invalid("SHA-1 is not accepted (RFC 8301)", "policy")
        if tags["a"] not in ("rsa-sha256", "ed25519-sha256"):
            raise Invalid("the algorithm is unknown")
        if "dns/txt" not in tags.get("q", "dns/txt").split(":"):
            raise Invalid("q= is unknown")
        identity = tags.get("i", "@" + signature.domain).rpartition("@")[2].lower()
        if identity != signature.domain and not identity.endswith(f".{signature.domain}"):
            raise Invalid("i= is not below d=")
        self._check_names(tags["h"])
        self._check_times(tags, now)
        _canonicalizations(tags)

    def _check_names(self, tag: str) -> None:
        """§8.15: a field that is not signed might be the one that is shown."""
        signed = tag.lower().split(":").count("from")
        if not signed:
            raise Invalid("From is not signed")
        if sum(name == "from" for name, _ in self._fields) > signed:
            raise Invalid("not every From field is signed", "fail")

    def _check_times(self, tags: Mapping[str, str], now: int) -> None:
        if any(not _NUMBER.fullmatch(tags[name]) for name in ("t", "x", "l") if name in tags):
            raise Invalid("t=, x= or l= is not a number")
        if int(tags.get("x", now)) + _SLACK_S < now:
            raise Invalid("the signature has expired", "fail")

    def verify(self, signature: Signature, record: bytes) -> None:
        """Verify with the TXT record of the key what ``check`` let pass. Raises Invalid.

        Takes as long as the body is large.
        """
        key = _key(signature, record)
        simple_header, simple_body = _canonicalizations(signature.tags)
        length = int(signature.tags["l"]) if "l" in signature.tags else None
        if self._body_digest(simple_body, length) != _binary(signature.tags["bh"]):
            raise Invalid("the body was changed", "fail")
        digest = self._header_digest(signature, is_simple=simple_header)
        try:
            if isinstance(key, RSAPublicKey):
                key.verify(_binary(signature.tags["b"]), digest, PKCS1v15(), _PREHASHED)
            else:
                key.verify(_binary(signature.tags["b"]), digest)
        except InvalidSignature:
            raise Invalid("the signature does not fit", "fail") from None
        if length is not None and length < sum(map(len, canonical_body(self._body, is_simple=simple_body))):
            # §8.2: anybody may have added what stands behind it.
            raise Invalid("l= leaves a part of the body unsigned", "policy")

    def _body_digest(self, is_simple: bool, length: int | None) -> bytes:
        """Of the first ``length`` octets; the same for most signatures."""
        found = self._digests.get((is_simple, length))
        if found is None:
            hashed, left = hashlib.sha256(), length
            for text in canonical_body(self._body, is_simple=is_simple):
                hashed.update(text if left is None else text[:left])
                left = None if left is None else max(left - len(text), 0)
            if left:
                raise Invalid("the body is shorter than l=", "fail")
            found = self._digests[is_simple, length] = hashed.digest()
        return found

    def _header_digest(self, signature: Signature, *, is_simple: bool) -> bytes:
        """§3.7, the second step."""
        hashed = hashlib.sha256()
        for _, text in selected(self._fields, signature.tags["h"].lower().split(":")):
            hashed.update(text + b"\r\n" if is_simple else relaxed_field(*field_of(text)))
        own = _without_signature(signature.text)
        hashed.update(own if is_simple else relaxed_field(*field_of(own)).removesuffix(b"\r\n"))
        return hashed.digest()


def tags_of(text: str) -> dict[str, str]:
    """A tag-list (§3.2), without its white space. Raises Invalid."""
    tags: dict[str, str] = {}
    for spec in _SPACE.sub("", text).removesuffix(";").split(";"):
        name, is_tag, value = spec.partition("=")
        if not is_tag or not name or name in tags:
            raise Invalid("the tags are malformed")
        tags[name] = value
    return tags


def _tags_or_nothing(text: bytes) -> dict[str, str]:
    """Those of a field; none of one that is malformed, or larger than any that is meant well."""
    try:
        return tags_of(field_of(text)[1].decode()) if len(text) <= _FIELD else {}
    except (Invalid, UnicodeDecodeError):
        return {}


def _canonicalizations(tags: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether header and body are "simple" (§3.5, c=). Raises Invalid."""
    header, _, body = tags.get("c", "simple/simple").partition("/")
    known = {"simple": True, "relaxed": False}
    try:
        return known[header], known[body or "simple"]
    except KeyError:
        raise Invalid("c= is unknown") from None


def _key(signature: Signature, record: bytes) -> RSAPublicKey | Ed25519PublicKey:
    """The public key of a record that may sign this (§3.6.1, §6.1.2). Raises Invalid."""
    if len(record) > _RECORD:
        raise Invalid("the key record is too long")
    tags = tags_of(record.decode("latin-1"))
    kind = signature.tags["a"].partition("-")[0]
    if tags.get("v", "DKIM1") != "DKIM1" or tags.get("k", "rsa") != kind:
        raise Invalid("the key is of another kind")
    if not tags.get("p"):
        raise Invalid("the key was revoked")
    if "sha256" not in tags.get("h", "sha256").split(":"):
        raise Invalid("the key is not for SHA-256")
    if not {"*", "email"} & set(tags.get("s", "*").split(":")):
        raise Invalid("the key is not for mail")
    if "s" in tags.get("t", "").split(":"):
        identity = signature.tags.get("i", signature.domain)
        if identity.rpartition("@")[2].lower() != signature.domain:
            raise Invalid("the key is not for subdomains")
    return _public_key(kind, _binary(tags["p"]))


def _public_key(kind: str, data: bytes) -> RSAPublicKey | Ed25519PublicKey:
    try:
        key = load_der_public_key(data) if kind == "rsa" else Ed25519PublicKey.from_public_bytes(data)
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("the key is malformed") from None
    if isinstance(key, Ed25519PublicKey) and kind == "ed25519":
        return key
    if not isinstance(key, RSAPublicKey):
        raise Invalid("the key is malformed")
    if key.key_size not in _RSA_BITS:
        raise Invalid(f"a key of {key.key_size} bits is not accepted", "policy")
    return key


def _binary(text: str) -> bytes:
    """Base64 (§3.2). Raises Invalid."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Invalid("base64 is malformed") from None


def _without_signature(text: bytes) -> bytes:
    """The field with an empty b= tag (§3.7)."""
    name, colon, value = text.partition(b":")
    specs: Sequence[bytes] = value.split(b";")
    return (
        name
        + colon
        + b";".join(
            spec[: spec.index(b"=") + 1] if spec.partition(b"=")[0].strip() == b"b" else spec
            for spec in specs
        )
    )
