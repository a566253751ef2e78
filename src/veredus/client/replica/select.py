"""Filters decided on the records of a replica: JMAP's own (RFC 8621 §2.3, §4.4.1), or a search."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from veredus.client.replica.words import ADDRESSES, COLUMNS, phrase
from veredus.client.search import Context, Node, SearchError, match, require_decidable
from veredus.client.search.nodes import (
    And,
    Attachment,
    Header,
    Keyword,
    Not,
    Or,
    Size,
    Text,
)
from veredus.formats import search

Test: TypeAlias = Callable[[int, Mapping[str, Any]], bool]


class Selection(Struct, frozen=True):
    """``test``: of a row and its record. ``only``: no other row can pass; None: any may."""

    test: Test
    only: frozenset[int] | None = None


def both(of: Sequence[Selection]) -> Selection:
    """What all of them select."""
    narrow = [each.only for each in of if each.only is not None]
    only = frozenset.intersection(*narrow) if narrow else None
    return Selection(lambda n, record: all(each.test(n, record) for each in of), only)


def either(of: Sequence[Selection]) -> Selection:
    """What one of them selects."""
    narrow = [each.only for each in of if each.only is not None]
    only = frozenset().union(*narrow) if len(narrow) == len(of) else None
    return Selection(lambda n, record: any(each.test(n, record) for each in of), only)


def neither(of: Sequence[Selection]) -> Selection:
    """What none of them selects."""
    return Selection(lambda n, record: not any(each.test(n, record) for each in of))


class Emails:
    """Decides about Emails; ``with_body``: their text is kept. Raises SearchError when it cannot."""

    def __init__(self, db: sqlite3.Connection, context: Context, *, with_body: bool) -> None:
        self._db, self._context, self._with_body = db, context, with_body

    def search(self, node: Node) -> Selection:
        """What a search of the grammar selects."""
        if isinstance(node, And):
            return both([self.search(part) for part in node.of])
        if isinstance(node, Or):
            return either([self.search(part) for part in node.of])
        if isinstance(node, Not):
            return neither([self.search(node.of)])
        if isinstance(node, Text):
            return self._phrases(node.field, (tuple(search.words(node.value)),))
        require_decidable(node, with_body=True)
        return Selection(lambda _, email: match(node, email, self._context))

    def filter(self, filter: Mapping[str, Any]) -> Selection:
        """What a FilterOperator or FilterCondition selects."""
        if "operator" in filter:
            parts = [self.filter(each) for each in filter.get("conditions") or ()]
            return operator(filter["operator"], parts)
        return both([self._condition(name, value) for name, value in filter.items() if value is not None])

    def _condition(self, name: str, value: Any) -> Selection:
        if name in ("text", "body", "subject", *ADDRESSES):
            return self._phrases(name, search.parse_query(value))
        if name in _CONDITIONS:
            test = _CONDITIONS[name](value)
            return Selection(lambda _, email: test(email))
        nodes: dict[str, Callable[[], Node]] = {
            "hasKeyword": lambda: Keyword(value.lower()),
            "notKeyword": lambda: Not(Keyword(value.lower())),
            "hasAttachment": lambda: Attachment() if value else Not(Attachment()),
            "minSize": lambda: Size(at_least=value),
            "maxSize": lambda: Size(below=value),
            "header": lambda: Header(*value),
        }
        if name not in nodes:
            raise SearchError(f"a replica does not answer the filter {name!r}: ask the server")
        return self.search(nodes[name]())

    def _phrases(self, field: str, phrases: Sequence[tuple[str, ...]]) -> Selection:
        """All of them in ``field``; "text" is every column."""
        if field == "body" and not self._with_body:
            raise SearchError("this replica keeps no bodies: open it with bodies=True")
        columns = COLUMNS if field == "text" else (field,)
        return both([self._phrase(each, columns) for each in phrases])

    def _phrase(self, words: tuple[str, ...], columns: tuple[str, ...]) -> Selection:
        rows = self._db.execute("SELECT rowid FROM words WHERE words MATCH ?", (phrase(words, columns),))
        found = frozenset(n for (n,) in rows)
        return Selection(lambda n, _: n in found, found)


def operator(name: str, parts: Sequence[Selection]) -> Selection:
    """RFC 8620 §5.5. Raises SearchError."""
    of = {"AND": both, "OR": either, "NOT": neither}.get(name)
    if of is None:
        raise SearchError(f"no operator {name!r}: there are AND, OR and NOT")
    return of(parts)


def plain(filter: Mapping[str, Any]) -> Selection:
    """A filter of other types: a property is that value; a name contains it."""
    if "operator" in filter:
        return operator(filter["operator"], [plain(each) for each in filter.get("conditions") or ()])
    return both([_plain_condition(name, value) for name, value in filter.items()])


def _plain_condition(name: str, value: Any) -> Selection:
    if name == "hasAnyRole":
        return Selection(lambda _, record: (record["role"] is not None) == value)
    if name == "name":
        wanted = str(value).casefold()
        return Selection(lambda _, record: wanted in record["name"].casefold())
    if name in ("parentId", "role", "isSubscribed"):
        return Selection(lambda _, record: record[name] == value)
    raise SearchError(f"a replica does not answer the filter {name!r}: ask the server")


def _moment(value: str) -> str:
    # Without the Z, UTCDates sort by code point, those with a fraction of a second, too.
    return value.rstrip("Z")


_CONDITIONS: dict[str, Callable[[Any], Callable[[Mapping[str, Any]], bool]]] = {
    "inMailbox": lambda id: lambda email: id in email["mailboxIds"],
    "inMailboxOtherThan": lambda ids: lambda email: not email["mailboxIds"].keys() <= set(ids),
    "before": lambda date: lambda email: _moment(email["receivedAt"]) < _moment(date),
    "after": lambda date: lambda email: _moment(email["receivedAt"]) >= _moment(date),
}
