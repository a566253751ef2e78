"""String arguments: constant, or with variables to put in (RFC 5228 §2.4.2.4, RFC 5229 §3)."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from veredus.formats.sieve.errors import RunError

if TYPE_CHECKING:
    from veredus.formats.sieve.state import Run

_ENCODED = re.compile(
    r"\$\{(?:hex:\s*+([0-9a-f]{1,2}(?:\s++[0-9a-f]{1,2})*)\s*|unicode:\s*+([0-9a-f]++(?:\s++[0-9a-f]++)*)\s*)\}",
    re.IGNORECASE | re.ASCII,
)
_ENCODED_BYTES = re.compile(_ENCODED.pattern.encode(), re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([0-9]++|[a-z_][a-z0-9_]*+(?:\.[a-z0-9_]++)*+)\}", re.IGNORECASE | re.ASCII)
_STEP = 4096  # characters that a string with variables may have for one step

_LIST = 64  # strings of a list that may be looked at for one step

Piece = str | Callable[["Run"], str]


class Texts:
    """The strings of one argument. ``constant`` None: they depend on variables."""

    __slots__ = ("_pieces", "constant")

    def __init__(self, strings: tuple[str, ...], *, has_variables: bool) -> None:
        self.constant: tuple[str, ...] | None = strings
        self._pieces: list[list[Piece]] = []
        if has_variables and any(_REFERENCE.search(string) for string in strings):
            self.constant = None
            self._pieces = [_pieces(string) for string in strings]

    def of(self, run: "Run") -> tuple[str, ...]:
        if len(self) > _LIST:
            run.step(len(self) // _LIST)
        if self.constant is not None:
            return self.constant
        return tuple(_expand(pieces, run) for pieces in self._pieces)

    def __len__(self) -> int:
        return len(self._pieces if self.constant is None else self.constant)

    def one(self, run: "Run") -> str:
        """The string of an argument that is not a list."""
        return self.constant[0] if self.constant is not None else _expand(self._pieces[0], run)


def _expand(pieces: list[Piece], run: "Run") -> str:
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    length, values = 0, []
    for piece in pieces:
        value = piece if isinstance(piece, str) else piece(run)
        length += len(value)
        if length > run.limits.max_string:
            raise RunError(f"a string is longer than {run.limits.max_string} characters")
        values.append(value)
    run.step(length // _STEP)
    return "".join(values)


def _pieces(string: str) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for match in _REFERENCE.finditer(string):
        if match.start() > at:
            pieces.append(string[at : match.start()])
        pieces.append(_reference(match[1]))
        at = match.end()
    if at < len(string) or not pieces:
        pieces.append(string[at:])
    return pieces


def _reference(name: str) -> Callable[["Run"], str]:
    if not name[0].isdigit():
        name = name.lower()
        return lambda run: run.variable(name)
    number = int(name[:9])

    def group(run: "Run") -> str:
        groups = run.scope.groups
        return groups[number] if number < len(groups) else ""

    return group


def namespaces(strings: tuple[str, ...]) -> set[str]:
    """The namespaces of the variables in ``strings`` (RFC 5229 §3)."""
    names = (match[1] for string in strings for match in _REFERENCE.finditer(string))
    return {name.partition(".")[0].lower() for name in names if "." in name}


def decode_characters(string: str) -> str:
    """``string`` with ``${hex:…}`` and ``${unicode:…}`` replaced (RFC 5228 §2.4.2.4).

    ValueError for a code point that there is not.
    """
    if not _ENCODED.search(string):
        return string
    return _ENCODED_BYTES.sub(_octets, string.encode("utf-8", "replace")).decode("utf-8", "replace")


def _octets(match: "re.Match[bytes]") -> bytes:
    if match[1] is not None:
        return bytes(int(octet, 16) for octet in match[1].split())
    points = [int(point, 16) if len(point.lstrip(b"0")) <= 6 else -1 for point in match[2].split()]
    if any(not 0 <= point <= 0x10FFFF or 0xD800 <= point <= 0xDFFF for point in points):
        raise ValueError(f"{match[0].decode()} is no Unicode character")
    return "".join(map(chr, points)).encode()
