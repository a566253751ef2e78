"""What SQL does not say of a selection, evaluated here by the reference meaning.

Rows that satisfy what is SQL come in the table's order, in portions, with the JSON that holds the properties
in question, and a boolean for each condition within the rest that is SQL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from veredus.conditions import All, Any_, Condition, Eq, Not, Order, Same, matches
from veredus.store import projection
from veredus.store.postgres import sql
from veredus.store.postgres.drivers import Choice
from veredus.store.postgres.schema import ARRIVAL_BITS
from veredus.store.postgres.selection import Fetch, Selection, Statement, conjunction, has_column
from veredus.store.values import is_own_order, sort_key
from veredus.wire.types import Id, JsonObject

# Rows of the first portion where few may be enough, and the most in one (of those with their cold parts).
_FIRST, _MOST, _MOST_WITH_COLD = 256, 8192, 2048
# Rows between two turns of the event loop.
_AT_ONCE = 256
_BEFORE_ALL, _BEHIND_ALL = -1, 2**63 - 1

# Of a record as it is here: with members whose names begin with U+0000, that are no properties.
_Of: TypeAlias = Callable[[JsonObject], Any]


class _Asked:
    """What is to be known of each row."""

    def __init__(self, selection: Selection, fetch: Fetch) -> None:
        self._selection = selection
        self._layout = selection.layout
        self._fetch = fetch
        # Answered by SQL.
        self.flags: list[Condition] = []
        self.columns: list[str] = []
        # Read from the JSON.
        self.names: set[str] = set()
        # Found out here: whether the value is among those of other records.
        self._among: list[tuple[_Of, set[Any]]] = []

    async def test(self, where: Condition) -> Callable[[JsonObject], bool]:
        """Whether a record satisfies the condition."""
        rest = await self._rest(where)
        return lambda record: matches(rest, record)

    async def _rest(self, where: Condition) -> Condition:
        """The same condition on a record as it is here; SQL answers as large a part of it as possible."""
        if sql.is_sql(where, self._layout):
            self.flags.append(where)
            return Eq(f"\0f{len(self.flags) - 1}", True)
        match where:
            case All(of):
                return All(await self._parts(of, All))
            case Any_(of):
                return Any_(await self._parts(of, Any_))
            case Not(of):
                return Not(await self._rest(of))
            case Same(name, inner):
                others = Selection(self._layout, self._selection.account, inner)
                self._among.append((self.value(name), await _values(others, name, self._fetch)))
                return Eq(f"\0s{len(self._among) - 1}", True)
        self.names.add(where.property)  # type: ignore[union-attr]
        return where

    async def _parts(
        self, of: Sequence[Condition], join: Callable[[tuple[Condition, ...]], Condition]
    ) -> tuple[Condition, ...]:
        by_sql = tuple(part for part in of if sql.is_sql(part, self._layout))
        flag = [await self._rest(join(by_sql))] if by_sql else []
        return (*flag, *[await self._rest(part) for part in of if not sql.is_sql(part, self._layout)])

    def value(self, name: str) -> _Of:
        """Something that is equal for equal values of a property."""
        if name == "id":
            return lambda record: record["id"]
        if has_column(self._layout, name):
            return self._column(name)
        self.names.add(name)
        return lambda record: msgspec.json.encode(record.get(name))

    def _column(self, name: str) -> _Of:
        self.columns.append(name)
        place = f"\0c{len(self.columns) - 1}"
        return lambda record: record[place]

    async def sort_key(self, order: Order) -> _Of:
        if is_own_order(self._layout.table, order):
            return lambda record: record["\0rid"] >> ARRIVAL_BITS
        if not isinstance(order.by, str):
            return await self.test(order.by)
        name, collation = order.by, order.collation
        if name in self._layout.columns and collation is None:
            column = self._column(name)
            return lambda record: column(record) or b""
        self.names.add(name)
        return lambda record: sort_key(record.get(name), collation)

    # ------------------------------------------------------------ rows

    @property
    def most(self) -> int:
        is_cold = any(self._layout.part(name) == "cold" for name in self.names)
        return _MOST_WITH_COLD if is_cold else _MOST

    def selected(self, compiler: sql.Compiler, row: sql.Row) -> list[str]:
        """The SQL of what a row has: rid, id, flags, columns, parts of JSON."""
        selected = [f"{row.rid} AS rid", f"{row.column('id')} AS id"]
        flags = [f"({compiler.expression(flag, row)}) IS TRUE" for flag in self.flags]
        columns = [row.column(name) for name in self.columns]
        parts = [
            row.column(part) if part != "cold" else self._cold(row)
            for part in sorted({self._layout.part(name) for name in self.names - {"id"}})
        ]
        more = [*flags, *columns, *parts]
        return selected + [f"{expression} AS c{number}" for number, expression in enumerate(more)]

    def _cold(self, row: sql.Row) -> str:
        return f"(SELECT e.json FROM {self._layout.cold} e WHERE e.a = $1 AND e.rid = {row.rid})"

    def records(self, rows: Sequence[Any]) -> Iterator[JsonObject]:
        of_columns = 2 + len(self.flags)
        of_parts = of_columns + len(self.columns)
        read = projection.picker(frozenset(self.names)).read if self.names - {"id"} else None
        parts = read([_object(row, of_parts) for row in rows]) if read else [{} for _ in rows]
        for row, record in zip(rows, parts, strict=True):
            record["\0rid"], record["id"] = row[0], row[1]
            record.update((f"\0f{n}", value) for n, value in enumerate(row[2:of_columns]))
            record.update((f"\0c{n}", value) for n, value in enumerate(row[of_columns:of_parts]))
            for n, (value, among) in enumerate(self._among):
                record[f"\0s{n}"] = value(record) in among
            yield record


def _object(row: Any, of_parts: int) -> bytes:
    """The row's parts of JSON as one object with an id."""
    whole = b'{"id":""}'
    for part in row[of_parts:]:
        if part is not None:
            whole = projection.splice(whole, part)
    return whole


async def _stream(selection: Selection, fetch: Fetch, asked: _Asked) -> AsyncIterator[JsonObject]:
    """The records that satisfy ``where``, in the table's order."""
    found = conjunction(selection)
    satisfies = await asked.test(All(tuple(found.rest))) if found.rest else None
    newest_first = selection.newest_first
    last = _BEHIND_ALL if newest_first else _BEFORE_ALL
    size = _FIRST if selection.ends_early else asked.most
    while True:
        statement = _portion(selection, asked, last, size)
        rows = await fetch(statement.sql, statement.values)
        for start in range(0, len(rows), _AT_ONCE):
            for record in asked.records(rows[start : start + _AT_ONCE]):
                if satisfies is None or satisfies(record):
                    yield record
            await asyncio.sleep(0)
        if len(rows) < size:
            return
        last, size = rows[-1][0], min(size * 4, asked.most)


def _portion(selection: Selection, asked: _Asked, last: int, size: int) -> Statement:
    """The next rows that satisfy what is SQL, after ``last``."""
    compiler = sql.Compiler(selection.account)
    choice = Choice(selection, conjunction(selection), compiler, in_order=True)
    behind = f"{'<' if selection.newest_first else '>'} {compiler.bind(last)}"
    source = choice.source(
        lambda row: asked.selected(compiler, row), lambda row: [f"{row.rid} {behind}"], limit=size
    )
    text = f"{source.with_}SELECT * FROM {source.rows} ORDER BY rid{choice.direction}"
    return Statement(f"{text} LIMIT {compiler.bind(size)}", compiler.values)


async def _values(selection: Selection, name: str, fetch: Fetch) -> set[Any]:
    """The values that the property has in the records that satisfy ``where``."""
    asked = _Asked(selection, fetch)
    value = asked.value(name)
    return {value(record) async for record in _stream(selection, fetch, asked)}


async def select(selection: Selection, fetch: Fetch) -> list[Id]:
    asked = _Asked(selection, fetch)
    orders = () if selection.natural else selection.orders
    keys = [await asked.sort_key(order) for order in orders]
    value = asked.value(selection.distinct) if selection.distinct is not None else None
    found: list[tuple[Id, Any, list[Any]]] = []
    seen = set()
    async for record in _stream(selection, fetch, asked):
        of = value(record) if value else None
        if value and selection.ends_early and of in seen:
            continue
        seen.add(of)
        found.append((record["id"], of, [key(record) for key in keys]))
        if selection.ends_early and len(found) == selection.end:
            break
    for number, order in reversed(list(enumerate(orders))):
        found.sort(key=lambda row: row[2][number], reverse=not order.ascending)
    if value:
        first = {of: id for id, of, _ in reversed(found)}
        found = [row for row in found if first[row[1]] == row[0]]
    return [id for id, _, _ in found][selection.offset : selection.end]


async def count(selection: Selection, fetch: Fetch) -> int:
    asked = _Asked(selection, fetch)
    value = asked.value(selection.distinct) if selection.distinct is not None else None
    rows = _stream(selection, fetch, asked)
    if value is None:
        return sum([1 async for _ in rows])
    return len({value(record) async for record in rows})
