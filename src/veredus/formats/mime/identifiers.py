"""The MessageIds and URLs forms of a header field (RFC 8621 §4.1.2.5 and §4.1.2.7)."""

import re

from veredus.formats.mime.comments import strip_comments

_BRACKETED = re.compile(r"<([^<>]*)>")
_SPACE = re.compile(r"\s+")


def as_message_ids(value: str) -> list[str] | None:
    """The ids of a raw value without angle brackets and CFWS, None if there is none.

    Ids without brackets are taken as words, as their writers meant them.
    """
    ids = [_SPACE.sub("", found) for found in _BRACKETED.findall(value)]
    ids = [strip_comments(found).replace(" ", "") if "(" in found else found for found in ids]
    ids = [found for found in ids if found]
    if not ids:
        ids = [word for word in strip_comments(value).replace(",", " ").split() if word.strip("<>")]
        ids = [word.strip("<>") for word in ids]
    return ids or None


def as_urls(value: str) -> list[str] | None:
    """The URLs of a raw value without angle brackets and comments (RFC 2369 §2), None if there is none."""
    urls = [_SPACE.sub("", found) for found in _BRACKETED.findall(value)]
    return [found for found in urls if found] or None
