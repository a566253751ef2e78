"""Whose certificates are believed: chains to trusted certification authorities (RFC 5280 §6, RFC 8550)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

_FOR_MAIL = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
# What reading a certificate of a stranger may raise; warnings, where they are made errors.
UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    UserWarning,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def _may_issue(policy: Policy, certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("not a certification authority")


def _signs_certificates(
    policy: Policy, certificate: x509.Certificate, extension: x509.KeyUsage | None
) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("may not sign certificates")


def _signs_mail(policy: Policy, certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    # RFC 8550 §4.4.2
    if extension is not None and not (extension.digital_signature or extension.content_commitment):
        raise ValueError("may not sign messages")


def _is_for_mail(
    policy: Policy, certificate: x509.Certificate, extension: x509.ExtendedKeyUsage | None
) -> None:
    # RFC 8550 §4.4.4
    if extension is not None and _FOR_MAIL.isdisjoint(extension):
        raise ValueError("is not for mail")


# The verifier of `cryptography` was made for the Web, whose rules on extensions S/MIME does not share.
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _may_issue)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _is_for_mail)
)
_SIGNER = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_mail)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _is_for_mail)
)


class Trust:
    """The certification authorities that are trusted; none: nobody can be verified.

    ``name`` differs when the authorities do, and says which ones a verdict is founded on.
    """

    def __init__(self, authorities: Sequence[x509.Certificate] = ()) -> None:
        self.authorities = tuple(authorities)
        prints = sorted(hashlib.sha256(one.public_bytes(Encoding.DER)).digest() for one in self.authorities)
        self._store = Store(list(self.authorities)) if self.authorities else None
        self.name = hashlib.sha256(b"".join(prints)).hexdigest()[:16]

    @classmethod
    def of_pem(cls, pem: bytes) -> "Trust":
        """Raises ValueError: these are no certificates."""
        return cls(x509.load_pem_x509_certificates(pem))

    def problem(
        self, certificate: x509.Certificate, others: Sequence[x509.Certificate], moment: datetime
    ) -> str | None:
        """Why a signer's certificate is not believed at a moment, for a person; None: it is.

        ``others``: those of the message that may lie between. Nobody is asked whether one was revoked.
        """
        if moment < certificate.not_valid_before_utc:
            return (
                f"The signer's certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}."
            )
        if moment > certificate.not_valid_after_utc:
            return f"The signer's certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}."
        if self._store is None:
            return None
        builder = PolicyBuilder().store(self._store).time(moment)
        verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SIGNER).build_client_verifier()
        try:
            verifier.verify(certificate, list(others))
        except VerificationError as error:
            if "is not for mail" in str(error) or "may not sign messages" in str(error):
                return "The signer's certificate is not meant for signing mail."
            return "The signer's certificate does not lead to a certification authority that is trusted."
        except UNREADABLE:
            return "The signer's certificate cannot be checked."
        return None
