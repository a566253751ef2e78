"""The search grammar (docs/search-grammar.md): text to nodes.

    search  = and *( "OR" and )
    and     = not *( ["AND"] not )
    not     = ( "-" / "NOT" ) not / "(" search ")" / term
    term    = [ operator ":" ] ( word / quoted )

Nothing is guessed: what is not of the grammar is an error that names its place.
"""

import re
from collections.abc import Callable

from veredus.client.search.nodes import And, Node, Or, SearchError, negated
from veredus.client.search.operators import OPERATORS, header, one_of

MAX_LENGTH = 10_000
# Each may become two operators, and our server takes a filter 50 deep.
MAX_DEPTH = 20

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r'[^\s()"]+')
_OPERATOR = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONNECTIVE = re.compile(r"(AND|OR|NOT)(?=[\s()]|\Z)")
_END_OF_TERM = re.compile(r"(?=[\s)]|\Z)")


def parse(search: str) -> Node:
    """What ``search`` says; an empty one selects everything. Raises SearchError."""
    if len(search) > MAX_LENGTH:
        raise SearchError(f"a search has at most {MAX_LENGTH} characters, this has {len(search)}")
    return _Parser(search).parse()


class _Parser:
    def __init__(self, search: str) -> None:
        self._search, self._at, self._depth = search, 0, 0

    def parse(self) -> Node:
        self._skip_space()
        if self._at == len(self._search):
            return And()
        node = self._or()
        if self._at < len(self._search):
            raise SearchError("a ')' without its '('", self._at)
        return node

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("AND") or not self._ends_here():
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Node:
        self._skip_space()
        if self._take("NOT"):
            return self._deeper(self._negation)
        if not self._search.startswith("-", self._at):
            return self._primary()
        self._at += 1
        if _END_OF_TERM.match(self._search, self._at):
            raise SearchError("expected a term directly after '-'", self._at)
        return self._deeper(self._negation)

    def _negation(self) -> Node:
        return negated(self._not())

    def _primary(self) -> Node:
        if connective := _CONNECTIVE.match(self._search, self._at):
            raise SearchError(f"expected a term, found {connective[0]} (in quotes, it is a word)", self._at)
        if self._at == len(self._search):
            raise SearchError("expected a term, found the end", self._at)
        if self._search[self._at] == ")":
            raise SearchError("expected a term, found ')'", self._at)
        node = self._deeper(self._group) if self._search[self._at] == "(" else self._term()
        if not _END_OF_TERM.match(self._search, self._at):
            raise SearchError(f"expected a space before {self._search[self._at]!r}", self._at)
        self._skip_space()
        return node

    def _group(self) -> Node:
        opened = self._at
        self._at += 1
        node = self._or()
        if self._at == len(self._search):
            raise SearchError("expected ')' to close this '('", opened)
        self._at += 1
        return node

    def _term(self) -> Node:
        operator = _OPERATOR.match(self._search, self._at)
        if operator is None:
            return self._value_of("text")
        name = operator[1].lower()
        if name not in OPERATORS:
            hint = one_of(name, list(OPERATORS))
            raise SearchError(
                f"no operator {name!r} (to look for a text with a colon, quote it): {hint}", self._at
            )
        self._at = operator.end()
        return self._value_of(name)

    def _value_of(self, operator: str) -> Node:
        start = self._at
        value, quoted = self._value(operator)
        try:
            if operator == "header" and value.endswith(":") and self._search.startswith('"', self._at):
                return header(value[:-1], self._quoted())
            return OPERATORS[operator](value, quoted)
        except ValueError as error:
            raise SearchError(str(error), start) from None

    def _value(self, operator: str) -> tuple[str, bool]:
        """(text, whether it was in quotes)."""
        if self._search.startswith('"', self._at):
            return self._quoted(), True
        word = _WORD.match(self._search, self._at)
        if word is None:
            found = repr(self._search[self._at]) if self._at < len(self._search) else "the end"
            raise SearchError(f'expected a word or "…" directly after {operator}:, found {found}', self._at)
        self._at = word.end()
        return word[0], False

    def _quoted(self) -> str:
        found = _QUOTED.match(self._search, self._at)
        if found is None:
            raise SearchError("expected '\"' to close this one", self._at)
        self._at = found.end()
        return _ESCAPED.sub(r"\1", found[1])

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SearchError(f"nested more than {MAX_DEPTH} deep", self._at)
        node = part()
        self._depth -= 1
        return node

    def _skip_space(self) -> None:
        found = _SPACE.match(self._search, self._at)
        assert found is not None
        self._at = found.end()

    def _take(self, connective: str) -> bool:
        """Go past ``connective`` if it stands here."""
        found = _CONNECTIVE.match(self._search, self._at)
        if found is None or found[1] != connective:
            return False
        self._at = found.end()
        self._skip_space()
        return True

    def _ends_here(self) -> bool:
        """Whether no further term of an and follows."""
        if self._at == len(self._search) or self._search[self._at] == ")":
            return True
        found = _CONNECTIVE.match(self._search, self._at)
        return found is not None and found[1] == "OR"
