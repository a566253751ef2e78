"""Collations of the IANA registry (RFC 4790, RFC 5051), as keys that sort by code point."""

import re
import unicodedata
from collections.abc import Callable

_DIGITS = re.compile(r"[0-9]+")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _ascii_numeric(value: str) -> str:
    """RFC 4790 §9.1: by the number that the string begins with; others are equal, behind all numbers."""
    found = _DIGITS.match(value)
    if found is None:
        return ":"  # the character behind "9"
    digits = found[0].lstrip("0")
    return f"{len(digits):012}{digits}"


def _ascii_casemap(value: str) -> str:
    """RFC 4790 §9.2: US-ASCII letters in upper case."""
    return value.translate(_UPPER)


def _unicode_casemap(value: str) -> str:
    """RFC 5051 §2: each character in title case, then fully decomposed."""
    if value.isascii():
        return value.upper()
    return unicodedata.normalize("NFKD", "".join(map(_title, value)))


def _title(character: str) -> str:
    """The simple title case mapping: there is none where Python's full mapping gives several characters."""
    title = character.title()
    return title if len(title) == 1 else character


_KEYS: dict[str, Callable[[str], str]] = {
    "i;ascii-numeric": _ascii_numeric,
    "i;ascii-casemap": _ascii_casemap,
    "i;unicode-casemap": _unicode_casemap,
}

ALGORITHMS = tuple(_KEYS)


def key(algorithm: str, value: str) -> str:
    """What stands for ``value`` when sorting; strings that the collation calls equal have one key."""
    return _KEYS[algorithm](value)
