"""Reading one account of a SQLite database through one connection."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence, Set
from typing import Any, TypeVar

import apsw
import msgspec
from msgspec import Struct

from veredus.conditions import EVERYTHING, Condition, Order
from veredus.ports import Changes, Snapshot
from veredus.store import limits, order, plan, projection
from veredus.store.cache import Cache, Known
from veredus.store.coalesce import Entry, coalesce
from veredus.store.sqlite_connection import Connection, translated
from veredus.store.sqlite_schema import Layout
from veredus.wire.types import BlobId, Id, JsonObject

# The number of an account that is not there; no row has it.
NO_ACCOUNT = -1

T = TypeVar("T")

# How many ids are remembered one by one.
_FOLLOWED = 1000


class Reads:
    """A Snapshot: ``connection`` is inside a transaction as long as this is used."""

    def __init__(
        self, connection: Connection, layouts: Mapping[str, Layout], account: int, cache: Cache | None = None
    ) -> None:
        self._db = connection
        self._layouts = layouts
        self._account = account
        # Of what others have committed; a transaction has none.
        self._cache = cache
        self._states: dict[str, tuple[int, int]] = {}

    def _known(self, type: str) -> Known | None:
        """What is remembered of the type as this snapshot sees it; None when nothing may be."""
        if self._cache is None or not self._layouts[type].table.logged:
            return None
        state, floor = self._state(type)
        return self._cache.at(self._account, type, state, lambda since: self._changed(type, since, floor))

    def _changed(self, type: str, since: int, floor: int) -> list[Id] | None:
        if since < floor:
            return None
        rows = self._db.rows(
            "SELECT id FROM log WHERE n = ? AND type = ? AND modseq > ? LIMIT ?",
            (self._account, type, since, _FOLLOWED + 1),
        )
        return [id for (id,) in rows] if len(rows) <= _FOLLOWED else None

    async def get(
        self, type: str, ids: Sequence[Id] | None, names: Set[str] | None = None
    ) -> list[JsonObject]:
        found = self._objects(self._layouts[type], ids, names)
        if names is not None:
            return projection.picker(frozenset(names)).read(found)
        return msgspec.json.decode(b"[" + b",".join(found) + b"]", type=list[dict[str, Any]])

    async def project(self, type: str, ids: Sequence[Id] | None, names: Sequence[str]) -> list[Struct]:
        known = self._known(type) if ids is not None and len(ids) <= _FOLLOWED else None
        if known is None or ids is None:
            return projection.reader(names).read(self._objects(self._layouts[type], ids, names))
        return self._remembered(type, known, ids, tuple(names))

    def _remembered(self, type: str, known: Known, ids: Sequence[Id], names: tuple[str, ...]) -> list[Struct]:
        """What is to be remembered is decoded by itself, for it to keep no more than its own text alive."""
        assert self._cache is not None
        records = known.of(names)
        found: dict[Id, Any] = {id: records.get(id) for id in ids}
        if None not in found.values():
            return list(found.values())
        reader, layout = projection.reader(names), self._layouts[type]
        missing = [id for id in found if found[id] is None]
        again = known.read_again(missing)
        once = [id for id in missing if id not in again]
        fresh: list[Any] = list(reader.read(self._objects(layout, once, names))) if once else []
        found.update((record.id, record) for record in fresh)
        for text in self._objects(layout, list(again), names) if again else ():
            record = reader.one(text)
            found[record.id] = record
            self._cache.remember(known, names, record.id, record, len(text))
        return [record for record in found.values() if record is not None]

    def _objects(
        self, layout: Layout, ids: Sequence[Id] | None, names: Collection[str] | None
    ) -> list[bytes]:
        """The stored JSON of records, of those parts that hold the names."""
        columns = "CAST(r.live AS BLOB)"
        join = ""
        wanted = {"fixed", "cold"} if names is None else {layout.part(name) for name in names}
        if "fixed" in wanted:
            columns += ", CAST(r.fixed AS BLOB)"
        if "cold" in wanted and layout.cold:
            columns += ", CAST(c.json AS BLOB)"
            join = f" LEFT JOIN {layout.cold} c ON c.rid = r.rid"
        rows = self._rows_of(layout, columns, join, ids)
        if columns.count("CAST") == 1:
            return [live for (live,) in rows]
        splice = projection.splice
        if columns.count("CAST") == 2:
            return [splice(live, more) for live, more in rows]
        return [splice(splice(live, fixed), cold) for live, fixed, cold in rows]

    def _rows_of(self, layout: Layout, columns: str, join: str, ids: Sequence[Id] | None) -> list[Any]:
        if ids is None:
            first, last = order.bounds(self._account)
            return self._db.rows(
                f"SELECT {columns} FROM {layout.records} r{join} WHERE r.rid BETWEEN ? AND ? ORDER BY r.rid",
                (first, last),
            )
        if len(ids) == 1:
            return self._db.rows(
                f"SELECT {columns} FROM {layout.records} r{join} WHERE r.a = ? AND r.id = ?",
                (self._account, ids[0]),
            )
        wanted = msgspec.json.encode(list(dict.fromkeys(ids))).decode()
        return self._db.rows(
            f"SELECT {columns} FROM json_each(?) w"
            f" CROSS JOIN {layout.records} r ON r.a = ? AND r.id = w.value{join}",
            (wanted, self._account),
        )

    async def select(
        self,
        type: str,
        where: Condition = EVERYTHING,
        order: Sequence[Order] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
        distinct: str | None = None,
    ) -> list[Id]:
        limits.check(where, order)
        wanted = plan.Selection(self._layouts[type], self._account, where, order, distinct)

        def run() -> list[Id]:
            statement = plan.select(wanted, self._db.number, limit, offset)
            if distinct is None:
                return [id for (id,) in self._db.rows(statement.sql, statement.values)]
            return self._first_of_each(statement, limit, offset)

        ids = await self._once(type, (where, order, limit, offset, distinct), run)
        return list(ids)

    async def _once(self, type: str, asked: tuple[object, ...], run: Callable[[], T]) -> T:
        """The answer that is remembered, or that of ``run``."""
        known = self._known(type)
        if known is None or self._cache is None:
            return await self._db.bounded(run)
        # Not the values themselves: as keys true and 1 would be the same.
        question = repr(asked)
        answer: T | None = known.results.get(question)
        if answer is None:
            answer = await self._db.bounded(run)
            # Another reader may have gone on to a newer state meanwhile.
            if known.state == self._state(type)[0]:
                self._cache.remember_result(known, question, answer)
        return answer

    def _first_of_each(self, statement: plan.Statement, limit: int | None, offset: int) -> list[Id]:
        """Reads on until there are enough values; the rows come in order."""
        end = None if limit is None else offset + limit
        first: dict[Any, Id] = {}
        if end == 0:
            return []
        try:
            cursor = self._db.db.execute(statement.sql, statement.values)
            for id, value in cursor:
                first.setdefault(value, id)
                if len(first) == end:
                    break
            cursor.close()
        except apsw.Error as error:
            raise translated(error) from error
        return list(first.values())[offset:]

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        limits.check(where)
        wanted = plan.Selection(self._layouts[type], self._account, where, (), distinct)

        def run() -> int:
            statement = plan.count(wanted, self._db.number)
            return self._db.number(statement.sql, statement.values)

        return await self._once(type, (where, distinct), run)

    async def state(self, type: str) -> int:
        return self._state(type)[0]

    async def states(self) -> Mapping[str, int]:
        return dict(self._db.rows("SELECT type, modseq FROM state WHERE n = ?", (self._account,)))

    def _state(self, type: str) -> tuple[int, int]:
        """The state, and the modseq of the last forgotten entry."""
        self._layouts[type]
        found = self._db.rows(
            "SELECT modseq, floor FROM state WHERE n = ? AND type = ?", (self._account, type)
        )
        return (found[0][0], found[0][1]) if found else (0, 0)

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        state, floor = self._state(type)
        if not floor <= since <= state:
            return None
        if since == state:
            return Changes([], [], [], state, False, frozenset())
        entries = self._entries(type, since)
        try:
            return coalesce(entries, limit, state)
        finally:
            entries.close()

    def _entries(self, type: str, since: int) -> Generator[Entry, None, None]:
        try:
            cursor = self._db.db.execute(
                "SELECT id, kind, modseq, names FROM log"
                " WHERE n = ? AND type = ? AND modseq > ? ORDER BY modseq",
                (self._account, type, since),
            )
            for id, kind, modseq, names in cursor:
                yield Entry(type, id, kind, modseq, decode_names(names))
        except apsw.Error as error:
            raise translated(error) from error

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        first, last = order.bounds(self._account)
        found = self._db.rows(
            "SELECT value FROM json_each(?) WHERE EXISTS"
            "(SELECT 1 FROM blob WHERE blob.blob = value AND rid BETWEEN ? AND ?)",
            (msgspec.json.encode(list(ids)).decode(), first, last),
        )
        return {id for (id,) in found}


def decode_names(names: str | None) -> frozenset[str] | None:
    return None if names is None else frozenset(msgspec.json.decode(names, type=list[str]))


_: type[Snapshot] = Reads
