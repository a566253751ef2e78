"""A changed declaration of a Table: its records are indexed anew, from themselves, while they are in use.

Beside the tables of the old declaration those of the new one are made and filled, some records at a time. A
trigger notes which of the old records are written meanwhile; these are done again. When few are left, the
tables are locked, the last ones done, the old tables dropped: that is the switch. Each step is a
transaction that finds out where the last one stopped, so any number of nodes may do this at once, and any
of them may die.

Full text stays where it is when the text fields do not change; else the fields that both have are kept, and
new ones are empty until their records are put again. Row numbers stay.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from veredus.ports import Table
from veredus.store.postgres import rows
from veredus.store.postgres.rows import Stored
from veredus.store.postgres.schema import Layout, quoted, tables, text_tables
from veredus.store.postgres.step import step
from veredus.store.refused import Refused

# Records of one step.
RECORDS = 1000
# How long a table in use is waited for at a time: less than PostgreSQL takes to see a deadlock (1 s), so that
# it is never a client's transaction that has to end.
LOCK_MS = 400
_PAUSE_S = 0.3

_log = structlog.get_logger()


def layout_of(declaration: str) -> Layout:
    return Layout(msgspec.json.decode(declaration, type=Table))


def replaced(layout: Layout) -> str:
    """Why an older program may not go on."""
    return (
        f"a newer program has declared {layout.name} anew; this program is older - update it, "
        "or go back to its declarations with `veredus db migrate --back`"
    )


async def describe(connection: Any, new: Layout) -> str:
    """What ``rebuild`` has to do, for people."""
    old = layout_of(await connection.fetchval("SELECT declaration FROM declared WHERE type = $1", new.name))
    _check_order(old, new)
    count = await connection.fetchval(f"SELECT count(*) FROM {old.records}")
    differences = [
        f"{name} {_shown(getattr(old.table, name))} -> {_shown(getattr(new.table, name))}"
        for name in Table.__struct_fields__
        if getattr(old.table, name) != getattr(new.table, name)
    ]
    under_way = await connection.fetchrow(
        "SELECT records FROM rebuild WHERE type = $1 AND declaration = $2", new.name, new.declaration
    )
    begun = f", begun: {under_way[0]} are done" if under_way else ""
    return f"index {count} records of {new.name} anew ({'; '.join(differences)}{begun})"


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _check_order(old: Layout, new: Layout) -> None:
    if old.table.order != new.table.order:
        raise Refused(
            f"the order of {new.name} cannot change from {old.table.order} to {new.table.order} - "
            "run the program that declared it so"
        )


async def rebuild(connection: Any, new: Layout, *, back: bool) -> None:
    """Returns when the declaration holds, whoever brought it about. Raises Refused."""
    back_from: str | None = None
    told = False
    while True:
        try:
            async with step(connection):
                declaration, past = await connection.fetchrow(
                    "SELECT declaration, past FROM declared WHERE type = $1", new.name
                )
                if declaration == new.declaration:
                    return
                # Going back is from what was found; if somebody goes forward again meanwhile, he shall.
                if new.declaration in past and (not back or back_from not in (None, declaration)):
                    raise Refused(replaced(new))
                back_from = declaration
                await _Rebuild(connection, layout_of(declaration), new).go_on()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if not told:
                _log.info("waiting for somebody who reads for long: a backup, a check", type=new.name)
            told = True
            await asyncio.sleep(_PAUSE_S)


class _Rebuild:
    """One step of it, within its transaction."""

    def __init__(self, connection: Any, old: Layout, new: Layout) -> None:
        _check_order(old, new)
        self._db, self._old, self._new = connection, old, new
        self._todo = quoted(f"todo:{new.mark}")
        self._note = quoted(f"note:{new.mark}")
        # Rows of ``blob`` to be; None: they do not change.
        self._blobs = quoted(f"blob:{new.mark}") if old.table.blobs != new.table.blobs else None
        self._keeps_texts = old.txt == new.txt
        self._fields = [new.texts[name] for name in new.texts if name in old.texts]

    async def go_on(self) -> None:
        progress = await self._db.fetchrow(
            "SELECT declaration, a, rid, is_copied FROM rebuild WHERE type = $1", self._new.name
        )
        if progress is None:
            await self._begin()
        elif progress[0] != self._new.declaration:
            await _Rebuild(self._db, self._old, layout_of(progress[0])).give_up()
        elif not progress[3]:
            await self._copy(progress[1], progress[2])
        elif not await self._catch_up(RECORDS):
            await self._switch()

    async def _begin(self) -> None:
        new = self._new
        await self._impatient()
        texts = [] if self._keeps_texts else text_tables(new)
        for statement in [*tables(new), *texts]:
            await self._db.execute(statement)
        if self._blobs:
            await self._db.execute(f'CREATE TABLE {self._blobs}(a bigint, blob text COLLATE "C", rid bigint)')
        schema = quoted(await self._db.fetchval("SELECT current_schema()"))
        await self._db.execute(
            f"CREATE TABLE {self._todo}(n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " a bigint, rid bigint);"
            f"CREATE FUNCTION {schema}.{self._note}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF TG_OP = 'DELETE' THEN INSERT INTO {schema}.{self._todo}(a, rid) VALUES(OLD.a, OLD.rid);"
            f" ELSE INSERT INTO {schema}.{self._todo}(a, rid) VALUES(NEW.a, NEW.rid); END IF;"
            " RETURN NULL; END $$"
        )
        watched = [self._old.records, self._old.cold, None if self._keeps_texts else self._old.txt]
        # Waits for the transactions that write at this moment: they note nothing.
        for number, table in enumerate(name for name in watched if name is not None):
            await self._db.execute(
                f"CREATE TRIGGER {quoted(f'note:{new.mark}:{number}')}"
                f" AFTER INSERT OR UPDATE OR DELETE ON {table}"
                f" FOR EACH ROW EXECUTE FUNCTION {schema}.{self._note}()"
            )
        await self._db.execute(
            "INSERT INTO rebuild(type, declaration) VALUES($1, $2)", new.name, new.declaration
        )

    async def give_up(self) -> None:
        """What was begun for another program's declaration; that program must not begin again."""
        await self._impatient()
        await self._drop(self._new)
        await self._db.execute(
            f"DROP TABLE {self._todo}; DROP FUNCTION {self._note}() CASCADE"
            + (f"; DROP TABLE {self._blobs}" if self._blobs else "")
        )
        await self._db.execute(
            "UPDATE declared SET past = past || $2 WHERE type = $1", self._new.name, [self._new.declaration]
        )
        await self._db.execute("DELETE FROM rebuild WHERE type = $1", self._new.name)

    async def _drop(self, layout: Layout) -> None:
        texts = None if self._keeps_texts else layout.txt
        names = [layout.records, layout.cold, *layout.members.values(), texts]
        await self._db.execute(f"DROP TABLE {', '.join(name for name in names if name is not None)}")

    async def _impatient(self) -> None:
        await self._db.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")

    async def _copy(self, a: int, rid: int) -> None:
        found = await self._db.fetch(
            f"{rows.select(self._old)} WHERE (r.a, r.rid) > ($1, $2) ORDER BY r.a, r.rid LIMIT {RECORDS}",
            a,
            rid,
        )
        await self._write([Stored(*row) for row in found])
        if found:
            a, rid = found[-1][0], found[-1][1]
        await self._db.execute(
            "UPDATE rebuild SET a = $2, rid = $3, records = records + $4, is_copied = $5 WHERE type = $1",
            self._new.name,
            a,
            rid,
            len(found),
            len(found) < RECORDS,
        )
        if len(found) < RECORDS:
            filled = ", ".join([self._new.records, *self._new.members.values()])
            await self._db.execute(f"ANALYZE {filled}")

    async def _catch_up(self, limit: int | None) -> bool:
        """Do again what was written meanwhile; whether there may be much more of it."""
        noted = await self._db.fetch(
            f"DELETE FROM {self._todo} WHERE n IN (SELECT n FROM {self._todo} ORDER BY n LIMIT $1)"
            " RETURNING a, rid",
            limit,
        )
        places = sorted({(a, rid) for a, rid in noted})
        given = "(SELECT * FROM unnest($1::bigint[], $2::bigint[]))"
        at = ([a for a, _ in places], [rid for _, rid in places])
        new = self._new
        targets = [
            new.records,
            new.cold,
            *new.members.values(),
            None if self._keeps_texts else new.txt,
            self._blobs,
        ]
        for table in (name for name in targets if name is not None):
            await self._db.execute(f"DELETE FROM {table} WHERE (a, rid) IN {given}", *at)
        found = await self._db.fetch(f"{rows.select(self._old)} WHERE (r.a, r.rid) IN {given}", *at)
        await self._write([Stored(*row) for row in found])
        return limit is not None and len(noted) == limit

    async def _write(self, found: Sequence[Stored]) -> None:
        """Into the new tables, where these records are not."""
        new = self._new
        whole = []
        for stored in found:
            record, problems = stored.decoded()
            if not self._keeps_texts:
                stored.has_texts = stored.has_texts and bool(self._fields)
            whole.append((stored, record, not problems))
        await self._insert(new.records, [rows.record_row(new, *one) for one in whole])
        if new.cold:
            await self._insert(new.cold, [rows.cold_row(new, *one) for one in whole])
        for name, table in new.members.items():
            lists = (rows.member_rows(new, name, stored, record) for stored, record, _ in whole)
            await self._insert(table, list(itertools.chain.from_iterable(lists)))
        if self._blobs:
            lists = (rows.blob_rows(new, stored, record) for stored, record, _ in whole)
            await self._insert(self._blobs, list(itertools.chain.from_iterable(lists)))
        if self._fields and not self._keeps_texts:
            fields = ", ".join(self._fields)
            await self._db.execute(
                f"INSERT INTO {new.txt}(a, rid, {fields}) SELECT t.a, t.rid, {fields} FROM {self._old.txt} t"
                " JOIN unnest($1::bigint[], $2::bigint[]) AS u(a, rid) ON t.a = u.a AND t.rid = u.rid",
                [stored.a for stored in found],
                [stored.rid for stored in found],
            )

    async def _insert(self, table: str, given: list[Any]) -> None:
        """In the order of the table's columns."""
        if given:
            await self._db.copy_records_to_table(table[1:-1].replace('""', '"'), records=given)

    async def _switch(self) -> None:
        """From here on nobody finds the old tables; who waits for them is told that they are gone."""
        old, new = self._old, self._new
        await self._impatient()
        texts = None if self._keeps_texts else old.txt
        # The records first: every transaction that writes begins with them.
        for table in (old.records, old.cold, *old.members.values(), texts):
            if table is not None:
                await self._db.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        await self._catch_up(None)
        if self._blobs:
            await self._db.execute(
                f"DELETE FROM blob b WHERE type = $1 AND NOT EXISTS (SELECT 1 FROM {self._blobs} n"
                " WHERE n.a = b.a AND n.blob = b.blob AND n.rid = b.rid)",
                new.name,
            )
            await self._db.execute(
                f"INSERT INTO blob(a, blob, type, rid) SELECT a, blob, $1, rid FROM {self._blobs}"
                " ON CONFLICT DO NOTHING",
                new.name,
            )
            await self._db.execute(f"DROP TABLE {self._blobs}")
        await self._drop(old)
        await self._db.execute(f"DROP TABLE {self._todo}; DROP FUNCTION {self._note}()")
        await self._db.execute(
            # Going back, what came later is not past: an update goes forward to it again.
            "UPDATE declared SET declaration = $2, past = CASE WHEN array_position(past, $2) IS NULL"
            " THEN past || declaration ELSE past[1:array_position(past, $2) - 1] END WHERE type = $1",
            new.name,
            new.declaration,
        )
        await self._db.execute("DELETE FROM rebuild WHERE type = $1", new.name)
