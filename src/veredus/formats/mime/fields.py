"""Header fields of a whole message taken out or looked at, the rest octet by octet as it was."""

import re
from collections.abc import Collection

_END = re.compile(rb"\r?\n\r?\n")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def header_block(message: bytes) -> bytes:
    """The header fields, with the line end of the last."""
    if message.startswith((b"\r\n", b"\n")):
        return b""
    end = _END.search(message)
    return message if end is None else message[: message.index(b"\n", end.start()) + 1]


def without_fields(message: bytes, names: Collection[str]) -> bytes:
    """The message without any field of these names, however it is folded."""
    block = header_block(message)
    alternatives = "|".join(map(re.escape, names)).encode()
    field = re.compile(rb"^(?:%b)[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*" % alternatives, re.I | re.M)
    left = field.sub(b"", block)
    return message if len(left) == len(block) else left + message[len(block) :]


def with_crlf(message: bytes) -> bytes:
    """The message with each line ended by CRLF, the last one, too (RFC 5321 §2.3.8)."""
    if message.count(b"\r\n") != message.count(b"\n") or message.count(b"\r") != message.count(b"\n"):
        message = _LINE_ENDS.sub(b"\r\n", message)
    return message if message.endswith(b"\r\n") else message + b"\r\n"
