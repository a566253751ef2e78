"""Web push encryption and VAPID against the vectors of the RFCs, and what must not pass."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats import webpush
from veredus.formats.webpush import (
    MAX_PLAINTEXT,
    VapidKey,
    decode_base64url,
    decrypt,
    encode_base64url,
    encrypt,
    new_keys,
    parse_keys,
    vapid_authorization,
)

# RFC 8291 §5 and Appendix A
PLAINTEXT = b"When I grow up, I want to be a watermelon"
SENDER_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
RECEIVER_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
    "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
    "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example_of_rfc_8291_is_reproduced_octet_by_octet() -> None:
    keys = parse_keys(P256DH, AUTH)
    salt, private_key = decode_base64url(SALT), decode_base64url(SENDER_PRIVATE)
    body = encrypt(PLAINTEXT, keys.p256dh, keys.auth, salt=salt, private_key=private_key)
    assert encode_base64url(body) == BODY
    assert decrypt(body, decode_base64url(RECEIVER_PRIVATE), keys.auth) == PLAINTEXT


@given(st.binary(max_size=MAX_PLAINTEXT))
def test_what_is_encrypted_can_be_read_by_the_receiver(plaintext: bytes) -> None:
    private_key, keys = new_keys()
    body = encrypt(plaintext, keys.p256dh, keys.auth)
    assert decrypt(body, private_key, keys.auth) == plaintext
    assert len(body) == len(plaintext) + 103


def test_the_largest_plaintext_fills_what_push_services_must_accept() -> None:
    _, keys = new_keys()
    body = encrypt(b"x" * MAX_PLAINTEXT, keys.p256dh, keys.auth)
    assert (MAX_PLAINTEXT, len(body)) == (3993, 4096)
    with pytest.raises(ValueError, match="3993 octets"):
        encrypt(b"x" * (MAX_PLAINTEXT + 1), keys.p256dh, keys.auth)


def test_nothing_is_used_twice() -> None:
    _, keys = new_keys()
    bodies = [encrypt(PLAINTEXT, keys.p256dh, keys.auth) for _ in range(20)]
    assert len({body[:16] for body in bodies}) == len({body[21:86] for body in bodies}) == 20


def test_padding_of_other_senders_is_removed() -> None:
    """RFC 8188 §2: data, the delimiter 2, zeros; the data may itself end in 2 or 0."""
    private_key, keys = new_keys()
    salt, sender = b"s" * 16, ec.generate_private_key(ec.SECP256R1())
    point, scalar = webpush._point(sender), webpush._private_key(private_key)
    shared = scalar.exchange(ec.ECDH(), sender.public_key())
    content_key, nonce = webpush._derive(shared, keys.auth, keys.p256dh, point, salt)

    def sent(padded: bytes) -> bytes:
        return salt + b"\0\0\x10\0\x41" + point + AESGCM(content_key).encrypt(nonce, padded, None)

    assert decrypt(sent(b"a\x02\0\x02\0\0\0"), private_key, keys.auth) == b"a\x02\0"
    for not_last in (b"a\x01", b"\0\0", b""):
        with pytest.raises(ValueError, match=r"not the last record|too short"):
            decrypt(sent(not_last), private_key, keys.auth)


def test_damage_anywhere_is_noticed() -> None:
    private_key, keys = new_keys()
    body = encrypt(b"{}", keys.p256dh, keys.auth)
    # The record size may grow without meaning anything else.
    for place in (*range(16), *range(20, len(body))):
        damaged = bytearray(body)
        damaged[place] ^= 1
        with pytest.raises(ValueError, match=r"damaged|not one record|no point"):
            decrypt(bytes(damaged), private_key, keys.auth)
    for length in range(len(body)):
        with pytest.raises(ValueError, match=r"too short|damaged"):
            decrypt(body[:length], private_key, keys.auth)


def test_a_message_for_others_cannot_be_read() -> None:
    private_key, keys = new_keys()
    other, others = new_keys()
    body = encrypt(PLAINTEXT, keys.p256dh, keys.auth)
    for wrong in ((other, keys.auth), (private_key, others.auth), (b"short", keys.auth)):
        with pytest.raises(ValueError, match=r"for other keys|a private key has 32"):
            decrypt(body, *wrong)


# ------------------------------------------------------------ keys of a subscription


@pytest.mark.parametrize("padded", [True, False])
def test_keys_are_accepted_with_and_without_padding(padded: bool) -> None:
    _, keys = new_keys()
    texts = [urlsafe_b64encode(part).decode() for part in keys]
    assert parse_keys(*(text if padded else text.rstrip("=") for text in texts)) == keys


POINT = decode_base64url(P256DH)


@pytest.mark.parametrize(
    ("p256dh", "auth", "reason"),
    [
        (P256DH[:-3], AUTH, "p256dh must be an uncompressed point"),
        ("", AUTH, "p256dh must be an uncompressed point"),
        (P256DH[:-2], AUTH, "p256dh must be base64url"),
        (P256DH + "!", AUTH, "p256dh must be base64url"),
        (P256DH[:20] + "\n" + P256DH[20:], AUTH, "p256dh must be base64url"),
        (b64encode(b"\xff" * 65).decode(), AUTH, "p256dh must be base64url"),
        (encode_base64url(b"\x02" + POINT[1:33]), AUTH, "p256dh must be an uncompressed point"),
        (encode_base64url(b"\x06" + POINT[1:]), AUTH, "p256dh must be an uncompressed point"),
        (encode_base64url(POINT[:-1] + b"\0"), AUTH, "p256dh is no point of the curve"),
        (encode_base64url(b"\x04" + bytes(64)), AUTH, "p256dh is no point of the curve"),
        (encode_base64url(b"\x04" + b"\xff" * 64), AUTH, "p256dh is no point of the curve"),
        (P256DH, "", "auth must have 16 octets"),
        (P256DH, AUTH + "AA", "auth must have 16 octets"),
        (P256DH, AUTH[:-1], "auth must be base64url"),
        (P256DH, "ä" * 22, "auth must be base64url"),
    ],
)
def test_keys_that_are_none_are_refused_with_a_reason(p256dh: str, auth: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_keys(p256dh, auth)


# ------------------------------------------------------------ VAPID


def parts(authorization: str) -> tuple[dict[str, object], dict[str, object], str]:
    """Header and claims of the token of an Authorization field whose signature is good, and the public key."""
    scheme, token, public = authorization.replace(",", "").split(" ")
    assert (scheme, token[:2], public[:2]) == ("vapid", "t=", "k=")
    signed, _, signature = token[2:].rpartition(".")
    raw = decode_base64url(signature)
    assert len(raw) == 64
    point = decode_base64url(public[2:])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    header, claims = (json.loads(decode_base64url(part)) for part in signed.split("."))
    return header, claims, public[2:]


def test_the_token_says_who_to_whom_and_how_long_and_is_signed() -> None:
    key = VapidKey.generate()
    # r or s begins with a zero octet once in 128 signatures, which must not shorten them.
    for expires in range(1_453_523_768, 1_453_523_768 + 400):
        authorization = vapid_authorization(
            "https://push.example.net", "mailto:push@example.com", expires, key
        )
        header, claims, public = parts(authorization)
        assert header == {"typ": "JWT", "alg": "ES256"}
        assert claims == {
            "aud": "https://push.example.net",
            "exp": expires,
            "sub": "mailto:push@example.com",
        }
        assert public == key.public


def test_the_signature_of_another_key_does_not_verify() -> None:
    ours, theirs = VapidKey.generate(), VapidKey.generate()
    authorization = vapid_authorization("https://a.example", "mailto:a@a.example", 1, ours)
    with pytest.raises(InvalidSignature):
        parts(authorization.replace(ours.public, theirs.public))


def test_a_key_survives_being_written_down() -> None:
    key = VapidKey.generate()
    assert VapidKey.from_text(key.to_text()).public == key.public
    assert len(decode_base64url(key.public)) == 65
    assert key.to_text() not in repr(key)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "32 octets"),
        ("AAAA", "32 octets"),
        ("?", "not base64url"),
        (encode_base64url(bytes(32)), "positive"),
        (encode_base64url(b"\xff" * 32), "[Ii]nvalid"),
    ],
)
def test_text_that_is_no_key_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        VapidKey.from_text(text)
