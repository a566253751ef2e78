"""What it means that a text contains a search text (RFC 8621 §4.4.1): one definition for every store.

A text is a sequence of words. A word is a run of letters and digits, without case and without accents;
everything else separates, so the parts of ``alice@mail.example.com`` are words. Scripts written without
spaces (Han, kana, Hangul; also Thai, Lao, Burmese, Khmer) and pictographs give one word per character, so
that any substring is found as a phrase. Only whole words match: no prefixes, no stemming, no stop words.

A store indexes ``normalize(text)`` with a tokenizer that splits on spaces alone, and compiles what
``parse_query`` returns; ``matches`` is the reference for what that must find.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Phrase: TypeAlias = tuple[str, ...]

# Characters that are a word of their own. The two planes apart: a class within the Basic Multilingual Plane
# is a bitmap to the regular expression engine, one with more is a list of ranges and eight times slower.
_SINGLE_BMP = (
    r"\u0e01-\u0e3a\u0e40-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    r"\u2600-\u27bf"  # pictographs
    r"\u3005\u3007\u3021-\u3029\u3041-\u3096\u309d-\u30ff\u31f0-\u31ff"  # kana
    r"\u3105-\u312f\u31a0-\u31bf"  # bopomofo
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
)
# Kana supplement; pictographs and regional indicators; Han.
_SINGLE_BEYOND = r"\U0001b000-\U0001b16f\U0001f000-\U0001faff\U00020000-\U0003ffff"
SINGLE: Final = f"{_SINGLE_BMP}{_SINGLE_BEYOND}"
"""Those characters, as the inside of a regular expression's class."""
_SINGLE = re.compile(f"[{SINGLE}]")
_SINGLES = re.compile(f"[{_SINGLE_BMP}]+")
# Jamo and the voicing marks of kana join the character before them.
_JOINING = re.compile(r"[\u1100-\u11ff\u3099\u309a\u3131-\u318e\ua960-\ua97f\ud7b0-\ud7ff\uff9e-\uffdc]")

# Invisible inside a word: soft hyphen, joiners, directional marks, variation selectors, byte order mark. The
# zero width space is not among them, since it does say that a word ends.
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    r"\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]"
)
_TABLE_LIMIT = 50_000


def _fold_char(char: str) -> str:
    """The normal form of one character: letters without case and marks, " " for a separator."""
    composed = unicodedata.normalize("NFKC", char)
    return "".join(map(_fold_composed, composed))


def _fold_composed(char: str) -> str:
    if _INVISIBLE.match(char):
        return ""
    if _SINGLE.match(char):
        # Not decomposed: a voiced kana or a syllable is another sound, not an accent.
        if unicodedata.category(char)[0] not in "LMNS":
            return " "
        return char if char <= "\uffff" else f" {char} "  # _SINGLES sets apart the others
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    return "".join(map(_fold_decomposed, decomposed))


def _fold_decomposed(char: str) -> str:
    if char.isalnum():
        return char.lower()
    category = unicodedata.category(char)
    if category == "Me" or (category == "Mn" and unicodedata.combining(char)):
        return ""
    # Marks of combining class 0 are vowel signs of Indic scripts: letters, not accents.
    return char if category in ("Mn", "Mc") else " "


class _Folding(dict[int, str]):
    """``str.translate`` table that fills itself; bounded, for hostile mail may hold every character."""

    def __missing__(self, code: int) -> str:
        folded = _fold_char(chr(code))
        if len(self) < _TABLE_LIMIT:
            self[code] = folded
        return folded


FOLDING: Final = _Folding({code: chr(code) for code in range(128)})
"""Code point -> its normal form; ASCII is left to bytes.translate, which is faster."""

_ASCII = bytes((c + 32 if 65 <= c <= 90 else c) if chr(c).isalnum() or c > 127 else 32 for c in range(256))
_ASCII_OCTETS = bytes(range(128))
# Up to so many distinct characters str.replace is faster than str.translate.
_FEW = 64


def not_ascii(text: str) -> str:
    """The characters of ``text`` that are not ASCII; a tenth of the time that a regular expression takes."""
    octets = text.encode("utf-8", "surrogatepass").translate(None, _ASCII_OCTETS)
    return octets.decode("utf-8", "surrogatepass")


def fold(text: str, others: str) -> str:
    """``text`` with each character of ``others``, its ``not_ascii`` ones, replaced as FOLDING says."""
    if 2 * len(others) < len(text) and len(distinct := set(others)) <= _FEW:
        for char in distinct:
            text = text.replace(char, FOLDING[ord(char)])
        return text
    return text.translate(FOLDING)


def _apart(match: re.Match[str]) -> str:
    return f" {' '.join(match[0])} "


def normalize(text: str) -> str:
    """The words of ``text``, joined by one space: what an index is given, and what ``matches`` reads."""
    if not text.isascii():
        others = not_ascii(text)
        if _JOINING.search(others):
            text = unicodedata.normalize("NFKC", text)
            others = not_ascii(text)
        text = _SINGLES.sub(_apart, fold(text, others))
    # Bytes, because bytes.translate and bytes.split are several times faster than those of str.
    return b" ".join(text.encode().translate(_ASCII).split()).decode()


def words(text: str) -> list[str]:
    """The words of ``text`` in order."""
    return normalize(text).split()


def parse_query(text: str) -> tuple[Phrase, ...]:
    """The phrases that must all be found for ``text`` to match (RFC 8621 §4.4.1); () if it has no words.

    White space divides terms; a term in matched quotes may hold white space, and there a backslash escapes.
    The words of a term are one phrase, whether quoted or not.
    """
    phrases = (tuple(words(term)) for term in _terms(text))
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase))


# The apostrophe in 'don't panic' does not close: a single quote closes only at the end of a term.
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.|'(?!\s|\Z))*+)'", re.DOTALL),
}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TERM = re.compile(r"\S+")


def _terms(text: str) -> Iterator[str]:
    open_quotes = set(_QUOTED)
    at = 0
    while term := _TERM.search(text, at):
        quote = term[0][0]
        quoted = _QUOTED[quote].match(text, term.start()) if quote in open_quotes else None
        if quoted:
            yield _ESCAPED.sub(r"\1", quoted[1])
        else:
            # What this quote has not found, no later one will find: without this, time would be quadratic.
            open_quotes.discard(quote)
            yield term[0]
        at = (quoted or term).end()


def matches(haystack: str, phrases: Iterable[Phrase]) -> bool:
    """True if every phrase is in ``haystack``, a normalized text: its words side by side, in order."""
    padded = f" {haystack} "
    return all(f" {' '.join(phrase)} " in padded for phrase in phrases)
