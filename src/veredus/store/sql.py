"""Conditions as SQL expressions for SQLite.

An expression is true, or it is false or NULL, which both mean that the condition does not hold; so Not
is ``IS NOT TRUE``. Property names are trusted (they come from the program), values are always bound.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from veredus.conditions import (
    All,
    Any_,
    Condition,
    Contains,
    Eq,
    Has,
    HasAny,
    HasOther,
    In,
    Item,
    Not,
    Range,
    Same,
    Scalar,
    Text,
)
from veredus.formats.search import Phrase
from veredus.store import order
from veredus.store.sqlite_schema import Layout, quoted, sql_value

NEVER = "0"
ALWAYS = "1"


def path(name: str) -> str:
    """The JSON path of a property, as an SQL literal."""
    return "'$." + quoted(name).replace("'", "''") + "'"


class Row(Protocol):
    """One record (or element of an array) that a condition speaks of."""

    def column(self, name: str) -> str | None:
        """The SQL of a typed column with this property, if there is one."""
        ...

    def json(self, name: str) -> str:
        """The SQL of the JSON object that holds this property."""
        ...


class Record:
    """A row of a Table: what ``covered`` names stands in an index, the rest in the record itself."""

    def __init__(
        self, layout: Layout, alias: str, rid: str | None = None, covered: dict[str, str] | None = None
    ) -> None:
        self.layout = layout
        self.alias = alias
        self.rid = rid or f"{alias}.rid"
        self._covered = covered or {}
        # Whether something was asked for that only the record itself has.
        self.joined = False

    def column(self, name: str) -> str | None:
        if name in self._covered:
            return self._covered[name]
        column = "id" if name == "id" else self.layout.columns.get(name)
        if column is None:
            return None
        self.joined = True
        return f"{self.alias}.{column}"

    def json(self, name: str) -> str:
        part = self.layout.part(name)
        if part == "cold":
            return f"(SELECT json FROM {self.layout.cold} WHERE rid = {self.rid})"
        self.joined = True
        return f"{self.alias}.{part}"


class _Element:
    """An element of an array, an object."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def column(self, name: str) -> str | None:
        return None

    def json(self, name: str) -> str:
        return f"CASE {self._alias}.type WHEN 'object' THEN {self._alias}.value END"


class Compiler:
    """Compiles conditions of one account; the values to bind gather in ``values``, numbered."""

    def __init__(self, account: int) -> None:
        self.account = account
        self.values: list[Any] = []
        self._aliases = 0

    def bind(self, value: Any) -> str:
        self.values.append(value)
        return f"?{len(self.values)}"

    def alias(self) -> str:
        self._aliases += 1
        return f"x{self._aliases}"

    def bounds(self) -> str:
        first, last = order.bounds(self.account)
        return f"BETWEEN {self.bind(first)} AND {self.bind(last)}"

    def expression(self, where: Condition, row: Row) -> str:
        match where:
            case All(of):
                return _balanced("AND", [self.expression(part, row) for part in of], ALWAYS)
            case Any_(of):
                return _balanced("OR", [self.expression(part, row) for part in of], NEVER)
            case Not(Not(of)):
                return f"({self.expression(of, row)}) IS TRUE"
            case Not(of):
                return f"({self.expression(of, row)}) IS NOT TRUE"
            case _:
                return _COMPILE[type(where)](self, where, row)


def _balanced(operator: str, parts: list[str], empty: str) -> str:
    """A tree rather than a chain: SQLite limits the depth of an expression, and a chain of n is n deep."""
    if len(parts) <= 1:
        return parts[0] if parts else empty
    middle = len(parts) // 2
    left = _balanced(operator, parts[:middle], empty)
    right = _balanced(operator, parts[middle:], empty)
    return f"({left} {operator} {right})"


def typed(row: Row, name: str) -> str:
    """The property as a column would keep it; arrays and objects as NULL."""
    column = row.column(name)
    if column is not None:
        return column
    json, at = row.json(name), path(name)
    return (
        f"CASE json_type({json}, {at}) WHEN 'true' THEN x'01' WHEN 'false' THEN x'00'"
        f" WHEN 'array' THEN NULL WHEN 'object' THEN NULL ELSE {json} ->> {at} END"
    )


def _eq(compiler: Compiler, where: Eq, row: Row) -> str:
    return _is(compiler, where.property, where.value, row)


def _is(compiler: Compiler, name: str, value: Scalar, row: Row) -> str:
    column = row.column(name)
    if value is None:
        return f"{column} IS NULL" if column else f"{row.json(name)} ->> {path(name)} IS NULL"
    return f"{column or typed(row, name)} = {compiler.bind(sql_value(value))}"


def _in(compiler: Compiler, where: In, row: Row) -> str:
    plain = [value for value in where.values if value is not None and not isinstance(value, bool)]
    others = {value for value in where.values if value is None or isinstance(value, bool)}
    tests = [_is(compiler, where.property, value, row) for value in others]
    if plain:
        tests.append(f"{typed(row, where.property)} IN {listed(compiler, plain)}")
    return _balanced("OR", tests, NEVER)


def listed(compiler: Compiler, values: list[Any]) -> str:
    """A list of strings and numbers as a subquery with one bound value, however long it is."""
    return f"(SELECT value FROM json_each({compiler.bind(msgspec.json.encode(values).decode())}))"


def _has(compiler: Compiler, where: Has, row: Row) -> str:
    return _has_any(compiler, HasAny(where.property, (where.key,)), row)


def _has_any(compiler: Compiler, where: HasAny, row: Row) -> str:
    if not where.keys:
        return NEVER
    one = len(where.keys) == 1
    test = f"= {compiler.bind(where.keys[0])}" if one else f"IN {listed(compiler, list(where.keys))}"
    if isinstance(row, Record) and where.property in row.layout.members:
        member = compiler.alias()
        return (
            f"EXISTS(SELECT 1 FROM {row.layout.members[where.property]} {member}"
            f" WHERE {member}.key {test} AND {member}.rid = {row.rid})"
        )
    return _some_member(compiler, where.property, test, row)


def _has_other(compiler: Compiler, where: HasOther, row: Row) -> str:
    return _some_member(compiler, where.property, f"NOT IN {listed(compiler, list(where.keys))}", row)


def _some_member(compiler: Compiler, name: str, test: str, row: Row) -> str:
    """Some key of an object, or some element of an array, passes the test."""
    each = compiler.alias()
    member = f"CASE typeof({each}.key) WHEN 'text' THEN {each}.key ELSE {each}.value END"
    members = f"json_each({row.json(name)}, {path(name)}) {each}"
    # Of a null there is one row, with a null.
    return f"EXISTS(SELECT 1 FROM {members} WHERE {each}.type <> 'null' AND {member} {test})"


def _range(compiler: Compiler, where: Range, row: Row) -> str:
    """Both bounds are given to SQLite, so that only values of the bounds' type are between them."""
    value = typed(row, where.property)
    if where.at_least is None and where.below is None:
        return f"{value} IS NOT NULL"
    textual = isinstance(where.at_least if where.at_least is not None else where.below, str)
    least = compiler.bind(where.at_least) if where.at_least is not None else ("''" if textual else "-9e999")
    below = compiler.bind(where.below) if where.below is not None else ("x''" if textual else "''")
    test = f"({value} >= {least} AND {value} < {below})"
    return _rows_between(compiler, where, row) + test


def _rows_between(compiler: Compiler, where: Range, row: Row) -> str:
    """For the order property: the row numbers that a range of it can have, so that no other rows are visited.

    Wider than the range (see MAX_SPILL and the ends of the scale), so the property is still compared.
    """
    if not isinstance(row, Record) or row.layout.table.order != where.property:
        return ""
    test = ""
    if isinstance(where.at_least, str) and is_date(where.at_least):
        first = order.first_of(compiler.account, order.second(where.at_least))
        test += f"{row.rid} >= {compiler.bind(first)} AND "
    if isinstance(where.below, str) and is_date(where.below):
        after = order.second(where.below) + 1 + order.MAX_SPILL
        test += f"{row.rid} < {compiler.bind(order.first_of(compiler.account, after))} AND "
    return test


def is_date(value: str) -> bool:
    """Whether ``order.second`` can read it."""
    return len(value) >= 20 and value[:19].translate(_NOT_DIGITS).isdigit()


_NOT_DIGITS = str.maketrans("", "", "-T:")


def _contains(compiler: Compiler, where: Contains, row: Row) -> str:
    test = "is_folded" if where.whole else "contains"
    return f"{test}({typed(row, where.property)}, {compiler.bind(where.text.casefold())})"


def _text(compiler: Compiler, where: Text, row: Row) -> str:
    if not isinstance(row, Record):
        raise TypeError("an element of an array has no indexed text")
    if not where.phrases:
        return ALWAYS
    found = text_hits(compiler, row.layout, where)
    return NEVER if found is None else f"{row.rid} IN (SELECT rowid FROM {found})"


def text_hits(compiler: Compiler, layout: Layout, where: Text) -> str | None:
    """``table WHERE ...`` for the records that contain the phrases; None when there cannot be any."""
    match = match_query(layout, where)
    if match is None:
        return None
    return f"{layout.fts} WHERE {layout.fts} MATCH {compiler.bind(match)} AND rowid {compiler.bounds()}"


def match_query(layout: Layout, where: Text) -> str | None:
    """The query in the language of FTS5."""
    unknown = set(where.fields) - set(layout.table.texts)
    if unknown:
        raise ValueError(f"{layout.name} has no text fields {sorted(unknown)}")
    if not where.fields or not all(where.phrases):
        return None
    columns = "{" + " ".join(quoted(field) for field in where.fields) + "} : "
    if set(where.fields) == set(layout.table.texts):
        columns = ""
    return " AND ".join(columns + _phrase(phrase) for phrase in where.phrases)


def _phrase(phrase: Phrase) -> str:
    return quoted(" ".join(phrase))


def _item(compiler: Compiler, where: Item, row: Row) -> str:
    each = compiler.alias()
    test = compiler.expression(where.where, _Element(each))
    elements = f"json_each({row.json(where.property)}, {path(where.property)}) {each}"
    # Of a null there is one row, with a null.
    return f"EXISTS(SELECT 1 FROM {elements} WHERE {each}.type = 'object' AND {test})"


def _same(compiler: Compiler, where: Same, row: Row) -> str:
    if not isinstance(row, Record):
        raise TypeError("an element of an array has no siblings")
    other = Record(row.layout, compiler.alias())
    mine, theirs = typed(row, where.property), typed(other, where.property)
    test = compiler.expression(where.where, other)
    account = f"{other.alias}.a = {compiler.bind(compiler.account)}"
    return (
        f"EXISTS(SELECT 1 FROM {row.layout.records} {other.alias}"
        f" WHERE {account} AND {theirs} IS {mine} AND {test})"
    )


_COMPILE: dict[type, Callable[[Compiler, Any, Row], str]] = {
    Eq: _eq,
    In: _in,
    Has: _has,
    HasAny: _has_any,
    HasOther: _has_other,
    Range: _range,
    Contains: _contains,
    Text: _text,
    Item: _item,
    Same: _same,
}
