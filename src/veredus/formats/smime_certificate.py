"""Certificates of signers: reading them, and the mail addresses in them (RFC 8550 §3)."""

from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from veredus.formats.cms_ber import BERError, Reader
from veredus.formats.smime_trust import UNREADABLE

# SmtpUTF8Mailbox (RFC 9598): an address that is not ASCII.
_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")


def certificates_in(encoded: Iterable[bytes]) -> tuple[x509.Certificate, ...]:
    """Those that can be read."""
    found = []
    for der in encoded:
        try:
            certificate = x509.load_der_x509_certificate(der)
            # What is read late is read now.
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.issuer)
        except UNREADABLE:
            continue
        found.append(certificate)
    return tuple(found)


def addresses(certificate: x509.Certificate) -> set[str]:
    """The mail addresses of a certificate, to be compared with ``matches``."""
    try:
        return {_folded(address) for address in (*_alternative(certificate), *_distinguished(certificate))}
    except UNREADABLE:
        return set()


def _alternative(certificate: x509.Certificate) -> Iterable[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from names.get_values_for_type(x509.RFC822Name)
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id == _UTF8_MAILBOX:
            reader = Reader(other.value)
            try:
                yield reader.octets(reader.root()).decode("utf-8", "replace")
            except BERError:
                continue


def _distinguished(certificate: x509.Certificate) -> Iterable[str]:
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        if isinstance(attribute.value, str):
            yield attribute.value


def matches(address: str, known: set[str]) -> bool:
    """Whether an address is one of ``addresses``; case is ignored, as servers do in both halves of it."""
    return _folded(address) in known


def _folded(address: str) -> str:
    return address.strip().lower()
