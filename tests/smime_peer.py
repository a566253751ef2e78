"""Somebody who signs mail: certification authorities, certificates, and CMS signatures of every kind.

The encoder is not the one that is tested, and knows how to leave out or change what a signature should have.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nSigned, and nothing else.\r\n"
DATA, SIGNED_DATA, ENVELOPED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.3"
DIGESTS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_HASHES: dict[str, Any] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
RSA, PSS, ED25519 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.3.101.112"
ECDSA = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}


def tlv(tag: int, *parts: bytes) -> bytes:
    """An element of DER."""
    body = b"".join(parts)
    size = len(body)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag,)) + (bytes((size,)) if size < 128 else bytes((0x80 | len(octets),)) + octets) + body


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for number in (40 * first + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        body += bytes(reversed(septets))
    return tlv(0x06, body)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def algorithm(dotted: str, *parameters: bytes) -> bytes:
    return tlv(0x30, oid(dotted), *parameters)


@cache
def key(kind: str, name: str = "") -> Any:
    """A private key; ``name`` makes another one of the same kind."""
    match kind:
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "rsa1024":
            return rsa.generate_private_key(65537, 1024)
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    def sign(self, *extensions: Any, subject: str, public: Any, **period: datetime) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(period.get("since", FROM))
            .not_valid_after(period.get("until", UNTIL))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, _hash_for(self.key))


def _hash_for(private: Any) -> Any:
    return None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@cache
def authority(name: str = "Test Authority") -> Holder:
    """A certification authority that nobody has signed."""
    private = key("ec", name)
    own = _name(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(FROM)
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(private, hashes.SHA256())
    )
    return Holder(certificate, private)


def between(
    above: Holder, name: str = "Between", *, is_authority: bool = True, length: int | None = None
) -> Holder:
    """An authority below another one, or something that should not be one."""
    private = key("ec", name)
    limits = x509.BasicConstraints(is_authority, length if is_authority else None)
    return Holder(above.sign(limits, subject=name, public=private.public_key()), private)


def signer(kind: str = "rsa", address: str | None = "alice@example.com", **options: Any) -> Holder:
    """Somebody who signs. Options: above, usage (ExtendedKeyUsage oids), since, until, extensions."""
    private = key(kind, "signer")
    extensions = [x509.SubjectKeyIdentifier.from_public_key(private.public_key())]
    if address is not None:
        extensions.append(x509.SubjectAlternativeName([x509.RFC822Name(address)]))
    if "usage" in options:
        extensions.append(x509.ExtendedKeyUsage(options.pop("usage")))
    extensions += options.pop("extensions", [])
    above = options.pop("above", None) or authority()
    certificate = above.sign(*extensions, subject="Signer", public=private.public_key(), **options)
    return Holder(certificate, private)


SERVER_AUTH = [ExtendedKeyUsageOID.SERVER_AUTH]
MAIL = [ExtendedKeyUsageOID.EMAIL_PROTECTION]


@dataclass(kw_only=True)
class Cms:
    """One signed-data, to be made with whatever is wrong with it."""

    by: Holder
    content: bytes = CONTENT
    digest: str = "sha256"
    scheme: str = "pkcs1"
    has_attributes: bool = True
    by_key_id: bool = False
    is_detached: bool = True
    content_type: str = DATA
    claimed_type: str | None = None
    certificates: list[x509.Certificate] | None = None
    more_attributes: list[bytes] = field(default_factory=list)

    def encoded(self) -> bytes:
        certificates = [self.by.certificate] if self.certificates is None else self.certificates
        inner = [] if self.is_detached else [tlv(0xA0, tlv(0x04, self.content))]
        body = tlv(
            0x30,
            integer(3 if self.by_key_id else 1),
            tlv(0x31, algorithm(DIGESTS[self.digest])),
            tlv(0x30, oid(self.content_type), *inner),
            tlv(0xA0, *(one.public_bytes(Encoding.DER) for one in certificates)),
            tlv(0x31, self.signer_info()),
        )
        return tlv(0x30, oid(SIGNED_DATA), tlv(0xA0, body))

    def signer_info(self) -> bytes:
        certificate = self.by.certificate
        if self.by_key_id:
            found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            named = tlv(0x80, found.value.digest)
        else:
            named = tlv(0x30, certificate.issuer.public_bytes(), integer(certificate.serial_number))
        attributes = b"".join(sorted(self.attributes())) if self.has_attributes else b""
        used, signature = self.signature(tlv(0x31, attributes) if attributes else self.content)
        return tlv(
            0x30,
            integer(3 if self.by_key_id else 1),
            named,
            algorithm(DIGESTS[self.digest]),
            tlv(0xA0, attributes) if attributes else b"",
            used,
            tlv(0x04, signature),
        )

    def attributes(self) -> list[bytes]:
        digest = hashlib.new(self.digest, self.content, usedforsecurity=False).digest()
        now = tlv(0x17, b"260601000000Z")
        return [
            _attribute("1.2.840.113549.1.9.3", oid(self.claimed_type or self.content_type)),
            _attribute("1.2.840.113549.1.9.4", tlv(0x04, digest)),
            _attribute("1.2.840.113549.1.9.5", now),
            *self.more_attributes,
        ]

    def signature(self, signed: bytes) -> tuple[bytes, bytes]:
        private, used = self.by.key, _HASHES[self.digest]
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return algorithm(ED25519), private.sign(signed)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return algorithm(ECDSA[self.digest]), private.sign(signed, ec.ECDSA(used))
        if self.scheme == "pss":
            hash_id = algorithm(DIGESTS[self.digest])
            mask = algorithm("1.2.840.113549.1.1.8", hash_id)
            parameters = tlv(0x30, tlv(0xA0, hash_id), tlv(0xA1, mask), tlv(0xA2, integer(used.digest_size)))
            pss = padding.PSS(padding.MGF1(used), used.digest_size)
            return algorithm(PSS, parameters), private.sign(signed, pss, used)
        return algorithm(RSA, tlv(0x05)), private.sign(signed, padding.PKCS1v15(), used)


def _attribute(dotted: str, value: bytes) -> bytes:
    return tlv(0x30, oid(dotted), tlv(0x31, value))


def clear(cms: bytes, content: bytes = CONTENT, sender: str = "From: Alice <alice@example.com>") -> bytes:
    """multipart/signed around ``content``, which need not be what was signed."""
    head = (
        f"{sender}\r\nTo: bob@example.com\r\nSubject: Signed\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;\r\n'
        ' boundary="=_b"\r\n\r\nThis is signed.\r\n--=_b\r\n'
    )
    tail = (
        "\r\n--=_b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{_base64(cms)}\r\n--=_b--\r\n"
    )
    return head.encode() + content + tail.encode()


def opaque(cms: bytes, kind: str = "signed-data", sender: str = "From: alice@example.com") -> bytes:
    """application/pkcs7-mime."""
    return (
        f"{sender}\r\nTo: bob@example.com\r\nSubject: Signed\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: application/pkcs7-mime; smime-type={kind}; name="smime.p7m"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{_base64(cms)}\r\n"
    ).encode()


def _base64(data: bytes) -> str:
    return base64.encodebytes(data).decode().replace("\n", "\r\n")


def enveloped() -> bytes:
    """A ContentInfo that says that it is encrypted."""
    return tlv(0x30, oid(ENVELOPED_DATA), tlv(0xA0, tlv(0x30, integer(0))))


def pem(*holders: Holder) -> bytes:
    return b"".join(holder.certificate.public_bytes(Encoding.PEM) for holder in holders)
