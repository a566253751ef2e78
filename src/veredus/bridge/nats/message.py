"""A message and its block of headers as octets, and which names NATS carries."""

import re
from collections.abc import Mapping

from msgspec import Struct

from veredus.bridge.nats.errors import BadName, TooLarge

MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
ROLLUP = "Nats-Rollup"

_VERSION = b"NATS/1.0"
# A subject to publish to: tokens of printable ASCII without wildcards.
_SUBJECT = re.compile(r"[!-)+-\-/-=?-~]+(\.[!-)+-\-/-=?-~]+)*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,255}")
_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,240}")
_KEY = re.compile(r"[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*")
# A token of RFC 9110, as Go's client demands.
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# A value with one of these would end the header, or the block.
_FOLDED = str.maketrans("\r\n\0", "   ")


class Message(Struct, frozen=True):
    """``id``: becomes Nats-Msg-Id, by which the stream knows a message that is sent again."""

    subject: str
    body: bytes
    headers: Mapping[str, str] = {}
    id: str | None = None


def encoded_headers(headers: Mapping[str, str]) -> bytes:
    """The block with its last empty line; empty when there are none. Raises BadName.

    CR, LF and NUL become spaces; what is no Unicode (a lone surrogate) becomes ``?``.
    """
    if not headers:
        return b""
    lines = [_VERSION]
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            raise BadName(f"{name!r} cannot be the name of a header")
        lines.append(f"{name}: {folded(value)}".encode("utf-8", "replace"))
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def folded(value: str) -> str:
    """Without CR, LF and NUL, and without space around it."""
    return value.translate(_FOLDED).strip()


def decoded_headers(block: bytes) -> dict[str, str]:
    """The headers of a block; ``Status`` and ``Description`` when its first line has them."""
    first, _, rest = block.partition(b"\r\n")
    headers: dict[str, str] = {}
    status, _, description = first.removeprefix(_VERSION).strip().partition(b" ")
    if status:
        headers["Status"] = status.decode("ascii", "replace")
        headers["Description"] = description.decode("utf-8", "replace")
    for line in rest.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().decode("utf-8", "replace")] = value.strip().decode("utf-8", "replace")
    return headers


def check_size(subject: str, headers: bytes, body: bytes, limit: int) -> None:
    """The server drops the connection of whoever sends more, and counts the headers, too. Raises TooLarge."""
    if len(headers) + len(body) > limit:
        raise TooLarge(len(headers) + len(body), limit, subject)


def check_subject(subject: str) -> None:
    """Raises BadName."""
    if not _SUBJECT.fullmatch(subject):
        raise BadName(f"{subject!r} is no subject: tokens of ASCII between dots, without spaces, * and >")


def check_stream(name: str) -> None:
    """Raises BadName."""
    if not _STREAM.fullmatch(name):
        raise BadName(f"{name!r} is no name of a stream: only letters, digits, - and _")


def check_bucket(name: str) -> None:
    """Raises BadName."""
    if not _BUCKET.fullmatch(name):
        raise BadName(f"{name!r} is no name of a bucket: only letters, digits, - and _")


def check_key(key: str) -> None:
    """Raises BadName."""
    if not _KEY.fullmatch(key):
        raise BadName(f"{key!r} is no key: letters, digits, - _ / = and single dots between them")


def covers(wildcard: str, subject: str) -> bool:
    """Whether ``wildcard`` takes all that ``subject``, which may have wildcards itself, stands for."""
    wide, narrow = wildcard.split("."), subject.split(".")
    for at, part in enumerate(wide):
        if part == ">":
            return len(narrow) > at
        if at >= len(narrow) or narrow[at] == ">" or part not in ("*", narrow[at]):
            return False
    return len(wide) == len(narrow)
