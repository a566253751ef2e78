"""Web push: encryption of messages (RFC 8291 over RFC 8188) and proof of who sends them (RFC 8292)."""

import binascii
import hmac
import json
import os
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_CURVE = ec.SECP256R1()
_ES256 = ec.ECDSA(hashes.SHA256())
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_SCALAR = 32
_POINT = 65
_SALT = 16
_AUTH = 16
_TAG = 16
# RFC 8188 §2.1: salt, record size, length of the key id, key id (here: the sender's public key).
_HEAD = struct.Struct(f">{_SALT}sIB{_POINT}s")
# RFC 8188 §2: what follows the data of the last record; only zeros may come behind it.
_LAST = b"\x02"
# RFC 8030 §7.2: a push service must accept bodies of this size.
MAX_BODY = 4096
# RFC 8291 §4: what then fits into the one record.
MAX_PLAINTEXT = MAX_BODY - _HEAD.size - len(_LAST) - _TAG


class Keys(NamedTuple):
    """What a user agent gives to those who may write to it (RFC 8291 §3.1): a public point and a secret."""

    p256dh: bytes
    auth: bytes


def encode_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Base64url with or without padding. Raises ValueError."""
    bare = text.rstrip("=")
    # Python would skip other characters.
    if not _BASE64URL.fullmatch(bare):
        raise ValueError("not base64url")
    try:
        return urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def parse_keys(p256dh: str, auth: str) -> Keys:
    """The keys of a PushSubscription (RFC 8620 §7.2). Raises ValueError with a reason that names the key."""
    keys = Keys(_decoded("p256dh", p256dh), _decoded("auth", auth))
    if len(keys.p256dh) != _POINT or keys.p256dh[0] != 4:
        raise ValueError(f"p256dh must be an uncompressed point of P-256, {_POINT} octets beginning with 4")
    _public_key(keys.p256dh)
    if len(keys.auth) != _AUTH:
        raise ValueError(f"auth must have {_AUTH} octets")
    return keys


def _decoded(name: str, text: str) -> bytes:
    try:
        return decode_base64url(text)
    except ValueError as error:
        raise ValueError(f"{name} must be base64url") from error


def new_keys() -> tuple[bytes, Keys]:
    """What a user agent makes for itself (§3.1): the private key that ``decrypt`` takes, and its Keys."""
    key = ec.generate_private_key(_CURVE)
    return _scalar(key), Keys(_point(key), os.urandom(_AUTH))


# ------------------------------------------------------------ encryption (RFC 8291)


def encrypt(
    plaintext: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    salt: bytes | None = None,
    private_key: bytes | None = None,
) -> bytes:
    """The body that is sent with ``Content-Encoding: aes128gcm``: one record, not padded.

    ``salt``, ``private_key``: for test vectors; they must never be used twice. Raises ValueError: more than
    MAX_PLAINTEXT octets, or no point of the curve.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError(f"more than {MAX_PLAINTEXT} octets do not fit into a push message")
    salt = salt or os.urandom(_SALT)
    key = ec.generate_private_key(_CURVE) if private_key is None else _private_key(private_key)
    sender = _point(key)
    shared = key.exchange(ec.ECDH(), _public_key(p256dh))
    content_key, nonce = _derive(shared, auth, p256dh, sender, salt)
    record = AESGCM(content_key).encrypt(nonce, plaintext + _LAST, None)
    return _HEAD.pack(salt, MAX_BODY, _POINT, sender) + record


def decrypt(body: bytes, private_key: bytes, auth: bytes) -> bytes:
    """What ``encrypt`` was given, as the user agent reads it. Raises ValueError: not made for these keys."""
    if len(body) < _HEAD.size + len(_LAST) + _TAG:
        raise ValueError("too short")
    salt, record_size, length, sender = _HEAD.unpack_from(body)
    record = body[_HEAD.size :]
    if length != _POINT or len(record) > record_size:
        raise ValueError("not one record of a web push message")
    key = _private_key(private_key)
    shared = key.exchange(ec.ECDH(), _public_key(sender))
    content_key, nonce = _derive(shared, auth, _point(key), sender, salt)
    try:
        padded = AESGCM(content_key).decrypt(nonce, record, None)
    except InvalidTag as error:
        raise ValueError("encrypted for other keys, or damaged") from error
    plaintext, delimiter, _ = padded.rstrip(b"\0").rpartition(_LAST)
    if not delimiter or not padded.rstrip(b"\0").endswith(_LAST):
        raise ValueError("not the last record")
    return plaintext


def _derive(shared: bytes, auth: bytes, receiver: bytes, sender: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Content key and nonce (§3.3, §3.4; RFC 8188 §2.2, §2.3). No output exceeds one block of HKDF-Expand,
    which makes that a single HMAC."""
    secret = _hmac(_hmac(auth, shared), b"WebPush: info\0" + receiver + sender + b"\x01")
    pseudorandom = _hmac(salt, secret)
    content_key = _hmac(pseudorandom, b"Content-Encoding: aes128gcm\0\x01")
    return content_key[:16], _hmac(pseudorandom, b"Content-Encoding: nonce\0\x01")[:12]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError as error:
        raise ValueError("p256dh is no point of the curve P-256") from error


def _private_key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    if len(scalar) != _SCALAR:
        raise ValueError(f"a private key has {_SCALAR} octets")
    return ec.derive_private_key(int.from_bytes(scalar, "big"), _CURVE)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(_SCALAR, "big")


# ------------------------------------------------------------ who sends it (RFC 8292)


class VapidKey:
    """The signing key of an application server. Its ``repr`` does not tell it."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        # The public key as clients and push services get it (RFC 9749 §3): base64url of the point.
        self.public = encode_base64url(_point(key))

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(_CURVE))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The key that ``to_text`` gave. Raises ValueError."""
        return cls(_private_key(decode_base64url(text)))

    def to_text(self) -> str:
        """The private key, in base64url: a secret."""
        return encode_base64url(_scalar(self._key))

    def sign(self, data: bytes) -> bytes:
        """ES256 (RFC 7518 §3.4): r and s, 32 octets each."""
        r, s = decode_dss_signature(self._key.sign(data, _ES256))
        return r.to_bytes(_SCALAR, "big") + s.to_bytes(_SCALAR, "big")


_JOSE_HEADER = encode_base64url(b'{"typ":"JWT","alg":"ES256"}')


def vapid_authorization(audience: str, subject: str, expires: int, key: VapidKey) -> str:
    """The value of Authorization for a push service.

    ``audience``: the origin of the push URL (§2). ``subject``: whom to turn to, a mailto: or https: URI
    (§2.1). ``expires``: seconds since 1970, at most 24 hours ahead (§2).
    """
    claims = json.dumps({"aud": audience, "exp": expires, "sub": subject}, separators=(",", ":"))
    signed = f"{_JOSE_HEADER}.{encode_base64url(claims.encode())}"
    return f"vapid t={signed}.{encode_base64url(key.sign(signed.encode()))}, k={key.public}"
