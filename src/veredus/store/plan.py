"""Which index a selection follows, and the SQL that comes of it.

One condition of the conjunction drives: its index gives the row numbers, mostly in the table's order, so that
a limit ends the work early. The others are tested row by row. SQLite is left no choice of its own.
The conditions have passed ``limits.check``.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from veredus.conditions import Condition, Eq, Has, HasAny, In, Order, Range, Text, conjuncts
from veredus.store import sql
from veredus.store.sqlite_schema import Layout
from veredus.store.values import descending, is_own_order

# Runs a statement that gives one number.
Probe: TypeAlias = Callable[[str, list[Any]], int]

# How far candidates are counted before they are compared.
_COUNTED = 500
# Up to that many rows, testing each of them for words is cheaper than going through all that have the words.
_PROBED = 50


class Statement(Struct):
    sql: str
    values: list[Any]


class Selection(Struct):
    """What is asked of a table."""

    layout: Layout
    account: int
    where: Condition
    orders: Sequence[Order] = ()
    distinct: str | None = None

    @property
    def natural(self) -> bool:
        """Whether the table's own order is all that is asked for."""
        if not self.orders:
            return True
        return len(self.orders) == 1 and is_own_order(self.layout.table, self.orders[0])


class _Driver(Struct):
    """``source``: what stands behind FROM; its rows are those of ``condition``."""

    condition: Condition | None
    source: str
    test: str
    row: sql.Record


def select(selection: Selection, probe: Probe, limit: int | None, offset: int) -> Statement:
    """Rows (id), in order. With ``distinct``: rows (id, value), limit and offset are left to the caller."""
    compiler = sql.Compiler(selection.account)
    driver, tests = _driven(selection, compiler, probe)
    row = driver.row
    columns = _id(row)
    if selection.distinct is not None:
        columns += ", " + _distinct(row, selection.distinct)
    order = ", ".join(_terms(compiler, selection, row))
    text = f"SELECT {columns} {_from(driver)} WHERE {' AND '.join(tests)} ORDER BY {order}"
    if selection.distinct is None and (limit is not None or offset):
        text += f" LIMIT {compiler.bind(-1 if limit is None else limit)} OFFSET {compiler.bind(offset)}"
    return Statement(text, compiler.values)


def count(selection: Selection, probe: Probe) -> Statement:
    """One row, one number."""
    compiler = sql.Compiler(selection.account)
    if selection.distinct is None and not conjuncts(selection.where):
        # By the narrowest index rather than by the records.
        layout = selection.layout
        return Statement(
            f"SELECT count(*) FROM {layout.records} INDEXED BY {layout.id_index}"
            f" WHERE a = {compiler.bind(selection.account)}",
            compiler.values,
        )
    driver, tests = _driven(selection, compiler, probe)
    what = "count(*)"
    if selection.distinct is not None:
        value = _distinct(driver.row, selection.distinct)
        what = f"count(DISTINCT {value}) + coalesce(max({value} IS NULL), 0)"
    return Statement(f"SELECT {what} {_from(driver)} WHERE {' AND '.join(tests)}", compiler.values)


def _driven(selection: Selection, compiler: sql.Compiler, probe: Probe) -> tuple[_Driver, list[str]]:
    parts = conjuncts(selection.where)
    driver = _driver(selection, parts, compiler, probe)
    rest = [part for part in parts if part is not driver.condition]
    tests = [test for part in rest if (test := compiler.expression(part, driver.row)) != sql.ALWAYS]
    return driver, [driver.test, *tests]


def _from(driver: _Driver) -> str:
    row = driver.row
    if row.joined and not driver.source.startswith(row.layout.records):
        return f"FROM {driver.source} CROSS JOIN {row.layout.records} r ON r.rid = {row.rid}"
    return f"FROM {driver.source}"


def _id(row: sql.Record) -> str:
    id = row.column("id")
    assert id is not None
    return id


def _distinct(row: sql.Record, name: str) -> str:
    return row.column(name) or f"{row.json(name)} -> {sql.path(name)}"


def _terms(compiler: sql.Compiler, selection: Selection, row: sql.Record) -> list[str]:
    """The terms of ORDER BY; row numbers are in the table's order, and so break ties."""
    table = selection.layout.table
    direction = " DESC" if descending(table, list(selection.orders)) else ""
    terms = (
        [] if selection.natural else [_term(compiler, table_order, row) for table_order in selection.orders]
    )
    return [*terms, f"{row.rid}{direction}"]


def _term(compiler: sql.Compiler, order: Order, row: sql.Record) -> str:
    direction = "" if order.ascending else " DESC"
    if is_own_order(row.layout.table, order):
        return f"({row.rid} >> 15){direction}"
    if not isinstance(order.by, str):
        return f"({compiler.expression(order.by, row)}) IS TRUE{direction}"
    value = sql.typed(row, order.by)
    if order.collation is not None:
        value = f"collated({compiler.bind(order.collation)}, {value})"
    return value + direction


# ---------------------------------------------------------------- choosing


def _driver(selection: Selection, parts: list[Condition], compiler: sql.Compiler, probe: Probe) -> _Driver:
    ordered = [part for part in parts if _in_order(selection.layout, part)]
    loose = [part for part in parts if _out_of_order(selection.layout, part)]
    texts = [part for part in parts if isinstance(part, Text) and sql.match_query(selection.layout, part)]
    if len(ordered) == 1 and not loose and not texts:
        return _drive(selection, ordered[0], compiler)
    sizes = [(_size(selection, part, probe), index) for index, part in enumerate([*ordered, *loose])]
    smallest = min(sizes, default=(_COUNTED, 0))
    if texts and smallest[0] > _PROBED:
        return _drive_text(selection, texts[0], compiler)
    if smallest[0] < _COUNTED:
        return _drive(selection, [*ordered, *loose][smallest[1]], compiler)
    if ordered:
        return _drive(selection, ordered[0], compiler)
    if loose and not selection.natural:
        return _drive(selection, loose[0], compiler)
    return _scan(selection, compiler)


def _in_order(layout: Layout, part: Condition) -> bool:
    """Whether an index gives the matching rows in the table's order."""
    match part:
        case Has(name, _) | HasAny(name, _):
            # Rows of several keys are sorted, but they are few where this is asked for.
            return name in layout.members
        case Eq(name, _):
            return name in layout.indexes or name == "id"
    return False


def _out_of_order(layout: Layout, part: Condition) -> bool:
    match part:
        case In(name, values):
            return name in layout.indexes or (name == "id" and None not in values)
        case Range(name, _, _):
            return name in layout.indexes
    return False


def _size(selection: Selection, part: Condition, probe: Probe) -> int:
    """How many rows the condition has, counted up to a limit."""
    compiler = sql.Compiler(selection.account)
    driver = _drive(selection, part, compiler)
    return probe(
        f"SELECT count(*) FROM (SELECT 1 FROM {driver.source} WHERE {driver.test} LIMIT {_COUNTED})",
        compiler.values,
    )


def _drive(selection: Selection, part: Condition, compiler: sql.Compiler) -> _Driver:
    layout = selection.layout
    if isinstance(part, Has):
        test = f"m.key = {compiler.bind(part.key)} AND m.rid {compiler.bounds()}"
        return _Driver(part, f"{layout.members[part.property]} m", test, _member(layout))
    if isinstance(part, HasAny):
        return _drive_any(selection, part, compiler)
    row = sql.Record(layout, "r")
    test = f"r.a = {compiler.bind(selection.account)} AND {compiler.expression(part, row)}"
    assert isinstance(part, Eq | In | Range)
    index = f" INDEXED BY {layout.indexes.get(part.property, layout.id_index)}"
    return _Driver(part, f"{layout.records} r{index}", test, row)


def _drive_any(selection: Selection, part: HasAny, compiler: sql.Compiler) -> _Driver:
    """A record that has several of the keys comes once."""
    layout = selection.layout
    columns = ", ".join(["rid", "id", *layout.covers.values()])
    keys = compiler.bind(msgspec.json.encode(part.keys).decode())
    source = (
        f"(SELECT DISTINCT {columns} FROM {layout.members[part.property]}"
        f" WHERE key IN (SELECT value FROM json_each({keys})) AND rid {compiler.bounds()}) m"
    )
    return _Driver(part, source, "1", _member(layout))


def _member(layout: Layout) -> sql.Record:
    covered = {"id": "m.id"} | {name: f"m.{column}" for name, column in layout.covers.items()}
    return sql.Record(layout, "r", "m.rid", covered)


def _drive_text(selection: Selection, part: Condition, compiler: sql.Compiler) -> _Driver:
    assert isinstance(part, Text)
    layout = selection.layout
    match = sql.match_query(layout, part)
    test = f"{layout.fts} MATCH {compiler.bind(match)} AND {layout.fts}.rowid {compiler.bounds()}"
    return _Driver(part, f"{layout.fts}", test, sql.Record(layout, "r", f"{layout.fts}.rowid"))


def _scan(selection: Selection, compiler: sql.Compiler) -> _Driver:
    """All records of the account, in order."""
    layout = selection.layout
    test = f"r.rid {compiler.bounds()}"
    return _Driver(None, f"{layout.records} r NOT INDEXED", test, sql.Record(layout, "r"))
