"""Messages in mbox files (RFC 4155 and its relatives), read and written as streams.

A message begins at a line ``From …`` at the start of the file or after an empty line, if the line carries a
time and a year, or a single word (``From -``): ``From here on`` in a text is no separator. The empty line
before the next separator belongs to neither. Lines of a text that begin with ``From `` are quoted: mboxrd
puts one ``>`` before every ``>*From ``, mboxo only before ``From `` itself, so in an mboxo file a line that
really began with ``>From `` cannot be told from a quoted one.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from veredus.cli.transfer.incoming import MAX_MESSAGE, Found, Incoming, Unreadable, with_crlf
from veredus.formats.mime.date import as_date

Quoting: TypeAlias = Literal["mboxrd", "mboxo", "none"]

_PIECE = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_SEPARATOR = re.compile(rb"From (?:\S+\s*$|.*\d{1,2}:\d{2}.*\b\d{4}\b|.*\b\d{4}\b.*\d{1,2}:\d{2})")
_DATE = re.compile(r"From \S*\s+(.*)")
_QUOTED = {
    "mboxrd": re.compile(rb"^>(>*From )", re.MULTILINE),
    "mboxo": re.compile(rb"^>(From )", re.MULTILINE),
}
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)

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
        for number, (at, data, octets) in enumerate(_split(file), start=1):
            where = f"{path}: message {number} at octet {at}"
            if data is None:
                yield Unreadable(where, f"larger than {MAX_MESSAGE // 2**20} MiB", octets)
            elif not data.startswith(b"From "):
                yield Unreadable(where, "no From_ line: this is not an mbox file", octets)
            else:
                yield _message(data, where, mailbox, octets, quoting)


def _split(file: BinaryIO) -> Iterator[tuple[int, bytes | None, int]]:
    """Offset, text with the From_ line (None: too long to be held), and octets of each message.

    By searching large pieces, not line by line: that was a fifth of the time of an import.
    """
    at = searched = dropped = 0
    buffer = bytearray(file.read(_PIECE))
    if buffer.startswith(_BOM):
        at = len(_BOM)
        del buffer[:at]
    more = True
    while more:
        end = _next_separator(buffer, searched)
        if end is None:
            # The last line may be the beginning of a separator.
            searched = max(buffer.rfind(b"\n") - 2, 0)
            if len(buffer) > MAX_MESSAGE:
                dropped += searched
                del buffer[:searched]
                searched = 0
            piece = file.read(_PIECE)
            buffer += piece
            more = bool(piece)
            continue
        yield at, None if dropped else bytes(buffer[:end]), dropped + end
        at += dropped + end
        del buffer[:end]
        searched = dropped = 0
    if buffer.strip():
        yield at, None if dropped else bytes(buffer), dropped + len(buffer)


def _next_separator(buffer: bytearray, searched: int) -> int | None:
    """Where the next message begins; None: not in what is here, as far as its lines are whole."""
    newline = buffer.find(b"\nFrom ", searched)
    while newline >= 0:
        is_after_blank = buffer[newline - 1 : newline] == b"\n" or buffer[newline - 2 : newline] == b"\n\r"
        end = buffer.find(b"\n", newline + 1)
        if end < 0:
            return None
        if is_after_blank and _SEPARATOR.match(buffer, newline + 1, end):
            return newline + 1
        newline = buffer.find(b"\nFrom ", newline + 1)
    return None


def _message(data: bytes, where: str, mailbox: tuple[str, ...], octets: int, quoting: Quoting) -> Incoming:
    separator, _, data = data.partition(b"\n")
    # The empty line before the next separator.
    for blank in (b"\r\n", b"\n"):
        if data.endswith(blank * 2):
            data = data[: -len(blank)]
            break
    pattern = _QUOTED.get(quoting)
    if pattern is not None and b">From " in data:
        data = pattern.sub(rb"\1", data)
    data = with_crlf(data)
    keywords, is_deleted = _flags(data)
    received = _date_of(separator.decode("latin-1"))
    return Incoming(data, where, TRASH if is_deleted else mailbox, keywords, received, octets)


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
    headers = data.partition(b"\r\n\r\n")[0]
    if b"status:" not in (lower := headers.lower()) and b"x-keywords:" not in lower:
        return frozenset(), False
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
