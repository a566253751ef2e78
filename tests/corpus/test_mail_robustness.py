"""The robustness gate: every message of the corpus parses, quickly, into legal JSON."""

import time

import msgspec
import pytest

from corpus.mail_corpus import messages, needs_corpus
from veredus.formats.mime.email import convenience, headers_json, part_json
from veredus.formats.mime.message import Message, decode_text, has_attachment, parse, preview

pytestmark = needs_corpus

PROPERTIES = (
    "partId", "blobId", "size", "headers", "name", "type", "charset", "disposition", "cid", "language",
    "location", "subParts",
)  # fmt: skip


def email_json(message: Message) -> dict[str, object]:
    """Everything that is derived from the octets of a message."""
    leaves = [part for part in message.root.walk() if not part.is_multipart]
    return {
        **convenience(message.headers),
        "headers": headers_json(message.headers),
        "bodyStructure": part_json(message.root, lambda part: str(part.start), PROPERTIES),
        "lists": [[part.part_id for part in found] for found in message.lists],
        "values": [decode_text(p.content(), p.charset) for p in leaves if p.type.startswith("text/")],
        "hasAttachment": has_attachment(message),
        "preview": preview(message),
    }


@pytest.mark.parametrize("ends", [None, b"\n", b"\r\n"], ids=["as-is", "lf", "crlf"])
def test_every_message_parses_into_legal_json(ends: bytes | None) -> None:
    for path, data in messages():
        octets = data if ends is None else data.replace(b"\r\n", b"\n").replace(b"\n", ends)
        start = time.monotonic()
        email = email_json(parse(octets))
        assert time.monotonic() - start < 5, path
        assert len(str(email["preview"])) <= 256, path
        msgspec.json.decode(msgspec.json.encode(email))
