"""Header fields of uploads and downloads: media types, file names, ranges, entity tags. Pure."""

import re
from urllib.parse import quote, unquote, unquote_to_bytes

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Written so that no two parts can match the same blank: backtracking would take years otherwise.
_MEDIA_TYPE = re.compile(
    rf"{_WORD}/{_WORD}(?:[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|\"(?:[\t !#-\[\]-~]|\\[\t -~])*\"))?)*"
)
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$&+.^_`{}~()\[\]@,;='-]*")
_UNPLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.^_`{}~()\[\]@,;='-]")
# RFC 8187 §3.2.1: what needs no percent-encoding in an ext-value.
_ATTR_CHARS = "!#$&+-.^_`|~"

OCTETS = "application/octet-stream"


def media_type(text: str) -> str | None:
    """``text`` if it is a media type of at most 255 characters (RFC 9110 §8.3.1), else None."""
    text = text.strip(" \t")
    return text if len(text) <= 255 and _MEDIA_TYPE.fullmatch(text) else None


def asked_type(query: bytes) -> str:
    """The media type that ``accept=`` in the query asks a download to have; octets when there is none.

    A plus sign stands for itself (RFC 6570 knows no form encoding): ``image/svg+xml``.
    """
    for pair in query.split(b"&"):
        if pair.startswith(b"accept="):
            return media_type(unquote(pair[7:].decode("latin-1"), errors="replace")) or OCTETS
    return OCTETS


def disposition(raw_name: str) -> bytes:
    """Content-Disposition for a file name as it stands in the URL (RFC 6266 §4.3, RFC 8187 §3.2)."""
    name = unquote_to_bytes(raw_name).decode("utf-8", "replace")
    if not name:
        return b"attachment"
    if _PLAIN_NAME.fullmatch(name):
        return b'attachment; filename="%s"' % name.encode("ascii")
    plain = _UNPLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}".encode(
        "ascii"
    )


def matches_etag(field: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match field names ``etag``; the comparison is weak (RFC 9110 §13.1.2)."""
    return field.strip() == b"*" or etag in [one.strip().removeprefix(b"W/") for one in field.split(b",")]


def byte_range(field: bytes, size: int) -> tuple[int, int] | None:
    """The octets [start, end) that a Range field asks for (RFC 9110 §14.1.2).

    None: send everything, because the field is malformed, of another unit, or names several ranges, all
    of which a server may ignore (§14.2). Raises ValueError when no octet satisfies it (416).
    """
    match = _RANGE.fullmatch(field.strip())
    if match is None or match[0] == b"bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise ValueError(f"no octet of {size} in the range")
    return start, end
