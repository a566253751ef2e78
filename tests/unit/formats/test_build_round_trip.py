"""What is built says, parsed again, what was asked for; with our parser and with the standard library's."""

import email
import email.policy
import unicodedata
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.mime.build import build
from veredus.formats.mime.email import convenience
from veredus.formats.mime.header import parse_header_property
from veredus.formats.mime.message import parse

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=200)
WORDS = st.lists(
    st.sampled_from(["a", "Bär", "=?utf-8?q?x?=", "项目", '"', "\\", ",", "(c)", "x" * 90, ".", "@"])
)
LINE = TEXT | WORDS.map(" ".join) | WORDS.map("  ".join)
ATOM = st.text(alphabet="abcxyz019!#$%&'*+-/=?^_`{|}~é用", min_size=1, max_size=20)
GROUP_NAME = LINE.map(lambda name: name.replace("@", "").strip()).filter(bool)
NAME = (LINE.map(str.strip) | st.none()).map(lambda name: name or None)
ADDRESS = st.builds(
    lambda name, local, domain: {"name": name, "email": f"{local}@{domain}"}, NAME, ATOM, ATOM
)
CONTENT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300) | st.text(
    "ab \n\r\t=.ü", max_size=300
)


def built(email_: dict[str, Any], blobs: dict[str, bytes] | None = None) -> bytes:
    message = build(email_, load_blob=blobs or {}, message_id="m@example.com", date="2020-02-01T00:00:00Z")
    header = message.partition(b"\r\n\r\n")[0]
    assert all(line.strip() for line in header.split(b"\r\n"))
    assert b"\n" not in message.replace(b"\r\n", b"")
    return message


def one_spaced(name: str | None) -> str | None:
    """A display name as the parser gives it: which white space is between two words does not count."""
    return None if name is None else " ".join(unicodedata.normalize("NFC", name).split())


def nfc(text: str | None) -> str | None:
    return None if text is None else unicodedata.normalize("NFC", text)


@given(LINE)
def test_subjects(subject: str) -> None:
    message = built({"subject": subject})
    assert convenience(parse(message).headers)["subject"] == nfc(subject)


@given(st.lists(ADDRESS, min_size=1, max_size=6))
def test_addresses(addresses: list[dict[str, Any]]) -> None:
    found = convenience(parse(built({"to": addresses})).headers)["to"]
    assert [{**a, "name": one_spaced(a["name"])} for a in found] == [
        {"name": one_spaced(a["name"]), "email": nfc(a["email"])} for a in addresses
    ]


@given(st.lists(st.tuples(GROUP_NAME, st.lists(ADDRESS, max_size=3)), min_size=1, max_size=4))
def test_groups(groups: list[tuple[str, list[dict[str, Any]]]]) -> None:
    value = [{"name": name, "addresses": addresses} for name, addresses in groups]
    message = parse(built({"header:To:asGroupedAddresses": value}))
    header = parse_header_property("header:To:asGroupedAddresses")
    assert header is not None
    found = header.value(message.headers)
    assert [one_spaced(group["name"]) for group in found] == [one_spaced(name) for name, _ in groups]
    assert [[a["email"] for a in group["addresses"]] for group in found] == [
        [nfc(a["email"]) for a in addresses] for _, addresses in groups
    ]


@given(
    st.datetimes(min_value=datetime(1900, 1, 1)),  # noqa: DTZ001 - the zone is drawn apart
    st.sampled_from(["Z", "+05:30", "-11:00"]),
)
def test_dates(at: Any, zone: str) -> None:
    sent_at = at.replace(microsecond=0).isoformat() + zone
    assert convenience(parse(built({"sentAt": sent_at})).headers)["sentAt"] == sent_at


@given(CONTENT, CONTENT)
def test_texts(text: str, html: str) -> None:
    message = built(
        {
            "textBody": [{"partId": "t", "type": "text/plain"}],
            "htmlBody": [{"partId": "h", "type": "text/html"}],
            "bodyValues": {"t": {"value": text}, "h": {"value": html}},
        }
    )
    text_body, html_body, attachments = parse(message).lists
    assert attachments == []
    for (part,), value in ((text_body, text), (html_body, html)):
        content = part.content().decode(part.charset or "ascii")
        assert content.replace("\r\n", "\n") == value.replace("\r\n", "\n")
    standard = email.message_from_bytes(message)
    payload = standard.get_payload()[0].get_payload(decode=True)
    assert payload.replace(b"\r\n", b"\n") == text.replace("\r\n", "\n").encode()


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=200) | st.text(max_size=99, alphabet="a\r\nü=").map(str.encode),
            LINE.map(str.strip).filter(lambda name: "=?" not in name),
            st.sampled_from(["text/plain", "text/csv", "image/png", "application/octet-stream"]),
            st.sampled_from([None, "attachment", "inline"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_attachments(files: list[tuple[bytes, str, str, str | None]]) -> None:
    blobs = {str(i): data for i, (data, *_) in enumerate(files)}
    parts = [
        {"blobId": str(i), "name": name or None, "type": type_, "disposition": disposition}
        for i, (_, name, type_, disposition) in enumerate(files)
    ]
    root = parse(built({"bodyStructure": {"type": "multipart/mixed", "subParts": parts}}, blobs)).root
    assert [part.content() for part in root.sub_parts] == [data for data, *_ in files]
    assert [nfc(part.name) for part in root.sub_parts] == [nfc(name) or None for _, name, *_ in files]
    assert [(part.type, part.disposition) for part in root.sub_parts] == [(f[2], f[3]) for f in files]
