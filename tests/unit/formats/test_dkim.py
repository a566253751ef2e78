"""DKIM signatures (RFC 6376, RFC 8463), each verified by dkimpy, which is not ours."""

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest

from corpus.mail_corpus import CORPUS, crlf, needs_corpus
from veredus.formats import dkim_body
from veredus.formats.dkim import SigningKey, sign
from veredus.formats.dkim_body import body_digest

dkimpy = pytest.importorskip("dkim", reason="the extra `checks` is not installed")

NOW = 1_790_000_000


@pytest.fixture(scope="module")
def keys() -> tuple[SigningKey, SigningKey]:
    return SigningKey.generate("r1", "rsa-sha256"), SigningKey.generate("e1", "ed25519-sha256")


def verify(message: bytes, keys: tuple[SigningKey, ...], domain: str = "example.com") -> list[bool]:
    """What dkimpy says of each signature."""
    records = {f"{key.selector}._domainkey.{domain}.".encode(): key.record.encode() for key in keys}
    verifier = dkimpy.DKIM(message)
    return [
        bool(verifier.verify(index, dnsfunc=lambda name, timeout=5: records.get(name)))
        for index in range(len(keys))
    ]


def signed(message: bytes, keys: tuple[SigningKey, ...]) -> bytes:
    return sign(message, keys, "example.com", NOW) + message


MESSAGE = (
    b"Received: from a by b; now\r\nFrom: Alice <alice@example.com>\r\nTo: bob@example.org,\r\n\tcarol@example.org\r\n"
    b"Subject:  A   long\r\n\t subject \t \r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"Comments: one\r\nResent-To: x@example.net\r\nResent-To: y@example.net\r\n\r\nHello \t world \r\n\r\n\r\nEnd\t\r\n \r\n\r\n"
)
ODD = {
    "no body": b"From: a@example.com\r\nSubject: x\r\n\r\n",
    "no empty line": b"From: a@example.com\r\nSubject: x\r\n",
    "only empty lines": b"From: a@example.com\r\n\r\n\r\n\r\n\r\n",
    "empty lines first": b"From: a@example.com\r\n\r\n\r\n\r\nText\r\n",
    "only white space": b"From: a@example.com\r\n\r\n \t \r\n\t\r\n",
    "no field of those signed": b"X-Nothing: 1\r\n\r\nText\r\n",
    "eight-bit": "From: Jürgen <j@example.com>\r\nSubject: grüße\r\n\r\nGrüße  aus Köln\r\n".encode(),
    "white space around the colon": b"From : a@example.com\r\nSUBJECT:x\r\n\r\nText\r\n",
    "two From fields": b"From: a@example.com\r\nFrom: b@example.com\r\n\r\nText\r\n",
    "long lines": b"From: a@example.com\r\n\r\n" + b"word  " * 5000 + b"\r\nend\r\n",
}


@pytest.mark.parametrize("name", ["usual", *ODD])
def test_another_implementation_verifies_both_signatures(
    name: str, keys: tuple[SigningKey, SigningKey]
) -> None:
    message = MESSAGE if name == "usual" else ODD[name]
    if name == "white space around the colon":
        message = message.replace(b"From :", b"From:")  # dkimpy cannot read it
    # dkimpy counts one more From than there is name in h=, whatever h= says: RFC 6376 §8.15.
    assert verify(signed(message, keys), keys) == [True, True]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Alice", b"Mallory"),
        (b"long\r\n", b"short\r\n"),
        (b"y@example.net", b"z@example.net"),
        (b"x@example.net", b"z@example.net"),
        (b"Hello", b"Hullo"),
        (b"End", b"End\r\nand more"),
        (b"Received", b"Subject: another\r\nReceived"),
        (b"Received", b"From: mallory@example.org\r\nReceived"),
        (b"Received", b"Reply-To: mallory@example.org\r\nReceived"),
        (b"Received", b"Content-Type: text/html\r\nReceived"),
        (b"Comments", b"Cc: everybody@example.org\r\nComments"),
        (b"d=example.com; ", b"d=example.com; x=1"),
        (b"t=17", b"t=16"),
    ],
)
def test_what_is_changed_or_added_later_breaks_them(
    old: bytes, new: bytes, keys: tuple[SigningKey, SigningKey]
) -> None:
    message = signed(MESSAGE, keys).replace(b"d=example.com;\r\n", b"d=example.com; \r\n")
    assert verify(message, keys) == [True, True]
    assert old in message
    try:
        verified = verify(message.replace(old, new), keys)
    except dkimpy.DKIMException:
        verified = [False, False]
    assert verified == [False, False]


def test_what_mail_systems_change_does_not_break_them(keys: tuple[SigningKey, SigningKey]) -> None:
    message = signed(MESSAGE, keys)
    for old, new in (
        (b"Received:", b"Received: from c by a\r\nReceived:"),
        (b"Subject:  A   long\r\n\t subject", b"subject: A long subject"),
        (b"Comments: one", b"Comments: two"),
        (b"Hello \t world ", b"Hello world\t"),
        (b"Received:", b"List-Id: <list.example.net>\r\nSender: list@example.net\r\nReceived:"),
        (b"Received:", b"Resent-To: another@example.net\r\nReceived:"),
    ):
        assert old in message
        message = message.replace(old, new, 1)
    assert verify(message + b"\r\n\r\n", keys) == [True, True]


def test_the_field_is_folded_and_has_the_tags_of_the_rfc(keys: tuple[SigningKey, SigningKey]) -> None:
    fields = sign(MESSAGE, keys, "example.com", NOW)
    assert fields.count(b"DKIM-Signature: ") == 2
    assert fields.endswith(b"\r\n")
    assert all(len(line) <= 78 for line in fields.split(b"\r\n"))
    tags = re.sub(rb"\s+", b"", fields.split(b"DKIM-Signature:")[2])
    assert tags.startswith(
        b"v=1;a=ed25519-sha256;c=relaxed/relaxed;d=example.com;s=e1;t=1790000000;h=from:from:reply-to:to:to:cc:"
    )
    assert tags.count(b"resent-to") == 2
    assert b"received" not in tags


def test_the_key_of_the_rfc_has_the_record_of_the_rfc() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = SigningKey("brisbane", Ed25519PrivateKey.from_private_bytes(secret))
    assert key.record == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_a_key_is_kept_as_text_and_never_told(keys: tuple[SigningKey, SigningKey]) -> None:
    for key in keys:
        again = SigningKey.from_text(key.selector, key.to_text())
        assert (again.record, again.algorithm) == (key.record, key.algorithm)
        assert key.to_text() not in f"{key!r} {key!s} {vars(key)!r}"
        assert verify(signed(MESSAGE, (again,)), (key,)) == [True]


def _whole(body: bytes) -> bytes:
    """The body digest by the letter of §3.4.4, all at once."""
    text = re.sub(
        rb"[ \t]+\r\n", b"\r\n", re.sub(rb"[ \t]+", b" ", body if body.endswith(b"\r\n") else body + b"\r\n")
    )
    text = re.sub(rb"(\r\n)+\Z", b"", text)
    return hashlib.sha256(text + b"\r\n" if text else b"").digest()


def _bodies() -> Iterator[bytes]:
    yield from (
        b"",
        b"\r\n",
        b" ",
        b"a",
        b"a \t",
        b"\ra\n\r\n",
        b"\r\n\r\na\r\n\r\nb \r\n \r\n",
        b"a\r\r\n\r\n",
    )
    yield (
        b"x " * 100
        + b"\r\n"
        + b"y" * 300
        + b"  \r\n\r\n\r\n"
        + b"\r\n" * 100
        + b"z\t\t"
        + b"\r\n \t\r\n" * 90
    )


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1 << 20])
def test_a_body_hashed_in_pieces_is_the_same(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dkim_body, "_PIECE", piece)
    for body in _bodies():
        assert body_digest(body) == _whole(body), body


@needs_corpus
def test_real_messages_are_signed_so_that_others_verify_them(keys: tuple[SigningKey, SigningKey]) -> None:
    paths = [
        path for path in sorted((CORPUS / "mail").rglob("*")) if path.is_file() and path.suffix == ".eml"
    ][::9]
    assert len(paths) > 30
    wrong, read = [], 0
    for path in paths:
        message = crlf(path.read_bytes())
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        try:
            verified = verify(signed(message, keys), keys)
        except (dkimpy.MessageFormatError, IndexError):  # dkimpy reads nothing that is not quite in order
            continue
        read += 1
        if verified != [True, True]:
            wrong.append(path.name)
    assert wrong == []
    assert read > len(paths) // 2
