"""From a message's bytes to the stored properties of an Email, and its searchable text (RFC 8621 §4.1)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from veredus.formats import search
from veredus.formats.html import html_to_text
from veredus.formats.mime import email as mime
from veredus.formats.mime import message as messages
from veredus.formats.mime import transfer
from veredus.formats.mime.header import Header, as_text
from veredus.formats.mime.message import Message, Part
from veredus.formats.subject import base_subject
from veredus.mail.threading import thread_keys
from veredus.wire.blob_ids import part_id
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId, JsonObject

# So much text of one message is searchable, in characters.
MAX_INDEXED = 1024 * 1024

# Properties of an EmailBodyPart that are stored of every part; header fields are stored of all but the root.
PART_PROPERTIES = "partId blobId size name type charset disposition cid language location".split()


def describe(message: Message, blob_id: BlobId, *, offset: int = 0) -> JsonObject:
    """What follows from the message alone: all stored properties but id, threadId, mailboxIds, keywords
    and receivedAt. ``offset``: where the message begins in the blob that part ids are to name."""
    headers = message.headers
    properties = mime.convenience(headers)
    text, html, attachments = message.lists
    whole = blob_id.split("-", 1)[0]

    def id_of(part: Part) -> BlobId:
        return part_id(whole, part.encoding, part.start + offset, part.end + offset)

    email: JsonObject = {
        "blobId": blob_id,
        "size": len(message.data),
        **properties,
        "hasAttachment": messages.has_attachment(message),
        "preview": messages.preview(message),
        "headers": mime.headers_json(headers),
        "decodedHeaders": _decoded(headers),
        "structure": _structure(message.root, id_of, is_root=True),
        "lists": {"textBody": _ids(text), "htmlBody": _ids(html), "attachments": _ids(attachments)},
        "sortFrom": _first(properties["from"]),
        "sortTo": _first(properties["to"]),
        "sortSubject": base_subject(properties["subject"] or ""),
        "sortSentAt": _in_utc(properties["sentAt"]),
    }
    email["threadKeys"] = thread_keys(email)
    return email


def _decoded(headers: Iterable[Header]) -> list[dict[str, str]]:
    """The fields that hold encoded words, as text (§4.4.1 ``header``)."""
    return [{"name": name, "value": as_text(value)} for name, value in headers if "=?" in value]


def _ids(parts: Iterable[Part]) -> list[str]:
    return [part.part_id for part in parts if part.part_id is not None]


def _structure(part: Part, id_of: Callable[[Part], BlobId], *, is_root: bool = False) -> JsonObject:
    stored = mime.part_json(part, id_of, PART_PROPERTIES)
    if part.encoding not in transfer.KNOWN:
        stored["encoding"] = part.encoding
    if not is_root:
        stored["headers"] = mime.headers_json(part.headers)
    if part.is_multipart:
        stored["subParts"] = [_structure(sub_part, id_of) for sub_part in part.sub_parts]
    return stored


def _first(addresses: list[dict[str, Any]] | None) -> str:
    """§4.4.2: the name of the first address, else the address."""
    if not addresses:
        return ""
    return addresses[0].get("name") or addresses[0].get("email") or ""


def _in_utc(date: str | None) -> str:
    if date is None:
        return ""
    try:
        return utc_date(datetime.fromisoformat(date))
    except (ValueError, OverflowError):
        return ""


def texts(message: Message, email: JsonObject) -> dict[str, str]:
    """The normalized full text of a message by field (§4.4.1)."""
    found = {
        name: search.normalize(_address_text(email[name]))
        for name in ("from", "to", "cc", "bcc")
        if email[name]
    }
    found["subject"] = search.normalize(email["subject"] or "")
    found["body"] = search.normalize(body_text(message))
    return found


def _address_text(addresses: list[dict[str, Any]]) -> str:
    # The period keeps a phrase from reaching over into the next address.
    return " . ".join(f"{address.get('name') or ''} {address.get('email') or ''}" for address in addresses)


def body_text(message: Message) -> str:
    """The text of the body as a person reads it, without markup; then attachments, by name and as text."""
    text, _, attachments = message.lists
    pieces: list[str] = []
    length = 0
    for part in [*text, *(part for part in attachments if part not in text)]:
        if part.name:
            pieces.append(part.name)
        if part.type.startswith("text/") and length < MAX_INDEXED:
            piece = plain_text(part.content(), part.charset, part.type)
            pieces.append(piece[: MAX_INDEXED - length])
            length += len(piece)
    # The period keeps a phrase from reaching over into the next part.
    return "\n.\n".join(pieces)


def plain_text(content: bytes, charset: str | None, type: str) -> str:
    """The text of a decoded body part, without markup."""
    text, _ = messages.decode_text(content, charset)
    return html_to_text(text, head_title=False) if type == "text/html" else text
