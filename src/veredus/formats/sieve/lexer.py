"""The tokens of a script (RFC 5228 §2 and §8.1)."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from veredus.formats.sieve.errors import SieveError

_MAX_NUMBER = 2**63 - 1
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++|\#[^\n]*+)
    |(?P<comment>/\*)
    |(?P<multiline>text:[ \t]*+(?:\#[^\n]*+)?\r?\n)
    |(?P<tag>:[a-z_][a-z0-9_]*+)
    |(?P<number>[0-9]++[kmg]?+(?![a-z0-9_]))
    |(?P<identifier>[a-z_][a-z0-9_]*+)
    |(?P<quote>")
    |(?P<mark>[\[\](){},;])""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LAST_LINE = re.compile(r"^\.\r?(?:\n|\Z)", re.MULTILINE)
_STUFFED = re.compile(r"^\.\.", re.MULTILINE)


class Token(NamedTuple):
    """``kind``: identifier, tag (both lower-case), number, string, mark, or end."""

    kind: str
    text: str
    number: int
    offset: int


class Source:
    """The text of a script, which tells the line and column of an offset."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def line(self, offset: int) -> int:
        return bisect_right(self._lines, offset)

    def error(self, message: str, offset: int) -> SieveError:
        line = self.line(offset)
        return SieveError(message, line, offset - self._lines[line - 1] + 1)


def tokens(source: Source) -> Iterator[Token]:
    """The tokens in order, an ``end`` last. SieveError where there is none."""
    text, at = source.text, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise source.error(f"unexpected {text[at]!r}", at)
        kind, start, at = match.lastgroup, at, match.end()
        if kind == "comment":
            at = text.find("*/", at) + 2
            if at < 2:
                raise source.error("this comment is never closed", start)
        elif kind == "quote":
            value, at = _quoted(source, start)
            yield Token("string", value, 0, start)
        elif kind == "multiline":
            value, at = _multiline(source, start, at)
            yield Token("string", value, 0, start)
        elif kind == "number":
            yield Token("number", match[0], _number(source, match[0], start), start)
        elif kind is not None and kind != "space":
            yield Token(kind, match[0].lower().removeprefix(":"), 0, start)
    yield Token("end", "the end of the script", 0, len(text))


def _quoted(source: Source, start: int) -> tuple[str, int]:
    match = _QUOTED.match(source.text, start)
    if match is None:
        raise source.error("this string is never closed", start)
    value = match[1]
    return (_ESCAPE.sub(r"\1", value) if "\\" in value else value), match.end()


def _multiline(source: Source, start: int, at: int) -> tuple[str, int]:
    """``text:``, with the dot that begins a line taken away if it was doubled (RFC 5228 §2.4.2)."""
    last = _LAST_LINE.search(source.text, at)
    if last is None:
        raise source.error('this text is never closed: a line with only "." is missing', start)
    return _STUFFED.sub(".", source.text[at : last.start()]), last.end()


def _number(source: Source, digits: str, start: int) -> int:
    unit = _UNITS.get(digits[-1].upper(), 1)
    digits = digits.rstrip("kmgKMG")
    if len(digits) > 19 or int(digits) * unit > _MAX_NUMBER:
        raise source.error("this number is too large", start)
    return int(digits) * unit
