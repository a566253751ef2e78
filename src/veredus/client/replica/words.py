"""The words of an Email, as the index of a replica has them."""

from collections.abc import Iterator, Mapping
from typing import Any

from veredus.formats.html import html_to_text
from veredus.formats.search import normalize

ADDRESSES = ("from", "to", "cc", "bcc")
COLUMNS = (*ADDRESSES, "subject", "preview", "body")


def words_of(email: Mapping[str, Any]) -> list[str]:
    """By column, what the tokenizer splits at spaces."""
    addresses = (_addresses(email.get(name) or ()) for name in ADDRESSES)
    texts = (email.get("subject") or "", email.get("preview") or "", "\n".join(_body(email)))
    return [normalize(text) for text in (*addresses, *texts)]


def _addresses(addresses: Any) -> str:
    return " ".join(f"{address.get('name') or ''} {address.get('email') or ''}" for address in addresses)


def _body(email: Mapping[str, Any]) -> Iterator[str]:
    values = email.get("bodyValues") or {}
    parts = {
        part["partId"]: part
        for name in ("textBody", "htmlBody", "attachments")
        for part in email.get(name) or ()
    }
    for id, part in parts.items():
        if part.get("name"):
            yield part["name"]
        if id in values:
            text = values[id]["value"]
            yield html_to_text(text, head_title=False) if part["type"] == "text/html" else text


def phrase(words: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """An FTS5 query: these words side by side in one of ``columns``."""
    return "{" + " ".join(f'"{name}"' for name in columns) + '} : "' + " ".join(words) + '"'
