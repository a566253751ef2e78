"""Where each key of a TOML document stands.

`tomllib` says where a syntax error is, but not where a key was; a message about a wrong setting needs it.
This scanner reads only documents that tomllib has accepted, so it may skip over values without
understanding them.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

# A place in the document: keys, and numbers for the tables of an array.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, both from 1; the column counts characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\r\n#]+")


def positions(source: str) -> Mapping[KeyPath, Position]:
    """The position of the first mention of each key of ``source``, which must be valid TOML."""
    # tomllib normalises line ends first, too; a column would be the same either way.
    scanner = _Scanner(source.replace("\r\n", "\n"))
    scanner.document()
    return scanner.found


class _Scanner:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.found: dict[KeyPath, Position] = {}
        self._line, self._line_start = 1, 0
        self._tables: dict[KeyPath, int] = {}  # arrays of tables, and the number of the newest table

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.at < len(self.source):
            if self._peek("[["):
                table = self._header("[[", "]]")
            elif self._peek("["):
                table = self._header("[", "]")
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self, opening: str, closing: str) -> KeyPath:
        """``[a.b]`` means the newest ``b`` of the newest ``a``, ``[[a.b]]`` begins another ``b``."""
        self.at += len(opening)
        parts = self._key()
        self.at += len(closing)
        path: KeyPath = ()
        for number, (part, position) in enumerate(parts):
            path = (*path, part)
            self.found.setdefault(path, position)
            if opening == "[[" and number == len(parts) - 1:
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path = (*path, self._tables[path])
                self.found.setdefault(path, position)
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for part, position in self._key():
            path = (*path, part)
            self.found.setdefault(path, position)
        self.at += 1  # the =
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[tuple[str, Position]]:
        """The parts of a dotted key. Ends at what follows it: = or ]."""
        parts = []
        while True:
            self._skip(_SPACE)
            position = self._position()
            parts.append((self._key_part(), position))
            self._skip(_SPACE)
            if not self._peek("."):
                return parts
            self.at += 1

    def _key_part(self) -> str:
        if self.source[self.at] not in "\"'":
            return self._skip(_BARE_KEY)
        # Its escapes are not those of JSON or Python, so the meaning of a quoted key is asked of tomllib.
        return next(iter(tomllib.loads(f"{self._skip(_STRING)} = 0")))

    def _value(self, path: KeyPath) -> None:
        match self.source[self.at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        self._skip(_BLANK)
        index = 0
        while not self._peek("]"):
            self.found[(*path, index)] = self._position()
            self._value((*path, index))
            index += 1
            self._to_next()
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self._skip(_BLANK)
        while not self._peek("}"):
            self._pair(path)
            self._to_next()
        self.at += 1

    def _to_next(self) -> None:
        """Over the comma, when there is one, to the next member or the closing bracket."""
        self._skip(_BLANK)
        if self._peek(","):
            self.at += 1
            self._skip(_BLANK)

    def _peek(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.source, self.at)
        if found is None:  # the caller's promise was broken: better an error than a loop without end
            raise ValueError(f"not TOML at {self._position()}")
        self.at = found.end()
        return found[0]

    def _position(self) -> Position:
        # Positions are asked for in order, so each line is counted once.
        self._line += self.source.count("\n", self._line_start, self.at)
        self._line_start = self.source.rfind("\n", 0, self.at) + 1
        return Position(self._line, self.at - self._line_start + 1)
