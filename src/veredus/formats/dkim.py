"""Signing messages with DKIM (RFC 6376), by RSA and Ed25519 (RFC 8463).

Both parts are canonicalized "relaxed": mail systems change white space, and a signature that does not survive
that is worth nothing. Messages have CRLF line ends, as they are sent; only CRLF ends a line (§2.8).
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from veredus.formats.dkim_body import body_digest
from veredus.formats.dkim_fields import field_of, fold, relaxed_field, selected, signed_names, split

# The a= tags of §3.3 that a signer should use (RFC 8301 §3.1, RFC 8463 §3).
Algorithm = Literal["rsa-sha256", "ed25519-sha256"]

# RFC 8301 §3.2: at least 1024, better 2048; longer ones do not fit into a UDP answer.
_RSA_BITS = 2048
_PREHASHED = Prehashed(SHA256())


class SigningKey:
    """A private key and the selector under which its public key is found. Its ``repr`` does not tell it."""

    def __init__(self, selector: str, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self.selector, self._key = selector, key
        self.algorithm: Algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"

    @classmethod
    def generate(cls, selector: str, algorithm: Algorithm) -> Self:
        """A new key; one for RSA takes a good part of a second."""
        if algorithm == "rsa-sha256":
            return cls(selector, generate_private_key(65537, _RSA_BITS))
        return cls(selector, Ed25519PrivateKey.generate())

    @classmethod
    def from_text(cls, selector: str, text: str) -> Self:
        """The key that ``to_text`` gave. Raises ValueError."""
        # To check that an RSA key is one takes 40 ms, and this one was made here.
        key = load_der_private_key(base64.b64decode(text), None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise ValueError("DKIM has no such keys")
        return cls(selector, key)

    def to_text(self) -> str:
        """The private key, base64 of PKCS #8: a secret."""
        return _base64(self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()

    @property
    def record(self) -> str:
        """The TXT record at ``<selector>._domainkey.<domain>`` (§3.6.1, RFC 8463 §4)."""
        public = self._key.public_key()
        if self.algorithm == "rsa-sha256":
            data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            data = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k={self.algorithm.partition('-')[0]}; p={_base64(data).decode()}"

    def sign(self, digest: bytes) -> bytes:
        """The signature of what has this SHA-256 digest; Ed25519 signs the digest itself (RFC 8463 §3)."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(digest, PKCS1v15(), _PREHASHED)
        return self._key.sign(digest)


def sign(message: bytes, keys: Sequence[SigningKey], domain: str, now: int) -> bytes:
    """The DKIM-Signature fields, one for each key, to be put before the message.

    ``domain``: A-labels (d=). ``now``: seconds since 1970 (t=). The fields of the message are hashed once
    for all keys.
    """
    texts, body = split(message)
    fields = [field_of(text) for text in texts]
    names = signed_names(name for name, _ in fields)
    hashed = hashlib.sha256()
    for name, value in selected(fields, names):
        hashed.update(relaxed_field(name, value))
    body_hash = _base64(body_digest(body)).decode()
    return b"".join(_signature(key, domain, now, names, body_hash, hashed.copy()) for key in keys)


def _signature(
    key: SigningKey,
    domain: str,
    now: int,
    names: Sequence[str],
    body_hash: str,
    hashed: "hashlib._Hash",
) -> bytes:
    """One field (§3.5). It is signed itself, with an empty b= and without its CRLF (§3.7)."""
    unsigned = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; d={domain};\r\n"
        f"\ts={key.selector}; t={now};\r\n"
        f"\th={fold(':'.join(names), ':')};\r\n"
        f"\tbh={body_hash};\r\n"
        f"\tb="
    )
    hashed.update(relaxed_field(*field_of(unsigned.encode())).removesuffix(b"\r\n"))
    return f"{unsigned}{fold(_base64(key.sign(hashed.digest())).decode())}\r\n".encode()


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)
