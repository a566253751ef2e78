"""Conditions as SQL expressions for PostgreSQL: those that columns, members and full text can answer.

An expression is true, or it is false or NULL, which both mean that the condition does not hold; so Not is
``IS NOT TRUE``. Names are trusted (they come from the program), values are always bound. ``OFFSET 0`` keeps a
subquery what it says: the planner may neither make a join of it nor hash a whole table for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from veredus.conditions import (
    All,
    Any_,
    Condition,
    Eq,
    Has,
    HasAny,
    In,
    Not,
    Range,
    Same,
    Scalar,
    Text,
    parts,
)
from veredus.store import order
from veredus.store.postgres import fulltext
from veredus.store.postgres.schema import ARRIVAL_BITS, INDEXED_OCTETS, Layout, indexed
from veredus.store.postgres.values import key, kind_of, member

NEVER = "false"
ALWAYS = "true"

# Longer lists are looked up in a hash.
_COMPARED = 16


class Row:
    """A record that a condition speaks of. ``covered``: columns that stand beside ``rid`` in an index.

    ``alias``: of the record itself, a row of ``layout.records``.
    """

    def __init__(
        self, layout: Layout, alias: str, rid: str | None = None, covered: dict[str, str] | None = None
    ) -> None:
        self.layout = layout
        self.alias = alias
        self.rid = rid or f"{alias}.rid"
        self.is_record = rid is None
        self._covered = covered or {}
        # Whether something was asked for that only the record itself has.
        self.joined = False

    def column(self, name: str) -> str:
        """The SQL of the column of a property that has one, or of ``id``, ``live`` or ``fixed``."""
        if name in self._covered:
            return self._covered[name]
        self.joined = True
        return f"{self.alias}.{self.layout.columns.get(name, name)}"

    def now_and_then(self, name: str) -> str:
        """The same for what few rows are asked for: only they fetch their record."""
        if self.is_record or name in self._covered:
            return self.column(name)
        column = self.layout.columns[name]
        return f"(SELECT e.{column} FROM {self.layout.records} e WHERE e.a = $1 AND e.rid = {self.rid})"


class Compiler:
    """Compiles conditions of one account; the values to bind gather in ``values``, the account first.

    ``few``: few rows are tested, so that each looks into its own text; else all that have the words are found
    once.
    """

    def __init__(self, account: int) -> None:
        self.values: list[Any] = [account]
        self.few = False
        self._aliases = 0
        self._bound: dict[tuple[type, Any], str] = {}

    def bind(self, value: Any) -> str:
        """A parameter; the same one for the same value."""
        if isinstance(value, list):
            self.values.append(value)
            return f"${len(self.values)}"
        known = self._bound.get((type(value), value))
        if known is None:
            self.values.append(value)
            known = self._bound[type(value), value] = f"${len(self.values)}"
        return known

    def alias(self) -> str:
        self._aliases += 1
        return f"x{self._aliases}"

    def expression(self, where: Condition, row: Row) -> str:
        """``where`` must satisfy ``is_sql``."""
        match where:
            case All(of):
                return joined("AND", [self.expression(part, row) for part in of], ALWAYS)
            case Any_(of):
                return joined("OR", [self.expression(part, row) for part in of], NEVER)
            case Not(of):
                return f"({self.expression(of, row)}) IS NOT TRUE"
            case _:
                return _COMPILE[type(where)](self, where, row)


def is_sql(where: Condition, layout: Layout) -> bool:
    """Whether SQL can say it exactly."""
    match where:
        case All(of) | Any_(of):
            return all(is_sql(part, layout) for part in of)
        case Not(of):
            return is_sql(of, layout)
        case Eq(name, _) | In(name, _):
            return name in layout.columns or name == "id"
        case Range(name, _, _):
            return name in layout.columns
        case Has(name, _) | HasAny(name, _):
            return name in layout.members
        case Same(name, inner):
            # Within one another they would double with each level.
            is_nested = any(isinstance(part, Same) for part in parts(inner))
            return name in layout.columns and not is_nested and is_sql(inner, layout)
        case Text():
            return True
    return False


def joined(operator: str, parts: Sequence[str], empty: str) -> str:
    if len(parts) <= 1:
        return parts[0] if parts else empty
    return "(" + f" {operator} ".join(parts) + ")"


# ---------------------------------------------------------------- values


def _eq(compiler: Compiler, where: Eq, row: Row) -> str:
    return _is(compiler, where.property, where.value, row)


def _is(compiler: Compiler, name: str, value: Scalar, row: Row) -> str:
    if name == "id":
        # PostgreSQL's text has no U+0000.
        if not isinstance(value, str) or "\0" in value:
            return NEVER
        return f"{row.column(name)} = {compiler.bind(value)}"
    encoded = key(value)
    if encoded is None:
        return f"{row.column(name)} IS NULL"
    return f"{row.column(name)} = {compiler.bind(encoded)}"


def _in(compiler: Compiler, where: In, row: Row) -> str:
    tests = []
    if where.property != "id" and None in where.values:
        tests.append(f"{row.column(where.property)} IS NULL")
    values = keys_of(where)
    if values:
        type = "text" if where.property == "id" else "bytea"
        bound = f"{compiler.bind(values)}::{type}[]"
        column = row.column(where.property)
        if len(values) <= _COMPARED:
            tests.append(f"{column} = ANY({bound})")
        else:
            tests.append(f"({column} IN (SELECT unnest({bound}))) IS TRUE")
    return joined("OR", tests, NEVER)


def keys_of(where: In) -> list[Any]:
    """What the column is compared with, null aside."""
    if where.property == "id":
        return [value for value in where.values if isinstance(value, str) and "\0" not in value]
    return [key(value) for value in where.values if value is not None]


def _range(compiler: Compiler, where: Range, row: Row) -> str:
    """Only values of the bounds' kind are between them."""
    name = where.property
    if where.at_least is None and where.below is None:
        return f"{row.column(name)} IS NOT NULL"
    by_place = name == row.layout.table.order
    least, below = range_keys(where)
    column = row.now_and_then(name) if by_place else row.column(name)
    test = f"({column} >= {compiler.bind(least)} AND {column} < {compiler.bind(below)})"
    return _by_place(compiler, where, row, test) if by_place else test


def range_keys(where: Range) -> tuple[bytes, bytes]:
    """``least <= key < below``."""
    first, last = kind_of(where.at_least if where.at_least is not None else where.below)
    return key(where.at_least) or first, key(where.below) or last


def _by_place(compiler: Compiler, where: Range, row: Row, test: str) -> str:
    """For the order property: the rows that a range of it can have, so that no others are visited.

    Whether those at the ends are within it only the property tells; the ends of the scale, and rows without
    the property, are among them.
    """
    bounds = []
    first, last = 1, order.MAX_SECOND
    if isinstance(where.at_least, str) and _is_date(where.at_least):
        least = order.second(where.at_least)
        bounds.append(f"{row.rid} >= {compiler.bind(least << ARRIVAL_BITS)}")
        first = max(first, least + 1)
    if isinstance(where.below, str) and _is_date(where.below):
        last = order.second(where.below)
        bounds.append(f"{row.rid} < {compiler.bind((last + 1) << ARRIVAL_BITS)}")
    if len(bounds) == sum(bound is not None for bound in (where.at_least, where.below)):
        inside = [compiler.bind(second << ARRIVAL_BITS) for second in (first, last)]
        test = f"({row.rid} >= {inside[0]} AND {row.rid} < {inside[1]} OR {test})"
    return joined("AND", [*bounds, test], ALWAYS)


def _is_date(value: str) -> bool:
    """Whether ``order.second`` can read it."""
    return len(value) >= 20 and value[:19].translate(_NOT_DIGITS).isdigit()


_NOT_DIGITS = str.maketrans("", "", "-T:")


def drives(compiler: Compiler, where: Eq | In | Range, column: str) -> str:
    """The same test as an index on the column answers it; only in it the indexed part is spoken of.

    Of In without null.
    """
    part = indexed(column)
    if isinstance(where, Eq):
        value = key(where.value)
        if value is None:
            return f"{part} IS NULL"
        test = f"{part} = {compiler.bind(value[:INDEXED_OCTETS])}"
        return test if len(value) < INDEXED_OCTETS else f"{test} AND {column} = {compiler.bind(value)}"
    if isinstance(where, In):
        return _drives_in(compiler, where, column)
    if where.at_least is None and where.below is None:
        return f"{part} IS NOT NULL"
    least, below = range_keys(where)
    first, last = (compiler.bind(bound[:INDEXED_OCTETS]) for bound in (least, below))
    test = f"{column} >= {compiler.bind(least)} AND {column} < {compiler.bind(below)}"
    return f"{part} >= {first} AND {part} <= {last} AND {test}"


def _drives_in(compiler: Compiler, where: In, column: str) -> str:
    values = keys_of(where)
    if not values:
        return NEVER
    starts = list(dict.fromkeys(value[:INDEXED_OCTETS] for value in values))
    test = f"{indexed(column)} = ANY({compiler.bind(starts)}::bytea[])"
    if all(len(value) < INDEXED_OCTETS for value in values):
        return test
    return f"{test} AND {column} = ANY({compiler.bind(values)}::bytea[])"


# ---------------------------------------------------------------- members, texts, siblings


def _has(compiler: Compiler, where: Has, row: Row) -> str:
    return _has_member(compiler, where.property, f"= {compiler.bind(member(where.key))}", row)


def _has_any(compiler: Compiler, where: HasAny, row: Row) -> str:
    if not where.keys:
        return NEVER
    return _has_member(compiler, where.property, f"= ANY({members(compiler, where.keys)})", row)


def members(compiler: Compiler, keys: Sequence[str]) -> str:
    return f"{compiler.bind([member(one) for one in keys])}::bytea[]"


def _has_member(compiler: Compiler, name: str, test: str, row: Row) -> str:
    x = compiler.alias()
    return (
        f"EXISTS(SELECT 1 FROM {row.layout.members[name]} {x}"
        f" WHERE {x}.a = $1 AND {x}.key {test} AND {x}.rid = {row.rid} OFFSET 0)"
    )


def _text(compiler: Compiler, where: Text, row: Row) -> str:
    if not where.phrases:
        return ALWAYS
    if not fulltext.can_be_found(row.layout, where):
        return NEVER
    x = compiler.alias()
    source = f"FROM {row.layout.txt} {x} WHERE"
    if compiler.few:
        test = fulltext.read(row.layout, where, x, compiler.bind)
        return f"EXISTS(SELECT 1 {source} {x}.a = $1 AND {x}.rid = {row.rid} AND {test} OFFSET 0)"
    test = fulltext.found(row.layout, where, x, compiler.bind)
    return f"({row.rid} IN (SELECT {x}.rid {source} {test})) IS TRUE"


def _same(compiler: Compiler, where: Same, row: Row) -> str:
    mine = row.column(where.property)
    other = Row(row.layout, compiler.alias())
    return siblings(compiler, other, where.property, mine, compiler.expression(where.where, other))


def siblings(compiler: Compiler, other: Row, name: str, mine: str, test: str) -> str:
    """Whether ``other`` exists, a record with the same property, that passes the test."""
    column = other.column(name)
    part = indexed(column) if name in other.layout.indexed else column
    of = f"SELECT 1 FROM {other.layout.records} {other.alias} WHERE {other.alias}.a = $1"
    same = f"{part} = {indexed(mine)} AND {column} = {mine}" if part != column else f"{column} = {mine}"
    return (
        f"CASE WHEN {mine} IS NULL THEN EXISTS({of} AND {part} IS NULL AND {test} OFFSET 0)"
        f" ELSE EXISTS({of} AND {same} AND {test} OFFSET 0) END"
    )


_COMPILE: dict[type, Callable[[Compiler, Any, Row], str]] = {
    Eq: _eq,
    In: _in,
    Has: _has,
    HasAny: _has_any,
    Range: _range,
    Text: _text,
    Same: _same,
}
