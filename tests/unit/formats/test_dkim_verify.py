"""DKIM signatures verified (RFC 6376, RFC 8463): those of the RFC, those of dkimpy, and bad ones."""

import random
import re
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from corpus.mail_corpus import crlf, messages, needs_corpus
from veredus.formats.dkim import SigningKey, sign
from veredus.formats.dkim_verify import Invalid, Signature, Verifier

NOW = 1_790_000_000

# RFC 8463, appendix A.
EXAMPLE = crlf(b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""")
RECORDS = {
    "brisbane": b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": (
        b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2"
        b"jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
        b"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}
MESSAGE = b"From: a@example.com\r\nX:  1\r\nX: 2 \r\nSubject: a\r\n  b\r\n\r\nHello  world \r\n\r\n \r\nEnd\r\n\r\n\r\n"


@pytest.fixture(scope="module")
def rsa() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def results(message: bytes, records: dict[str, bytes], now: int = NOW) -> list[str]:
    """Of each signature the word, and the reason."""
    verifier = Verifier(message)
    found = []
    for signature in verifier.signatures(10):
        try:
            verifier.check(signature, now)
            verifier.verify(signature, records[signature.tags["s"]])
        except Invalid as error:
            found.append(f"{error.result}: {error}")
        else:
            found.append("pass")
    return found


def test_the_example_of_the_rfc_is_good_and_a_changed_one_is_not() -> None:
    assert results(EXAMPLE, RECORDS) == ["pass", "pass"]
    assert results(EXAMPLE.replace(b"dinner", b"lunch"), RECORDS) == ["fail: the signature does not fit"] * 2
    assert results(EXAMPLE.replace(b"lost", b"won"), RECORDS) == ["fail: the body was changed"] * 2


BODIES = (
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b" \t \r\n",
    b"a \r\n\r\n  b\t c\r\n\r\n \r\n",
    b"x" * 100_000 + b"\r\n",
    b"a\r\nb",
)


@pytest.mark.parametrize(
    "algorithms", [(header, body) for header in ("simple", "relaxed") for body in ("simple", "relaxed")]
)
def test_what_dkimpy_signs_is_good(algorithms: tuple[str, str], rsa: RSAPrivateKey) -> None:
    dkimpy = pytest.importorskip("dkim", reason="the extra `checks` is not installed")
    pem = rsa.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    record = {"s": SigningKey("s", rsa).record.encode()}
    canonicalize = tuple(name.encode() for name in algorithms)
    for body in (MESSAGE.partition(b"\r\n\r\n")[2], *BODIES):
        message = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
        for length in (False, True):
            if body.endswith(b"b"):  # SMTP ends each line; dkimpy does not
                continue
            field = dkimpy.sign(message, b"s", b"example.com", pem, canonicalize=canonicalize, length=length)
            assert results(field + message, record) == ["pass"], (body[:50], length)


def made(changes: dict[str, str], rsa: RSAPrivateKey) -> bytes:
    """A message whose signature was made of these tags; only b= is left to it."""
    import base64
    import hashlib

    from veredus.formats.dkim_body import body_digest
    from veredus.formats.dkim_fields import field_of, relaxed_field, selected, split

    texts, body = split(MESSAGE)
    bh = base64.b64encode(body_digest(body)).decode()
    tags = {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": "example.com",
        "s": "s",
        "h": "from",
        "bh": bh,
    }
    tags |= changes
    own = (
        "DKIM-Signature: "
        + "".join(f"{name}={value}; " for name, value in tags.items() if value != "-")
        + "b="
    )
    hashed = hashlib.sha256()
    for name, value in selected([field_of(text) for text in texts], tags["h"].split(":")):
        hashed.update(relaxed_field(name, value))
    hashed.update(relaxed_field(*field_of(own.encode())).removesuffix(b"\r\n"))
    signature = base64.b64encode(SigningKey("s", rsa).sign(hashed.digest())).decode()
    return f"{own}{signature}\r\n".encode() + MESSAGE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pass"),
        ({"i": "x@news.Example.com", "z": "ignored", "t": "1", "x": "1790000001"}, "pass"),
        ({"h": "from:x:x:x:from:nothing"}, "pass"),
        ({"d": "Example.COM"}, "pass"),
        ({"v": "2"}, "permerror: v= is not 1"),
        ({"v": "-"}, "permerror: v= is missing"),
        ({"h": "-"}, "permerror: h= is missing"),
        ({"h": "x:subject"}, "permerror: From is not signed"),
        ({"a": "rsa-sha1"}, "policy: SHA-1 is not accepted (RFC 8301)"),
        ({"a": "rsa-md5"}, "permerror: the algorithm is unknown"),
        ({"a": "ed25519-sha256"}, "permerror: the key is of another kind"),
        ({"c": "relaxed/odd"}, "permerror: c= is unknown"),
        ({"q": "http"}, "permerror: q= is unknown"),
        ({"i": "x@example.org"}, "permerror: i= is not below d="),
        ({"i": "x@notexample.com"}, "permerror: i= is not below d="),
        ({"x": "1000"}, "fail: the signature has expired"),
        ({"t": "soon"}, "permerror: t=, x= or l= is not a number"),
        ({"l": "-1"}, "permerror: t=, x= or l= is not a number"),
        ({"l": "9999"}, "fail: the body is shorter than l="),
        ({"bh": "!"}, "permerror: base64 is malformed"),
        ({"d": "example.com; d=example.com"}, "permerror: v= is missing"),
        ({"z": "x" * 20_000}, "permerror: v= is missing"),
    ],
)
def test_a_signature_must_be_in_order(changes: dict[str, str], expected: str, rsa: RSAPrivateKey) -> None:
    assert results(made(changes, rsa), {"s": SigningKey("s", rsa).record.encode()}) == [expected]


def test_a_key_must_be_meant_for_this(rsa: RSAPrivateKey) -> None:
    message = made({"i": "x@news.example.com"}, rsa)
    good = SigningKey("s", rsa).record
    pkcs1 = rsa.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    import base64

    cases = {
        good: "pass",
        good.removeprefix("v=DKIM1; ") + "; n=a note;": "pass",
        good.replace("k=rsa; ", "h=sha1:sha256; s=email:other; t=y; "): "pass",
        f"p={base64.b64encode(pkcs1).decode()}": "pass",
        good.replace("DKIM1", "DKIM2"): "permerror: the key is of another kind",
        good.replace("k=rsa", "k=ed25519"): "permerror: the key is of another kind",
        "v=DKIM1; p=": "permerror: the key was revoked",
        good + "; h=sha1": "permerror: the key is not for SHA-256",
        good + "; s=tlsrpt": "permerror: the key is not for mail",
        good + "; t=y:s": "permerror: the key is not for subdomains",
        good + "; p=AAAA": "permerror: the tags are malformed",
        "v=DKIM1; p=AAAA": "permerror: the key is malformed",
        "v=DKIM1; p=A": "permerror: base64 is malformed",
        good + ";" * 9000: "permerror: the key record is too long",
        SigningKey("s", generate_private_key(65537, 1024)).record: "fail: the signature does not fit",
    }  # fmt: skip
    assert {record: results(message, {"s": record.encode()}) for record in cases} == {
        record: [expected] for record, expected in cases.items()
    }


def test_an_rsa_key_that_proves_nothing_is_not_accepted(rsa: RSAPrivateKey) -> None:
    import base64

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    for bits in (1000, 4104):
        numbers = RSAPublicNumbers(65537, random.Random(1).getrandbits(bits) | 1 << (bits - 1) | 1)
        data = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        record = b"v=DKIM1; p=" + base64.b64encode(data)
        assert results(made({}, rsa), {"s": record}) == [f"policy: a key of {bits} bits is not accepted"]


def test_nobody_can_keep_it_busy() -> None:
    key = SigningKey.generate("s", "ed25519-sha256")
    record = {"s": key.record.encode()}
    field = b"From: a@example.com\r\n"
    began = time.monotonic()
    for message in (
        field + b"\r\nx" + b" " * 3_000_000 + b"y\r\n",
        field + b"\r\n" + b" \r\n" * 1_000_000 + b"y\r\n",
        field + b"Subject: x\r\n" + b" \r\n" * 500_000 + b"\r\nx\r\n",
        field + b"Subject:" + b" \t" * 1_000_000 + b"x\r\n\r\nx\r\n",
        b"X-Mark: x\r\n" * 200_000 + field + b"\r\nx\r\n",
    ):
        assert results(sign(message, (key,), "example.com", NOW) + message, record) == ["pass"]
    for tail in (b"; h=from" + b" " * 15_000 + b":x", b" ;" * 8_000, b"; b=" + b"\r\n " * 5_000 + b"!"):
        assert results(b"DKIM-Signature: v=1; s=s; " + tail + b"\r\n" + field + b"\r\n", record) != ["pass"]
    assert time.monotonic() - began < 60


@needs_corpus
def test_any_message_can_be_looked_at() -> None:
    key = SigningKey.generate("s", "ed25519-sha256")
    seen = 0
    for index, (_, message) in enumerate(messages()):
        if index % 5 and b"DKIM-Signature" not in message:
            continue
        verifier = Verifier(crlf(message))
        for signature in verifier.signatures(10):
            seen += 1
            assert re.fullmatch(r"[^\s]*\._domainkey\.[^\s]*", signature.key_name)
            assert _is_invalid(verifier, signature, key.record.encode())  # it is another's key
    assert seen > 20


def _is_invalid(verifier: Verifier, signature: Signature, record: bytes) -> bool:
    try:
        verifier.check(signature, NOW)
        verifier.verify(signature, record)
    except Invalid:
        return True
    return False
