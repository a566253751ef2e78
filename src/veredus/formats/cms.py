"""Signed-data of the Cryptographic Message Syntax (RFC 5652 §5): its parts as values, nothing verified."""

from typing import NamedTuple

from veredus.formats.cms_ber import (
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    SET,
    BERError,
    Element,
    Reader,
    dotted,
)

DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"

# Beyond these nobody looks.
MAX_SIGNERS = 8
MAX_CERTIFICATES = 32


class CMSError(ValueError):
    """This is no CMS, or a kind of it that breaks its rules; the message says what."""


class Algorithm(NamedTuple):
    """An AlgorithmIdentifier: dotted, and the DER of its parameters, if it has any."""

    id: str
    parameters: bytes


class Signer(NamedTuple):
    """A SignerInfo (§5.3). It is named by ``issuer`` (DER) and ``serial``, or by ``key_id``.

    ``signed``: the DER of the attributes that are signed in place of the content; None: there are none, and
    the signature is of the content. Then ``content_type`` and ``digest`` are what they say.
    """

    issuer: bytes | None
    serial: int
    key_id: bytes | None
    digest_algorithm: str
    signature_algorithm: Algorithm
    signature: bytes
    signed: bytes | None
    content_type: str | None
    digest: bytes | None


class SignedData(NamedTuple):
    """Signed-data. ``content`` None: it is elsewhere. ``certificates``: DER, in the order of the message."""

    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    signers: tuple[Signer, ...]


def content_type(data: bytes) -> str:
    """What a ContentInfo holds (§3), dotted. Raises CMSError."""
    reader = Reader(data)
    try:
        return _oid(reader, _in_order(reader, reader.root(), OID)[0])
    except (BERError, RecursionError) as error:
        raise CMSError(str(error)) from None


def signed_data(data: bytes) -> SignedData:
    """The SignedData in a ContentInfo. Raises CMSError."""
    reader = Reader(data)
    try:
        type, explicit = _in_order(reader, reader.root(), OID, 0xA0)[:2]
        if _oid(reader, type) != SIGNED_DATA:
            raise CMSError("not signed-data")
        return _signed_data(reader, _only(reader, explicit, SEQUENCE))
    except (BERError, RecursionError) as error:
        raise CMSError(str(error)) from None


def _signed_data(reader: Reader, element: Element) -> SignedData:
    fields = _in_order(reader, element, INTEGER, SET, SEQUENCE)
    type, *content = _in_order(reader, fields[2], OID)
    certificates: tuple[bytes, ...] = ()
    signers: tuple[Signer, ...] = ()
    for part in fields[3:]:
        if part.tag == 0xA0:
            inside = [one for one in reader.children(part) if one.tag == SEQUENCE]
            certificates = tuple(reader.der(one) for one in inside[:MAX_CERTIFICATES])
        elif part.tag == SET:
            signers = tuple(_signer(reader, one) for one in reader.children(part)[:MAX_SIGNERS])
    return SignedData(
        _oid(reader, type),
        reader.octets(_string(reader, content[0])) if content else None,
        certificates,
        signers,
    )


def _signer(reader: Reader, element: Element) -> Signer:
    fields = _in_order(reader, element, INTEGER)
    if len(fields) < 5:
        raise CMSError("a SignerInfo lacks parts")
    issuer, serial, key_id = _identifier(reader, fields[1])
    rest = fields[3:]
    signed = content_type = digest = None
    if rest[0].tag == 0xA0:
        attributes = rest.pop(0)
        # §5.4: signed as a SET, however it is tagged here.
        signed = reader.der(attributes, SET)
        content_type, digest = _attributes(reader, attributes)
    if len(rest) < 2:
        raise CMSError("a SignerInfo lacks parts")
    return Signer(
        issuer,
        serial,
        key_id,
        algorithm(reader, fields[2]).id,
        algorithm(reader, rest[0]),
        reader.octets(rest[1]),
        signed,
        content_type,
        digest,
    )


def _identifier(reader: Reader, element: Element) -> tuple[bytes | None, int, bytes | None]:
    if element.tag in (0x80, 0xA0):
        return None, 0, reader.octets(element)
    issuer, serial = _in_order(reader, element, SEQUENCE, INTEGER)[:2]
    return reader.der(issuer), int.from_bytes(reader.contents(serial), signed=True), None


def _attributes(reader: Reader, element: Element) -> tuple[str, bytes]:
    """The two that must be there, once and with one value (§11.1, §11.2)."""
    found: dict[str, Element] = {}
    for attribute in reader.children(element):
        type, values = _in_order(reader, attribute, OID, SET)[:2]
        name = _oid(reader, type)
        if name in (_CONTENT_TYPE, _MESSAGE_DIGEST):
            inside = reader.children(values)
            if name in found or len(inside) != 1:
                raise CMSError("a signed attribute is there twice")
            found[name] = inside[0]
    if len(found) != 2:
        raise CMSError("the signed attributes lack the content type or the digest")
    return _oid(reader, found[_CONTENT_TYPE]), reader.octets(found[_MESSAGE_DIGEST])


def algorithm(reader: Reader, element: Element) -> Algorithm:
    """An AlgorithmIdentifier."""
    id, *parameters = _in_order(reader, element, OID)
    return Algorithm(_oid(reader, id), reader.der(parameters[0]) if parameters else b"")


def _oid(reader: Reader, element: Element) -> str:
    if element.tag != OID:
        raise CMSError("an object identifier is missing")
    return dotted(reader.contents(element))


def _string(reader: Reader, explicit: Element) -> Element:
    found = reader.children(explicit)
    if explicit.tag != 0xA0 or len(found) != 1 or found[0].tag & ~0x20 != OCTET_STRING:
        raise CMSError("the content is no octet string")
    return found[0]


def _only(reader: Reader, element: Element, tag: int) -> Element:
    found = _in_order(reader, element, tag)
    return found[0]


def _in_order(reader: Reader, element: Element, *tags: int) -> list[Element]:
    """The elements in one, which must begin with these tags."""
    found = reader.children(element)
    if len(found) < len(tags) or any(one.tag != tag for one, tag in zip(found, tags, strict=False)):
        raise CMSError("elements are missing or in the wrong order")
    return found
