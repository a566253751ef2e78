"""Whatever the octets, parsing neither raises nor loses its bounds (property tests)."""

import base64
import quopri
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from veredus.formats import charset
from veredus.formats.mime.email import convenience, headers_json, part_json
from veredus.formats.mime.header import FORMS
from veredus.formats.mime.message import decode, decode_text, has_attachment, parse, preview, truncate_text

_FRAGMENTS = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"--b", b"--b\r\n", b"--b--\r\n", b"--c\n", b"Content-Type: ", b"text/html",
        b"multipart/mixed; boundary=b", b"multipart/alternative; boundary=c", b"message/rfc822", b"; charset=", b"utf-7",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"=?utf-8?q?=C3?=",
        b"From: ", b'"', b"<", b">", b"@", b":", b";", b",", b"(", b")", b"\\", b"=", b"*0*=", b"''%C3", b"\0", b"\xff",
        b"<style>", b"&amp;", b" ", b"\t", b"a", b"Date: Thu, 13 Feb 2020 10:00:00 +0000\r\n", b"From x\r\n",
    ]
)  # fmt: skip
MAIL = st.lists(_FRAGMENTS | st.binary(max_size=8), max_size=60).map(b"".join)


@given(MAIL)
@settings(max_examples=400)
def test_any_octets_become_legal_json(data: bytes) -> None:
    message = parse(data)
    leaves = [part for part in message.root.walk() if not part.is_multipart]
    email = {
        **convenience(message.headers),
        "headers": headers_json(message.headers),
        "structure": part_json(message.root, lambda part: "b", ["partId", "blobId", "size", "name", "type", "subParts"]),
        "values": [decode_text(part.content(), part.charset, part.encoding) for part in leaves],
        "hasAttachment": has_attachment(message),
        "preview": preview(message),
        "forms": [form(header.value) for header in message.headers for form in FORMS.values()],
    }  # fmt: skip
    assert len(preview(message)) <= 256
    msgspec.json.decode(msgspec.json.encode(email))


@given(MAIL)
@settings(max_examples=400)
def test_parts_lie_within_the_message_and_leaves_do_not_overlap(data: bytes) -> None:
    parts = parse(data).root.walk()
    assert all(0 <= part.start <= part.end <= len(data) for part in parts)
    leaves = [part for part in parts if not part.is_multipart]
    assert all(before.end <= after.start for before, after in pairwise(leaves))
    assert [part.part_id for part in leaves] == [str(number + 1) for number in range(len(leaves))]


@given(MAIL)
@settings(max_examples=400)
def test_every_leaf_is_in_a_list(data: bytes) -> None:
    message = parse(data)
    listed = {id(part) for found in message.lists for part in found}
    leaves = {id(part) for part in message.root.walk() if not part.is_multipart}
    assert listed <= leaves
    # A text alternative of a kind already chosen is shown in neither list (the algorithm of §4.1.4).
    missing = [part for part in message.root.walk() if id(part) in leaves - listed]
    assert all(part.type in ("text/plain", "text/html") for part in missing)


@given(st.binary(max_size=500))
def test_transfer_encodings_round_trip(data: bytes) -> None:
    assert decode(base64.encodebytes(data), "base64") == data
    text = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    assert decode(quopri.encodestring(text, quotetabs=True), "quoted-printable") == text


@given(
    st.binary(max_size=50),
    st.text(max_size=12) | st.sampled_from(["utf-7", "utf-16", "iso-2022-jp", "hz", "big5"]),
)
def test_any_charset_gives_legal_text(data: bytes, label: str) -> None:
    text, _ = charset.decode(data, label)
    text.encode("utf-8")


@given(st.text(st.sampled_from("a<é>😀 "), max_size=30), st.integers(1, 40), st.booleans())
def test_truncation_keeps_its_limit(text: str, octets: int, is_html: bool) -> None:
    value, truncated = truncate_text(text, octets, is_html)
    assert len(value.encode()) <= octets
    assert text.startswith(value)
    assert truncated == (value != text) or not truncated
