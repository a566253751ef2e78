"""The MessageIds and URLs forms of a header field (RFC 8621 §4.1.2.5 and §4.1.2.7)."""

import re

from veredus.formats.mime.comments import strip_comments

_BRACKETED = re.compile(r"<([^<>]*)>")


def as_message_ids(value: str) -> list[str] | None:
    """The ids of a raw value without angle brackets and CFWS, None if there is none.

    Ids without brackets are taken as words, as their writers meant them.
    """
    ids = ["".join(strip_comments(found).split()) for found in _BRACKETED.findall(value)]
    if not any(ids):
        ids = [word.strip("<>") for word in strip_comments(value).replace(",", " ").split()]
    return [found for found in ids if found] or None


def as_urls(value: str) -> list[str] | None:
    """The URLs of a raw value without angle brackets and comments (RFC 2369 §2), None if there is none."""
    urls = ["".join(found.split()) for found in _BRACKETED.findall(value)]
    return [found for found in urls if found] or None
