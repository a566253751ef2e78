"""The text of a SearchSnippet (RFC 8621 §5): the part of a text that matches, marked and escaped.

Matching is that of ``search``, done on the original text, so that its case and accents are kept: the text is
folded to what ``search`` compares, nearly always character by character, and what is found is mapped back.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from veredus.formats.search import FOLDING, SINGLE, Phrase, fold, not_ascii

_MAX_SCAN = 256 * 1024
_MAX_HITS = 20
_NEAR = 150
_LEFT = 60
_ELLIPSIS = "…"
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
# Long words and scripts without spaces may be cut anywhere.
_UNIT = re.compile(rf"\s+|[{SINGLE}]|[^\s{SINGLE}]{{1,40}}")
_UNIT_ASCII = re.compile(r"\s+|\S{1,40}")

_WORD = r"a-z0-9\x80-\U0010ffff"


class _Span(NamedTuple):
    start: int
    end: int
    phrase: int


def highlight(text: str, phrases: Sequence[Phrase], *, max_octets: int | None) -> str | None:
    """``text`` as HTML text with each match in <mark></mark>; None if no phrase is in it.

    With ``max_octets`` (of UTF-8, markup included; 60 or more) it is the piece with the most of ``phrases``
    close together, white space collapsed. Of a text over 256 Ki characters the beginning is searched.
    """
    text = text[:_MAX_SCAN]
    alignment = None
    if text.isascii():
        folded = text.lower()
    else:
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
        others = not_ascii(text)
        alignment = _alignment(text, set(others))
        folded = fold(text, others).lower()
    spans = _spans(folded, phrases, None if max_octets is None else _MAX_HITS)
    if not spans:
        return None
    if alignment:
        spans = [_Span(alignment.start(s.start), alignment.end(s.end), s.phrase) for s in spans]
    if max_octets is None:
        return "".join(_units(text, 0, len(text), spans, None))
    return _preview(text, spans, max_octets)


# Finding


def _spans(folded: str, phrases: Sequence[Phrase], limit: int | None) -> list[_Span]:
    """Where ``phrases`` are in ``folded``: at most ``limit`` of each, in order, none overlapping."""
    found = [
        _Span(*match.span(), number)
        for number, phrase in enumerate(phrases)
        if all(word in folded for word in phrase)  # str.find is many times faster than re
        for match in islice(_pattern(phrase).finditer(folded), limit)
    ]
    found.sort(key=lambda span: (span.start, -span.end))
    apart: list[_Span] = []
    for span in found:
        if not apart or span.start >= apart[-1].end:
            apart.append(span)
    return apart


@lru_cache(maxsize=256)
def _pattern(phrase: Phrase) -> re.Pattern[str]:
    """Finds ``phrase`` in folded text; begins with a word, so that the engine can look for a literal."""
    is_single = [re.fullmatch(f"[{SINGLE}]", word) is not None for word in phrase]
    first = re.escape(phrase[0])
    pattern = first if is_single[0] else rf"{first}(?:(?<![{_WORD}]{first})|(?<=[{SINGLE}]{first}))"
    for i, word in enumerate(phrase[1:], 1):
        repeat = "*" if is_single[i - 1] or is_single[i] else "+"
        pattern += rf"[^{_WORD}]{repeat}{re.escape(word)}"
    if not is_single[-1]:
        pattern += rf"(?:(?![{_WORD}])|(?=[{SINGLE}]))"
    return re.compile(pattern)


class _Alignment:
    """Offsets of a folded text to those of its original, of which ``odd`` characters do not fold to one."""

    def __init__(self, odd: Iterator[re.Match[str]]) -> None:
        self.originals: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        shift = 0
        for match in odd:
            start = match.start() + shift
            width = len(FOLDING[ord(match[0])])
            self.originals.append(match.start())
            self.starts.append(start)
            self.ends.append(start + width)
            shift += width - 1

    def start(self, offset: int) -> int:
        at = bisect_right(self.starts, offset) - 1
        if at >= 0 and offset < self.ends[at]:
            return self.originals[at]
        return self._after(at, offset)

    def end(self, offset: int) -> int:
        at = bisect_left(self.starts, offset) - 1
        if at >= 0 and offset <= self.ends[at]:
            return self.originals[at] + 1
        return self._after(at, offset)

    def _after(self, at: int, offset: int) -> int:
        return offset if at < 0 else offset - self.ends[at] + self.originals[at] + 1


def _alignment(text: str, distinct: set[str]) -> _Alignment | None:
    odd = [char for char in distinct if len(FOLDING[ord(char)]) != 1]
    if not odd:
        return None
    return _Alignment(re.finditer(f"[{re.escape(''.join(odd))}]", text))


# Writing


def _preview(text: str, spans: Sequence[_Span], max_octets: int) -> str:
    """Whole units around the best match while they fit, more of them after it than before."""
    best = _best(spans)
    room = max_octets - 2 * len(_ELLIPSIS.encode())
    unit = _UNIT_ASCII if text.isascii() else _UNIT
    begin, stop = max(0, best.start - _LEFT), min(len(text), best.end + max_octets)
    near = [span for span in spans if span.end > begin and span.start < stop]
    after = list(_units(text, best.start, stop, [s for s in near if s.start >= best.start], unit))
    before = list(
        _units(text, begin, best.start, [s for s in near if s.start < best.start and s.start >= begin], unit)
    )
    if begin:
        del before[:1]  # it may have begun in the middle of a word
    match = _fitted(text[best.start : best.end], room)
    room -= _octets(match)
    left = _take(before[::-1], room // 3)
    room -= sum(map(_octets, left))
    right = _take(after[1:], room)
    room -= sum(map(_octets, right))
    left += _take(before[::-1][len(left) :], room)
    shown = "".join((*left[::-1], match, *right))
    cut_left = begin > 0 or len(left) < len(before)
    cut_right = stop < len(text) or len(right) < len(after) - 1
    return f"{_ELLIPSIS if cut_left else ''}{shown.strip()}{_ELLIPSIS if cut_right else ''}"


def _best(spans: Sequence[_Span]) -> _Span:
    """The first match with the most different phrases in the text that follows it."""

    def score(at: int) -> int:
        near = (span.phrase for span in islice(spans, at, at + 16) if span.start < spans[at].start + _NEAR)
        return len(set(near))

    return spans[0] if len(spans) == 1 else spans[max(range(len(spans)), key=score)]


def _units(
    text: str, start: int, end: int, spans: Sequence[_Span], unit: re.Pattern[str] | None
) -> Iterator[str]:
    """``text[start:end]`` in escaped pieces that may not be cut; ``unit`` None: whole between matches."""
    for span in spans:
        yield from _gap(text[start : span.start], unit)
        yield _marked(text[span.start : span.end])
        start = span.end
    yield from _gap(text[start:end], unit)


def _gap(text: str, unit: re.Pattern[str] | None) -> Iterator[str]:
    escaped = text.translate(_ESCAPES)
    if unit is None:
        yield escaped
    elif escaped == text:
        yield from unit.findall(" ".join(f"|{text}|".split())[1:-1])
    else:
        for piece in unit.findall(text):
            yield " " if piece.isspace() else piece.translate(_ESCAPES)


def _marked(text: str) -> str:
    return f"<mark>{text.translate(_ESCAPES)}</mark>"


def _fitted(text: str, room: int) -> str:
    """``text`` marked, its end cut off if it would not fit."""
    text = " ".join(text[:room].split())
    while text and _octets(_marked(text)) > room:
        text = text[:-1]
    return _marked(text)


def _take(pieces: Sequence[str], room: int) -> list[str]:
    taken: list[str] = []
    for piece in pieces:
        room -= _octets(piece)
        if room < 0:
            break
        taken.append(piece)
    return taken


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
