"""Patterns of ``:matches`` (RFC 5228 §2.7.1) without backtracking.

Each ``*`` takes as little as it can (RFC 5229 §3.2), so the parts between are found from left to right, once;
the last one lies at the end. No choice is ever taken back.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

# A backslash before anything but a wildcard or itself is a character like others.
_TOKEN = re.compile(r"\\[*?\\]|.", re.DOTALL)
_RUN = 10  # what it costs to compare a run of characters, against looking for one


class Wildcard:
    """One pattern, whose letters are folded already. ``weight``: what a character of a value may cost."""

    __slots__ = ("_parts", "weight")

    def __init__(self, pattern: str) -> None:
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
    """What stands between two ``*``: runs of characters, at their offsets, and a ``?`` everywhere else."""

    __slots__ = ("_anchor", "_runs", "_wild", "length", "weight")

    def __init__(self, characters: list[str | None]) -> None:
        self.length = len(characters)
        self._wild = [at for at, character in enumerate(characters) if character is None]
        self._runs = [
            (start + 1, "".join(character or "" for character in characters[start + 1 : end]))
            for start, end in pairwise((-1, *self._wild, self.length))
            if end > start + 1
        ]
        self._anchor = max(self._runs, key=lambda run: len(run[1]), default=(0, ""))
        self.weight = 1 + _RUN * len(self._runs) * bool(self._wild)

    def is_at(self, value: str, at: int) -> bool:
        if at + self.length > len(value):
            return False
        return all(value.startswith(run, at + offset) for offset, run in self._runs)

    def find(self, value: str, at: int) -> int:
        """Where it lies first in ``value`` from ``at`` on, or -1: its longest run is looked for."""
        offset, run = self._anchor
        found = value.find(run, at + offset)
        while found >= 0:
            if not self._wild or self.is_at(value, found - offset):
                return found - offset if found - offset + self.length <= len(value) else -1
            found = value.find(run, found + 1)
        return -1

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
