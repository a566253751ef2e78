"""Certificates that DNS names (RFC 6698, as RFC 7671 and RFC 7672 want it for mail).

No library does it: dnspython reads the records, `ssl` can neither pin a key nor take an authority for one
connection, `cryptography` checks a chain up to an authority that it is given.
"""

import ssl
from collections.abc import Sequence
from hashlib import sha256, sha512

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from veredus.resolver import TlsaRecord

_DANE_TA = 2
_DANE_EE = 3


def usable(records: Sequence[TlsaRecord]) -> list[TlsaRecord]:
    """Those that mail may use (RFC 7672 §3.1.3: not PKIX-TA and PKIX-EE) and that we understand."""
    return [
        it
        for it in records
        if it.usage in (_DANE_TA, _DANE_EE) and it.selector in (0, 1) and it.matching_type in (0, 1, 2)
    ]


def matches(records: Sequence[TlsaRecord], connection: ssl.SSLObject | None, host: str) -> bool:
    """Whether a record vouches for the certificate that the host has shown."""
    chain = _chain(connection)
    if not chain:
        return False
    # RFC 7672 §3.1.1: of DANE-EE neither names nor dates count; the record says both.
    if any(it.usage == _DANE_EE and _is_of(it, chain[0]) for it in records):
        return True
    anchors = [it for it in records if it.usage == _DANE_TA]
    return any(
        _leads_to(certificate, chain, host) for record in anchors for certificate in _named(record, chain)
    )


def _chain(connection: ssl.SSLObject | None) -> list[x509.Certificate]:
    """What the host has sent, its own certificate first."""
    if connection is None:
        return []
    # Public from Python 3.13 on; before, `ssl` has it without saying so.
    ask = getattr(connection, "get_unverified_chain", None) or connection._sslobj.get_unverified_chain  # type: ignore[attr-defined]
    try:
        found = [it if isinstance(it, bytes) else ssl.PEM_cert_to_DER_cert(it.public_bytes()) for it in ask()]
        return [x509.load_der_x509_certificate(it) for it in found]
    except ValueError:
        return []


def _is_of(record: TlsaRecord, certificate: x509.Certificate) -> bool:
    if record.selector == 0:
        data = certificate.public_bytes(Encoding.DER)
    else:
        data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match record.matching_type:
        case 0:
            return data == record.data
        case 1:
            return sha256(data).digest() == record.data
        case _:
            return sha512(data).digest() == record.data


def _named(record: TlsaRecord, chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Authorities that the record means: of the chain, since RFC 7672 §3.1.2 wants them sent."""
    return [it for it in chain[1:] if _is_of(record, it)]


def _leads_to(anchor: x509.Certificate, chain: Sequence[x509.Certificate], host: str) -> bool:
    """Whether the authority vouches for this name now.

    What the web demands of certificates besides (key identifiers, uses), private authorities leave out.
    """
    policy = (
        PolicyBuilder()
        .store(Store([anchor]))
        .extension_policies(
            ca_policy=_only(x509.BasicConstraints), ee_policy=_only(x509.SubjectAlternativeName)
        )
    )
    try:
        policy.build_server_verifier(x509.DNSName(host)).verify(chain[0], list(chain[1:]))
    except (VerificationError, ValueError):
        return False
    return True


def _only(extension: type[x509.ExtensionType]) -> ExtensionPolicy:
    return ExtensionPolicy.permit_all().require_present(extension, Criticality.AGNOSTIC, None)
