"""Patterns of ``:matches`` (RFC 5228 §2.7.1) without backtracking.

Each ``*`` takes as little as it can (RFC 5229 §3.2), so the parts between are found from left to right, once;
the last one lies at the end. No choice is ever taken back.
"""

import re
from collections.abc import Iterator

# A backslash before anything but a wildcard or itself is a character like others.
_TOKEN = re.compile(r"\\[*?\\]|.", re.DOTALL)
_LONGEST = 256  # characters of a part with "?": looking for it may take so many comparisons at each place


class Wildcard:
    """One pattern, whose letters are folded already. ``weight``: what a character of a value may cost."""

    __slots__ = ("_parts", "weight")

    def __init__(self, pattern: str) -> None:
        """ValueError if it is too long."""
        self._parts = [_Part(characters) for characters in _parts(pattern)]
        self.weight = max(part.weight for part in self._parts)

    def match(self, value: str) -> list[tuple[int, int]] | None:
        """What each wildcard stands for, as (start, end) in ``value``; None if it does not match."""
        first, *rest = self._parts
        if not rest:
            return first.wildcards(0) if first.length == len(value) and first.is_at(value, 0) else None
        if not first.is_at(value, 0):
            return None
        found = first.wildcards(0)
        at = first.length
        for part in rest[:-1]:
            start = part.find(value, at)
            if start < 0:
                return None
            found += [(at, start), *part.wildcards(start)]
            at = start + part.length
        last = rest[-1]
        start = len(value) - last.length
        if start < at or not last.is_at(value, start):
            return None
        return [*found, (at, start), *last.wildcards(start)]


class _Part:
    """What stands between two ``*``: characters, and None for each ``?``."""

    __slots__ = ("_compiled", "_literal", "_wild", "length", "weight")

    def __init__(self, characters: list[str | None]) -> None:
        self.length = len(characters)
        self._wild = [at for at, character in enumerate(characters) if character is None]
        self._literal = "".join(character or "" for character in characters)
        self._compiled = None
        self.weight = 1
        if self._wild:
            if self.length > _LONGEST:
                raise ValueError(f'more than {_LONGEST} characters with "?" among them')
            source = "".join("." if character is None else re.escape(character) for character in characters)
            self._compiled = re.compile(source, re.DOTALL)
            self.weight = self.length

    def is_at(self, value: str, at: int) -> bool:
        if self._compiled is None:
            return value.startswith(self._literal, at)
        return self._compiled.match(value, at) is not None

    def find(self, value: str, at: int) -> int:
        if self._compiled is None:
            return value.find(self._literal, at)
        found = self._compiled.search(value, at)
        return found.start() if found else -1

    def wildcards(self, start: int) -> list[tuple[int, int]]:
        return [(start + at, start + at + 1) for at in self._wild]


def _parts(pattern: str) -> Iterator[list[str | None]]:
    part: list[str | None] = []
    for piece in _TOKEN.findall(pattern):
        if piece == "*":
            yield part
            part = []
        else:
            part.append(None if piece == "?" else piece[-1])
    yield part
