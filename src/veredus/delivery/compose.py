"""Messages that the server writes for an account by itself (RFC 3834): answers and notifications."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from veredus.formats.html import html_to_text
from veredus.formats.mime.build_content import Entity, leaf, multipart
from veredus.formats.mime.build_headers import field
from veredus.formats.mime.email import convenience
from veredus.formats.mime.fields import header_block, with_crlf
from veredus.formats.mime.header import Header, split_header_block
from veredus.mail.identity import is_mailbox
from veredus.wire.ids import new_id

MAX_BODY: Final = 256 * 1024
"""Characters of a body; the rest is cut."""
_MAX_SUBJECT: Final = 500
# RFC 5321 §4.5.3.1: 64 octets, the at sign, and 255.
_MAX_ADDRESS: Final = 320
_MAX_REFERENCES: Final = 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


class Heading(Struct, frozen=True, kw_only=True):
    """The header fields. ``about``: the header of the message that it answers, or tells of.

    ``auto_submitted``: the value of that field (RFC 3834 §5, RFC 5436 §2.7.1).
    """

    sender: str
    sender_name: str | None = None
    to: str
    subject: str
    hostname: str
    date: datetime
    auto_submitted: str
    about: Sequence[Header] = ()
    others: Sequence[tuple[str, str]] = ()


def is_address(text: str) -> bool:
    """Whether mail can be sent there."""
    return len(text) <= _MAX_ADDRESS and is_mailbox(text)


def one_line(text: str) -> str:
    """A subject, say, from what others wrote."""
    return _CONTROL.sub(" ", text).strip()[:_MAX_SUBJECT]


def compose(heading: Heading, body: Entity) -> bytes:
    """The message; it answers ``heading.about`` by In-Reply-To and References (RFC 5322 §3.6.4)."""
    fields = [
        _address("From", heading.sender, heading.sender_name),
        _address("To", heading.to),
        field("Subject", "asText", one_line(heading.subject)),
        field("Date", "asDate", heading.date.isoformat(timespec="seconds")),
        field("Message-ID", "asMessageIds", [f"{new_id('v')}@{heading.hostname}"]),
        *_threading(heading.about),
        field("Auto-Submitted", "asRaw", f" {heading.auto_submitted}"),
        *(field(name, "asRaw", f" {one_line(value)}") for name, value in heading.others),
        b"MIME-Version: 1.0\r\n",
    ]
    return b"".join(fields) + body.octets()


def _address(field_name: str, address: str, name: str | None = None) -> bytes:
    return field(field_name, "asAddresses", [{"name": name and one_line(name), "email": address}])


def _threading(about: Sequence[Header]) -> list[bytes]:
    known = convenience(about)
    ids = [id for id in known["messageId"] or () if _is_plain(id)][:1]
    if not ids:
        return []
    before = known["references"] or known["inReplyTo"] or []
    chain = [id for id in before if _is_plain(id)]
    # The first one is where the thread begins.
    chain = chain[:1] + chain[1:][-_MAX_REFERENCES:]
    return [
        field("In-Reply-To", "asMessageIds", ids),
        field("References", "asMessageIds", [*chain, *ids]),
    ]


def _is_plain(message_id: str) -> bool:
    return message_id.isascii() and message_id.isprintable() and " " not in message_id


def text(content: str) -> Entity:
    """A plain text."""
    return _leaf("text/plain", content)


def _leaf(type: str, content: str) -> Entity:
    octets = re.sub(r"\r\n|\r|\n", "\r\n", content[:MAX_BODY]).encode("utf-8", "replace")
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    return leaf(type, {"charset": "us-ascii" if octets.isascii() else "utf-8"}, octets)


def text_and_html(content: str | None, html: str | None) -> Entity | None:
    """Both as alternatives (RFC 2046 §5.1.4); the text is made of the HTML if there is none."""
    if not html:
        return text(content) if content else None
    html = html[:MAX_BODY]
    plain = content or html_to_text(html, head_title=False)
    return multipart("multipart/alternative", [text(plain), _leaf("text/html", html)], {}, new_id("b"))


def mime_entity(source: str) -> Entity:
    """What a script gives as a MIME entity (RFC 5230 §4.2): of its fields only those that say what it is."""
    data = with_crlf(source[:MAX_BODY].encode("utf-8", "replace"))
    block = header_block(data)
    headers, _ = split_header_block(block)
    kept = {
        header.name.lower(): f"{header.name}:{header.value}\r\n".encode()
        for header in headers
        if header.name.lower().startswith("content-")
    }
    body = data[len(block) :].removeprefix(b"\r\n")
    if "content-type" not in kept:
        charset = "us-ascii" if body.isascii() else "utf-8"
        kept["content-type"] = f"Content-Type: text/plain; charset={charset}\r\n".encode()
    if not body.isascii() and "content-transfer-encoding" not in kept:
        kept["content-transfer-encoding"] = b"Content-Transfer-Encoding: 8bit\r\n"
    return Entity(kept, body)
