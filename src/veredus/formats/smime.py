"""S/MIME signatures of messages (RFC 8551, RFC 8550): found, checked, and judged at a moment (RFC 9219).

``examine`` does what is slow and never changes, since the octets do not; ``Examined.verdict`` then says for
any moment, and for any trusted authorities, what the signature is worth. Nothing here raises on bad input.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from cryptography import x509

from veredus.formats import cms
from veredus.formats.mime.header import as_addresses, last_fields
from veredus.formats.mime.message import Message, Part
from veredus.formats.mime.parameters import parse as parse_value
from veredus.formats.smime_certificate import addresses, certificates_in, matches
from veredus.formats.smime_signature import Content, Refused, check_signature
from veredus.formats.smime_trust import UNREADABLE, Trust

# RFC 9219 §4.1; those for encrypted messages are never given, since the server has no keys to decrypt with.
Status = Literal["unknown", "signed", "signed/verified", "signed/failed"]
Kind = Literal["clear", "opaque", "other"]

_OPAQUE = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNATURE = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
# The types of a root part that may be S/MIME.
TYPES = _OPAQUE | {"multipart/signed"}


class Verdict(NamedTuple):
    """The status of a message at some moment. ``errors``: of signed/failed alone, each for a person."""

    status: Status | None
    errors: tuple[str, ...] = ()


class Signature(NamedTuple):
    """What one signer's signature is, whenever one looks. ``problem`` None: it is genuine."""

    certificate: x509.Certificate | None
    problem: str | None


class Examined(NamedTuple):
    """A message that looks like S/MIME. ``fixed``: its status if no moment and no authority matters to it."""

    fixed: Verdict | None
    signatures: tuple[Signature, ...] = ()
    certificates: tuple[x509.Certificate, ...] = ()
    senders: tuple[str, ...] = ()

    def verdict(self, trust: Trust, moment: datetime) -> Verdict:
        """What the signature is worth at ``moment``. One good signature of the sender is enough."""
        if self.fixed is not None:
            return self.fixed
        errors: dict[str, None] = {}
        good: set[str] = set()
        for certificate, problem in self.signatures:
            problem = problem or self._distrust(certificate, trust, moment)
            if problem is not None:
                errors[problem] = None
            elif certificate is not None:
                good |= addresses(certificate)
        if good or not errors:
            unsigned = [sender for sender in self.senders if not matches(sender, good)]
            if self.senders and not unsigned:
                return Verdict("signed/verified" if trust.authorities else "signed")
            errors["The sender's address (From) is not in the signer's certificate."] = None
        return Verdict("signed/failed", tuple(errors))

    def _distrust(self, certificate: x509.Certificate | None, trust: Trust, moment: datetime) -> str | None:
        if certificate is None:
            return "The signer's certificate is not in the message."
        others = [one for one in self.certificates if one != certificate]
        return trust.problem(certificate, others, moment)

    def changes_at(self, trust: Trust, moment: datetime) -> datetime | None:
        """When the verdict may become another one: as certificates begin and end to be valid; None: never."""
        if self.fixed is not None:
            return None
        edges = [
            edge
            for one in (*self.certificates, *trust.authorities)
            for edge in (one.not_valid_before_utc, one.not_valid_after_utc)
        ]
        return min((edge for edge in edges if edge >= moment), default=None)


_NOT_SIGNED = Examined(Verdict(None))
_UNKNOWN = Examined(Verdict("unknown"))


def kind(part: Part) -> Kind | None:
    """How the root part of a message looks like S/MIME, from its header alone; None: not at all.

    "other": multipart/signed with a protocol that is none of ours, such as OpenPGP's.
    """
    if part.type in _OPAQUE:
        return "opaque"
    if part.type == "multipart/signed":
        _, parameters = parse_value(last_fields(part.headers).get("content-type", ""))
        return "clear" if parameters.get("protocol", "").strip().lower() in _SIGNATURE else "other"
    return None


def examine(message: Message) -> Examined:
    """Check the signatures of a message. Only what is signed as a whole counts: a signature of a part
    in the middle says nothing of what a reader sees around it."""
    match kind(message.root):
        case "clear":
            return _clear(message)
        case "opaque":
            return _opaque(message)
        case "other":
            return _UNKNOWN
    return _NOT_SIGNED


def _clear(message: Message) -> Examined:
    """multipart/signed (RFC 8551 §3.5.3)."""
    parts = message.root.sub_parts
    signed = _first_part(message)
    if len(parts) != 2 or parts[1].type not in _SIGNATURE or signed is None:
        return _failed("A signed message has two parts, the second of them the signature; this one has not.")
    return _signed(message, parts[1].content(), signed)


def _first_part(message: Message) -> bytes | None:
    """The octets of the first part with its header, without the line end that belongs to the boundary."""
    root = message.root
    if root.boundary is None or not root.sub_parts:
        return None
    line = re.compile(rb"^--" + re.escape(root.boundary) + rb"[ \t]*\r?\n", re.MULTILINE)
    found = line.search(message.data, root.start)
    if found is None or found.end() > root.sub_parts[0].end:
        return None
    return message.data[found.end() : root.sub_parts[0].end]


def _opaque(message: Message) -> Examined:
    """application/pkcs7-mime (RFC 8551 §3.2): signed, encrypted, or only certificates."""
    data = message.root.content()
    _, parameters = parse_value(last_fields(message.headers).get("content-type", ""))
    try:
        type = cms.content_type(data)
    except cms.CMSError:
        claims = parameters.get("smime-type", "").lower() == "signed-data"
        return _failed("The signature cannot be read.") if claims else _UNKNOWN
    return _signed(message, data, None) if type == cms.SIGNED_DATA else _NOT_SIGNED


def _signed(message: Message, data: bytes, detached: bytes | None) -> Examined:
    try:
        found = cms.signed_data(data)
    except cms.CMSError:
        return _failed("The signature cannot be read.")
    octets = found.content if detached is None else detached
    if not found.signers:
        return (
            _UNKNOWN if detached is None else _failed("There is no signature in the part that should be it.")
        )
    if octets is None:
        return _failed("What was signed is not in the message.")
    if detached is not None and found.content is not None:
        # RFC 8551 §3.5.3.1: else it would not be clear which of the two is signed.
        return _failed("The signature has contents of its own.")
    certificates = certificates_in(found.certificates)
    content = Content(octets)
    signatures = tuple(_check(signer, found.content_type, content, certificates) for signer in found.signers)
    senders = tuple(_senders(message))
    if not senders:
        return _failed("There is no sender's address (From).")
    return Examined(None, signatures, certificates, senders)


def _check(
    signer: cms.Signer, content_type: str, content: Content, certificates: Sequence[x509.Certificate]
) -> Signature:
    certificate = next((one for one in certificates if _is_of(one, signer)), None)
    if certificate is None:
        return Signature(None, "The signer's certificate is not in the message.")
    try:
        check_signature(signer, content_type, content, certificate.public_key())
    except Refused as error:
        return Signature(certificate, str(error))
    except UNREADABLE:
        return Signature(certificate, "The signer's key cannot be read.")
    return Signature(certificate, None)


def _is_of(certificate: x509.Certificate, signer: cms.Signer) -> bool:
    """Whether a certificate is the one that a SignerInfo names (RFC 5652 §5.3)."""
    try:
        if signer.key_id is None:
            same_issuer = certificate.issuer.public_bytes() == signer.issuer
            return same_issuer and certificate.serial_number == signer.serial
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return found.value.digest == signer.key_id
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def _senders(message: Message) -> Iterable[str]:
    """Every address of every From field: which of several fields a reader is shown, nobody knows."""
    for header in message.headers:
        if header.name.lower() == "from":
            yield from (address["email"] for address in as_addresses(header.value) if address.get("email"))


def _failed(error: str) -> Examined:
    return Examined(Verdict("signed/failed", (error,)))
