"""Messages in mbox files (RFC 4155 and its relatives), read and written as streams.

A message begins at a line ``From …`` at the start of the file or after an empty line, provided that the line
carries a time and a year, or a single word (``From -``): an unquoted ``From here on`` in a text is no
separator. The empty line before the next separator belongs to neither. Lines of a text that begin with
``From `` are quoted: mboxrd puts one ``>`` before every ``>*From ``, mboxo only before ``From `` itself, so in
an mboxo file a line that really began with ``>From `` cannot be told from a quoted one.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from veredus.cli.transfer.incoming import MAX_MESSAGE, Found, Incoming, Unreadable, with_crlf
from veredus.formats.mime.date import as_date

Quoting: TypeAlias = Literal["mboxrd", "mboxo", "none"]

_BOM = b"\xef\xbb\xbf"
_SEPARATOR = re.compile(rb"From (?:\S+\s*$|.*\d{1,2}:\d{2}.*\b\d{4}\b|.*\b\d{4}\b.*\d{1,2}:\d{2})")
_DATE = re.compile(r"From \S*\s+(.*)")
_QUOTED = {
    "mboxrd": re.compile(rb"^>(>*From )", re.MULTILINE),
    "mboxo": re.compile(rb"^>(From )", re.MULTILINE),
}
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")

# Status and X-Status of UW IMAP, Pine, mutt and Dovecot; what X-Mozilla-Status says in bits.
_LETTERS = {"R": "$seen", "A": "$answered", "F": "$flagged", "T": "$draft"}
_MOZILLA = {0x0001: "$seen", 0x0002: "$answered", 0x0004: "$flagged", 0x1000: "$forwarded"}
_MOZILLA_EXPUNGED, _STATUS_DELETED = 0x0008, "D"
_STATUS = re.compile(rb"^(x-)?status:[ \t]*([A-Z]*)", re.IGNORECASE | re.MULTILINE)
_KEYWORDS = re.compile(rb"^x-keywords:((?:.*\n[ \t])*.*)", re.IGNORECASE | re.MULTILINE)
_MOZILLA_STATUS = re.compile(rb"^x-mozilla-status:[ \t]*([0-9a-f]{4})\b", re.IGNORECASE | re.MULTILINE)
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}\Z")
TRASH = ("Trash",)


def read(path: Path, mailbox: tuple[str, ...], quoting: Quoting = "mboxrd") -> Iterator[Found]:
    """The messages of a file, one at a time in memory. Raises OSError."""
    with path.open("rb") as file:
        for number, (at, lines, octets) in enumerate(_split(file), start=1):
            where = f"{path}: message {number} at octet {at}"
            if lines is None:
                yield Unreadable(where, f"larger than {MAX_MESSAGE // 2**20} MiB", octets)
            elif not lines[0].startswith(b"From "):
                yield Unreadable(where, "no From_ line: this is not an mbox file", octets)
            else:
                yield _message(lines, where, mailbox, octets, quoting)


def _split(file: BinaryIO) -> Iterator[tuple[int, list[bytes] | None, int]]:
    """Offset, lines with the From_ line first (None: too many to hold), and octets of each message."""
    lines: list[bytes] = []
    start = size = position = 0
    is_after_blank = True
    for line in file:
        if position == 0:
            line = line.removeprefix(_BOM)
        if is_after_blank and line.startswith(b"From ") and _SEPARATOR.match(line) and position:
            yield start, lines if size <= MAX_MESSAGE else None, size
            lines, start, size = [], position, 0
        position += len(line)
        size += len(line)
        is_after_blank = line in (b"\n", b"\r\n")
        if size <= MAX_MESSAGE and (lines or not is_after_blank):
            lines.append(line)
    if lines:
        yield start, lines if size <= MAX_MESSAGE else None, size


def _message(
    lines: list[bytes], where: str, mailbox: tuple[str, ...], octets: int, quoting: Quoting
) -> Incoming:
    separator = lines[0].decode("latin-1")
    # The empty line before the next separator; a message of headers alone keeps the one that ends them.
    if lines[-1] in (b"\n", b"\r\n") and len(lines) > 2 and _has_body(lines):
        lines.pop()
    data = b"".join(lines[1:])
    if pattern := _QUOTED.get(quoting):
        data = pattern.sub(rb"\1", data)
    keywords, is_deleted = _flags(data)
    data = with_crlf(data)
    return Incoming(data, where, TRASH if is_deleted else mailbox, keywords, _date_of(separator), octets)


def _has_body(lines: list[bytes]) -> bool:
    return any(line in (b"\n", b"\r\n") for line in lines[:-1])


def _date_of(separator: str) -> datetime | None:
    """The time of a From_ line is UTC unless it says otherwise (RFC 4155 Appendix A)."""
    found = _DATE.match(separator)
    date = as_date(found[1]) if found else None
    if date is None:
        return None
    moment = datetime.fromisoformat(date)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flags(data: bytes) -> tuple[frozenset[str], bool]:
    """Keywords from the fields that mail programs keep in mbox files, and whether it was deleted."""
    end = _END_OF_HEADERS.search(data)
    headers = data[: end.start()] if end else data
    letters = {letter for found in _STATUS.finditer(headers) for letter in found[2].decode().upper()}
    keywords = {keyword for letter, keyword in _LETTERS.items() if letter in letters}
    is_deleted = _STATUS_DELETED in letters
    if mozilla := _MOZILLA_STATUS.search(headers):
        bits = int(mozilla[1], 16)
        keywords |= {keyword for bit, keyword in _MOZILLA.items() if bits & bit}
        is_deleted = is_deleted or bool(bits & _MOZILLA_EXPUNGED)
    for found in _KEYWORDS.finditer(headers):
        words = re.split(r"[\s,]+", found[1].decode("latin-1"))
        keywords |= {word.lower() for word in words if _KEYWORD.match(word)}
    return frozenset(keywords), is_deleted


def write(file: BinaryIO, data: bytes, received: datetime, sender: str) -> None:
    """Append a message in mboxrd form, with LF line ends."""
    stamp = received.astimezone(UTC).strftime("%a %b %d %H:%M:%S %Y")
    file.write(f"From {sender} {stamp}\n".encode("ascii", "replace"))
    text = _TO_QUOTE.sub(rb">\1", data.replace(b"\r\n", b"\n"))
    file.write(text if text.endswith(b"\n") else text + b"\n")
    file.write(b"\n")


