"""Comparators (RFC 4790): how two strings are compared, as keys (RFC 5228 §2.7.3)."""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from veredus.formats import collation

_DIGITS = re.compile(r"[0-9]+")


class Comparator(NamedTuple):
    """``key``: equal and ordered as the comparator says. ``has_substrings``: if :contains may use it."""

    name: str
    key: Callable[[str], Any]
    has_substrings: bool = True


def _octet(value: str) -> str:
    return value


def _ascii_casemap(value: str) -> str:
    if value.isascii():
        return value.upper()
    # bytes.upper() knows ASCII alone, and is ten times as fast as str.translate().
    return value.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def _ascii_numeric(value: str) -> float:
    """The number that the string begins with; one without is infinite (RFC 4790 §9.1.1)."""
    found = _DIGITS.match(value)
    return int(found[0][:4000]) if found else math.inf


def _unicode_casemap(value: str) -> str:
    return collation.key("i;unicode-casemap", value)


COMPARATORS = {
    comparator.name: comparator
    for comparator in (
        Comparator("i;octet", _octet),
        Comparator("i;ascii-casemap", _ascii_casemap),
        Comparator("i;ascii-numeric", _ascii_numeric, has_substrings=False),
        Comparator("i;unicode-casemap", _unicode_casemap),
    )
}
DEFAULT = COMPARATORS["i;ascii-casemap"]
# These need no require (RFC 5228 §2.7.3).
ALWAYS = frozenset({"comparator-i;octet", "comparator-i;ascii-casemap"})
