"""The signature of one signer of CMS signed-data (RFC 5652 §5.4-5.6; algorithms: RFC 8551 §2, RFC 8419)."""

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from veredus.formats.cms import Algorithm, Signer, algorithm
from veredus.formats.cms_ber import BERError, Reader

_RSA, _PSS, _MGF1 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
_EC, _ED25519 = "1.2.840.10045.2.1", "1.3.101.112"
_SHA1 = "1.3.14.3.2.26"
# Digest algorithms by name (hashlib's), and those that signature algorithms imply.
_DIGESTS = {
    "1.2.840.113549.2.5": "md5",
    _SHA1: "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_RSA_WITH = {
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA_WITH = {
    "1.2.840.10045.4.1": "sha1",
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
# RFC 8551 §2.1, Appendix B: for these a second message with the same signature can be made.
_WEAK = frozenset({"md5", "sha1"})
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# §4.2 of RFC 8550: shorter ones are historic.
_MIN_RSA_BITS = 2048

Check = Callable[[bytes, bytes], None]


class Refused(ValueError):
    """Why a signature is not accepted, for a person."""


class Content:
    """What is signed. It is hashed once for each algorithm, however many signers there are."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._digests: dict[str, bytes] = {}

    def digest(self, name: str) -> bytes:
        if name not in self._digests:
            self._digests[name] = hashlib.new(name, self._octets, usedforsecurity=False).digest()
        return self._digests[name]

    def octets(self) -> bytes:
        return self._octets

    def in_canonical_form(self) -> "Content | None":
        """With CRLF for each line end (RFC 8551 §3.1.1); None: it has no others."""
        lines = self._octets.count(b"\n")
        if lines == self._octets.count(b"\r\n"):
            return None
        return Content(self._octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def check_signature(
    signer: Signer, content_type: str, content: Content, key: CertificatePublicKeyTypes
) -> None:
    """Raise Refused unless ``key`` signed the content, or the attributes that hold its digest."""
    name = _digest_name(signer.digest_algorithm)
    check = _checker(signer.signature_algorithm, name, key)
    if signer.signed is None:
        signed = content.octets()
        if signed.startswith(b"\x31"):
            # Somebody's signed attributes, passed off as a content that they signed; no header begins so.
            raise Refused("The signature is of something else than a message.")
    else:
        if signer.content_type != content_type:
            raise Refused("The signature is of another type of content.")
        _check_digest(signer, name, content)
        signed = signer.signed
    try:
        check(signer.signature, signed)
    except (InvalidSignature, ValueError):
        raise Refused("The signature is not of this message or not by this signer.") from None


def _check_digest(signer: Signer, name: str, content: Content) -> None:
    if signer.digest == content.digest(name):
        return
    # Line ends may have been changed on the way; all of them back is what was signed.
    canonical = content.in_canonical_form()
    if canonical is None or signer.digest != canonical.digest(name):
        raise Refused("The message was changed after it was signed.")


def _digest_name(id: str) -> str:
    name = _DIGESTS.get(id)
    if name is None:
        raise Refused(f"The digest algorithm {id} is not supported.")
    return _strong(name)


def _strong(name: str) -> str:
    if name in _WEAK:
        raise Refused(f"The signature uses {name.upper()}, which is no longer safe.")
    return name


def _checker(used: Algorithm, digest: str, key: CertificatePublicKeyTypes) -> Check:
    """Verifies (signature, what is signed) with a key of the right kind."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            return _rsa(used, digest, key)
        if isinstance(key, ec.EllipticCurvePublicKey) and (used.id in _ECDSA_WITH or used.id == _EC):
            scheme = ec.ECDSA(_HASHES[_strong(_ECDSA_WITH.get(used.id, digest))])
            return lambda signature, signed: key.verify(signature, signed, scheme)
        if isinstance(key, ed25519.Ed25519PublicKey) and used.id == _ED25519:
            return key.verify
    except UnsupportedAlgorithm:
        pass
    raise Refused(f"The signature algorithm {used.id} does not fit the signer's key, or is not supported.")


def _rsa(used: Algorithm, digest: str, key: rsa.RSAPublicKey) -> Check:
    if key.key_size < _MIN_RSA_BITS:
        raise Refused(f"The signer's key has only {key.key_size} bits.")
    if used.id == _PSS:
        scheme, hash = _pss(used.parameters)
        return lambda signature, signed: key.verify(signature, signed, scheme, hash)
    if used.id != _RSA and used.id not in _RSA_WITH:
        raise UnsupportedAlgorithm(used.id)
    implied = _HASHES[_strong(_RSA_WITH.get(used.id, digest))]
    return lambda signature, signed: key.verify(signature, signed, padding.PKCS1v15(), implied)


def _pss(parameters: bytes) -> tuple[padding.PSS, hashes.HashAlgorithm]:
    """RSASSA-PSS-params (RFC 4055 §3.1); what is missing means SHA-1."""
    id, mask_id, salt = _SHA1, _SHA1, 20
    reader = Reader(parameters)
    try:
        for explicit in reader.children(reader.root()):
            value = reader.children(explicit)[0]
            if explicit.tag == 0xA0:
                id = algorithm(reader, value).id
            elif explicit.tag == 0xA1:
                mask = algorithm(reader, value)
                if mask.id != _MGF1:
                    raise Refused("The signature uses a mask function that is not supported.")
                inner = Reader(mask.parameters)
                mask_id = algorithm(inner, inner.root()).id
            elif explicit.tag == 0xA2:
                salt = int.from_bytes(reader.contents(value))
    except (BERError, IndexError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused("The parameters of the signature cannot be read.") from None
    if salt > 1024:
        raise Refused("The parameters of the signature make no sense.")
    return padding.PSS(padding.MGF1(_HASHES[_digest_name(mask_id)]), salt), _HASHES[_digest_name(id)]
