"""What must hold of a PostgreSQL database: the rows of each record against one another, and the log.

Everything is read once, by cursors in the same order, within one snapshot: memory does not grow with the
database, and other nodes may write meanwhile.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec

from veredus.store import order
from veredus.store.moving import HIDDEN
from veredus.store.postgres import check_log, rows
from veredus.store.postgres.check_log import cursor
from veredus.store.postgres.rows import Stored
from veredus.store.postgres.schema import ARRIVAL_BITS, Layout
from veredus.wire.types import JsonObject

# A connection of the pool plans for short statements by index, and gives up on long ones.
_PREPARE = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL enable_seqscan = on;
SET LOCAL enable_hashjoin = on;
SET LOCAL enable_mergejoin = on;
"""

Place = tuple[int, int]


async def check(connection: Any, layouts: Sequence[Layout]) -> list[str]:
    """Every broken invariant, a line each. ``connection``: in a transaction of one snapshot, or in none."""
    if connection.is_in_transaction():
        return await _check(connection, layouts)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _check(connection, layouts)


async def _check(connection: Any, layouts: Sequence[Layout]) -> list[str]:
    await connection.execute(_PREPARE)
    problems = [problem async for problem in _indexes(connection)]
    arrivals, hidden = {}, set()
    async for a, id, last in cursor(connection, "SELECT a, id, arrivals FROM account"):
        arrivals[a] = last
        if id.startswith(HIDDEN):  # it is being moved; what it has is not whole
            hidden.add(a)
    for layout in layouts:
        found = _table(connection, layout, arrivals)
        problems += [f"{layout.name}: {problem}" async for a, problem in found if a not in hidden]
    in_log = check_log.check(connection, layouts)
    problems += [problem async for a, problem in in_log if a not in hidden]
    unknown = "SELECT a, type, blob FROM blob WHERE type NOT IN (SELECT type FROM declared)"
    problems += [
        f"blob reference of no type: {type}, account {a}, {blob}"
        async for a, type, blob in cursor(connection, unknown)
    ]
    return problems


class _Beside:
    """A table with rows for each record, read in step with the records. A row begins with its place."""

    def __init__(self, found: AsyncIterator[Any]) -> None:
        self._found = found
        self._next: Any = None
        self._begun = False

    async def before(self, place: Place | None) -> list[Any]:
        """The rows of places before this one (None: all that are left): of no record."""
        return await self._while(lambda row: place is None or (row[0], row[1]) < place)

    async def at(self, place: Place) -> list[Any]:
        return await self._while(lambda row: (row[0], row[1]) == place)

    async def _while(self, test: Any) -> list[Any]:
        taken = []
        if not self._begun:
            self._begun, self._next = True, await anext(self._found, None)
        while self._next is not None and test(self._next):
            taken.append(self._next)
            self._next = await anext(self._found, None)
        return taken


class _Table:
    """What one record must be beside; ``beside``: what to compare, by the words for it."""

    def __init__(self, connection: Any, layout: Layout) -> None:
        self.layout = layout
        self.beside = {
            "blob reference": _Beside(
                cursor(
                    connection, "SELECT a, rid, blob FROM blob WHERE type = $1 ORDER BY a, rid", layout.name
                )
            )
        }
        if layout.cold:
            self.beside["cold part"] = _Beside(
                cursor(connection, f"SELECT a, rid FROM {layout.cold} ORDER BY a, rid")
            )
        if layout.txt:
            self.beside["full text"] = _Beside(
                cursor(connection, f"SELECT a, rid FROM {layout.txt} ORDER BY a, rid")
            )
        covers = "".join(f", {column}" for column in layout.covers.values())
        for name, table in layout.members.items():
            self.beside[f"entry in the index of {name}"] = _Beside(
                cursor(connection, f"SELECT a, rid, key, id{covers} FROM {table} ORDER BY a, rid, key")
            )

    def expected(self, stored: Stored, record: JsonObject) -> dict[str, set[tuple[Any, ...]]]:
        """The rows that there should be, by the same words."""
        layout = self.layout
        place = (stored.a, stored.rid)
        rows_of: dict[str, set[tuple[Any, ...]]] = {
            "blob reference": {(a, rid, blob) for a, blob, rid in rows.blob_rows(layout, stored, record)},
            "cold part": {place},
            "full text": {place} if stored.has_texts else set(),
        }
        for name in layout.members:
            rows_of[f"entry in the index of {name}"] = {
                (a, rid, key, *others)
                for a, key, rid, *others in rows.member_rows(layout, name, stored, record)
            }
        return rows_of


async def _table(connection: Any, layout: Layout, arrivals: dict[int, int]) -> AsyncIterator[tuple[int, str]]:
    """Account number and problem. ``arrivals``: the last one of each account."""
    table = _Table(connection, layout)
    columns = "".join(f", r.{column}" for column in layout.columns.values())
    async for row in cursor(connection, rows.select(layout, columns) + " ORDER BY r.a, r.rid"):
        stored, kept = Stored(*row[:7]), list(row[7:])
        place = (stored.a, stored.rid)
        for what, beside in table.beside.items():
            for other in await beside.before(place):
                yield other[0], _of_no_record(what, other)
        record, damage = stored.decoded()
        # What cannot be read agrees with nothing: one line is enough.
        problems = damage or [*_own(layout, stored, record, kept)]
        problems += _of_account(stored, arrivals.get(stored.a))
        expected = table.expected(stored, record)
        for what, beside in table.beside.items():
            found = {tuple(other) for other in await beside.at(place)}
            problems += () if damage else _compared(what, expected[what], found)
        for problem in problems:
            yield stored.a, f"{stored.id}: {problem}"
    for what, beside in table.beside.items():
        for other in await beside.before(None):
            yield other[0], _of_no_record(what, other)


def _of_no_record(what: str, row: Any) -> str:
    rest = f" ({', '.join(map(_shown, row[2:4]))})" if len(row) > 2 else ""
    return f"{what} of no record: account {row[0]}, row {row[1]}{rest}"


def _shown(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _compared(what: str, expected: set[tuple[Any, ...]], found: set[tuple[Any, ...]]) -> Iterator[str]:
    def words(row: tuple[Any, ...]) -> str:
        return f" {' '.join(map(_shown, row[2:]))}" if len(row) > 2 else ""

    for row in sorted(expected - found, key=repr):
        yield f"{what} missing{':' if len(row) > 2 else ''}{words(row)}"
    for row in sorted(found - expected, key=repr):
        yield f"{what} that the record does not say{':' if len(row) > 2 else ''}{words(row)}"


def _own(layout: Layout, stored: Stored, record: JsonObject, kept: list[bytes | None]) -> Iterator[str]:
    """The row of a record by itself."""
    if record.get("id") != stored.id:
        yield f"the record says id {record.get('id')}"
    for name, has, says in zip(layout.columns, kept, layout.keys(record), strict=True):
        if has != says:
            yield f"column {name} is {_shown(has)!r}, the record says {_shown(says)!r}"
    for part, text in (("live", stored.live), ("fixed", stored.fixed), ("cold", stored.cold or b"{}")):
        misplaced = [name for name in msgspec.json.decode(text) if layout.part(name) != part]
        if misplaced:
            yield f"{', '.join(misplaced)} should not be in its {part} part"
    if layout.table.order:
        try:
            second = order.second(record.get(layout.table.order))
        except ValueError:
            yield f"{layout.table.order} is no date: {record.get(layout.table.order)}"
        else:
            if stored.rid >> ARRIVAL_BITS != second:
                yield f"row {stored.rid} is not of second {second}"


def _of_account(stored: Stored, last: int | None) -> Iterator[str]:
    if last is None:
        yield f"account {stored.a} is not there"
    elif (arrival := stored.rid & (1 << ARRIVAL_BITS) - 1) > last:
        yield f"arrival {arrival} of row {stored.rid} is behind the last of its account, {last}"


async def _indexes(connection: Any) -> AsyncIterator[str]:
    """By PostgreSQL's own check of its B-trees, where somebody has installed it (amcheck)."""
    if not await connection.fetchval("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'amcheck'"):
        return
    function = await connection.fetchval(
        "SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc p WHERE p.proname = 'bt_index_check'"
        " AND p.pronargs = 2 AND has_function_privilege(p.oid, 'EXECUTE')"
    )
    if function is None:
        return
    named = function.partition("(")[0]
    indexes = await connection.fetch(
        "SELECT c.oid::bigint, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_am m ON m.oid = c.relam WHERE c.relkind = 'i' AND m.amname = 'btree'"
        " AND c.relnamespace = current_schema()::text::regnamespace ORDER BY c.relname"
    )
    for oid, name in indexes:
        await connection.execute("SAVEPOINT one")
        try:
            await connection.fetchval(f"SELECT {named}($1::bigint::oid::regclass, true)", oid)
        except Exception as error:  # of many classes; it is the finding
            if connection.is_closed():
                raise
            await connection.execute("ROLLBACK TO one")
            yield f"postgres: index {name}: {error}"
        await connection.execute("RELEASE one")
