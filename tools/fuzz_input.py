"""Octets of a fuzzer turned into choices: a mutation of the octets is a mutation of what they choose."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# What JSON documents are made of where a value of another type is expected.
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**53 - 1, 2**53, -(2**63), 10**30, 0.5, 1e308, "", "a", "A\u0301", "\0",
    "é", "日本", "😀",
    "$seen", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.9Z", "0000-00-00T00:00:00Z", "x" * 300, [], [None],
    ["a"], [[]],
    {}, {"a": True}, {"a": {"b": None}}, "#c0", "#", "%", "_", '"', "'", "\\", "*", "OR", "NEAR(", "a AND b",
)  # fmt: skip


class Choices:
    """Takes decisions from octets; when they run out, always the first option: what grows comes to an end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        value, size = 0, 1
        while size < limit and not self.is_over:
            value = value * 256 + self._data[self._at]
            self._at += 1
            size *= 256
        return value % limit

    def one_in(self, count: int) -> bool:
        """Seldom true; never at the end."""
        return self.below(count) == count - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def many(self, make: Callable[[], T], most: int) -> list[T]:
        """Up to ``most`` of what ``make`` makes."""
        return [make() for _ in range(self.below(most + 1))]

    def octets(self, most: int) -> bytes:
        """Up to ``most`` octets as they are."""
        size = self.below(most + 1)
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def text(self, most: int = 8) -> str:
        return self.octets(most).decode("utf-8", "ignore")

    def value(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kind = self.below(8)
        if kind == 6 and depth:
            return self.many(lambda: self.value(depth - 1), 3)
        if kind == 7 and depth:
            return dict(self.many(lambda: (self.text(), self.value(depth - 1)), 3))
        return self.text() if kind == 5 else self.pick(ODD_VALUES)
