"""Dump and load of an account of a PostgreSQL database (ADR 0023).

An account is loaded under a name and a number that nobody knows; at its end the two change places. How far it
has come stands in the table ``loading``; ``whole`` is the stamp of what is here.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from veredus.ports import Unavailable
from veredus.ports.moving import Dump, Head, LogRow, LogRows, Pieces, Row, Rows
from veredus.store import dump_files, moving
from veredus.store.moving import Loader
from veredus.store.postgres.pool import Pool
from veredus.store.postgres.purge import purge
from veredus.store.postgres.reads import NO_ACCOUNT, decode_states
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.values import key, member
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import Id, JsonObject

Layouts = Mapping[str, Layout]

# A dump or a load takes as long as it takes.
PATIENT = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
# Rows that a cursor gives at once.
_FETCHED = 250


# ---------------------------------------------------------------- dump


async def dump(connection: Any, layouts: Layouts, id: Id, after: str | None) -> Pieces:
    """``connection``: in a transaction that sees one moment, and lasts until the iterator ends."""
    await connection.execute(PATIENT)
    found = await connection.fetchrow("SELECT a, modseq, states FROM account WHERE id = $1", id)
    account, modseq, states = found or (NO_ACCOUNT, 0, "{}")
    yield await head_of(connection, layouts, id, account, modseq, states)
    first, begin = moving.place_of(after)
    for layout in layouts.values():
        if first is not None and layout.name != first:
            continue
        first = None
        async for piece in _pieces(connection, layout, account, begin):
            yield piece
        begin = -1
    last = 0
    while rows := await connection.fetch(
        "SELECT modseq, type, id, kind, names, at FROM log WHERE a = $1 AND modseq > $2"
        " ORDER BY modseq LIMIT $3",
        *(account, last, moving.LOG_ROWS_AT_ONCE),
    ):
        last = rows[-1][0]
        yield LogRows([LogRow(*row) for row in rows])


async def head_of(connection: Any, layouts: Layouts, id: Id, account: int, modseq: int, encoded: str) -> Head:
    """``encoded``: the states, as they are stored."""
    unlogged = []
    for layout in layouts.values():
        if not layout.table.logged:
            unlogged += [row._replace(texts=None) async for _, row in records(connection, layout, account)]
    tables = tuple(layout.table for layout in layouts.values())
    counts = {
        layout.name: await connection.fetchval(f"SELECT count(*) FROM {layout.records} WHERE a = $1", account)
        for layout in layouts.values()
    }
    states = dict(decode_states(encoded))
    return Head(id, moving.stamp(modseq, states, tables, unlogged), modseq, states, tables, counts)


async def records(
    connection: Any, layout: Layout, account: int, after: int = -1, since: int | None = None
) -> AsyncIterator[tuple[int, Row]]:
    """Their places and the records behind one of them; ``since``: changed after that modseq."""
    cold = "c.json" if layout.cold else "NULL::bytea"
    join = f" LEFT JOIN {layout.cold} c ON c.a = r.a AND c.rid = r.rid" if layout.cold else ""
    texts = "".join(f", t.{column}" for column in layout.texts.values())
    if layout.txt:
        join += f" LEFT JOIN {layout.txt} t ON t.a = r.a AND t.rid = r.rid"
    of_log = " AND r.id IN (SELECT id FROM log WHERE a = $1 AND type = $3 AND modseq > $4)"
    if since is None:
        of_log = ""
    cursor = await connection.cursor(
        f"SELECT r.rid, r.id, r.texts, r.live, r.fixed, {cold}{texts} FROM {layout.records} r{join}"
        f" WHERE r.a = $1 AND r.rid > $2{of_log} ORDER BY r.a, r.rid",
        *(account, after, *(() if since is None else (layout.name, since))),
    )
    fields = layout.table.texts
    while rows := await cursor.fetch(_FETCHED):
        for rid, id, has_texts, live, fixed, cold_part, *fulltext in rows:
            given = zip(fields, fulltext, strict=True)
            text = {field: text for field, text in given if text is not None} if has_texts else None
            yield rid, Row(id, live, fixed, cold_part, text)


async def _pieces(connection: Any, layout: Layout, account: int, after: int) -> AsyncIterator[Rows]:
    portion = moving.Portion()
    async for place, row in records(connection, layout, account, after):
        if portion.add(row):
            yield Rows(layout.name, moving.place(layout.name, place), portion.take())
    if portion.rows:
        yield Rows(layout.name, moving.place(layout.name, place), portion.take())


async def backup(connection: Any, layouts: Layouts, directory: str) -> None:
    """Dumps of all accounts at one moment. ``connection``: in a transaction that sees one moment."""
    await connection.execute(PATIENT)
    for (id,) in await connection.fetch("SELECT id FROM account ORDER BY id"):
        if not id.startswith(moving.HIDDEN):
            await dump_files.write(directory, id, dump(connection, layouts, id, None))


# ---------------------------------------------------------------- load


async def loaded(readers: Pool) -> dict[Id, str]:
    return dict(await readers.fetch("SELECT account, whole FROM loading"))


async def load(writers: Pool, layouts: Layouts, id: Id, dump: Dump) -> None:
    """Everything before the log in short transactions; log, states and name in one."""
    for (account,) in await writers.fetch("SELECT a FROM account WHERE id LIKE $1", (moving.GONE + "%",)):
        await purge(writers, layouts, account)
    found = await writers.fetch("SELECT stamp, place, a FROM loading WHERE account = $1", (id,))
    stamp, place, account = found[0] if found else (None, None, None)
    head, pieces, goes_on = await moving.resumed(dump, stamp, place)
    try:
        loaders = moving.loaders({name: layout.table for name, layout in layouts.items()}, head)
        if not goes_on:
            if account is not None:
                await purge(writers, layouts, account)
            account = await _begin(writers, id, head)
        arriving = _Arriving(writers, layouts, id, account)
        log = await arriving.records(loaders, pieces)
        replaced = await _finish(writers, id, account, head, log, pieces)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Unavailable(f"account {id} is being loaded by another process, too: {error}") from error
    finally:
        await pieces.aclose()
    if replaced is not None:
        await purge(writers, layouts, replaced)


async def _begin(writers: Pool, id: Id, head: Head) -> int:
    async with writers.connection() as connection:
        account: int = await connection.fetchval(
            "INSERT INTO account(id) VALUES($1) RETURNING a", moving.staged(id)
        )
        await connection.execute(
            "INSERT INTO loading(account, stamp, a) VALUES($1, $2, $3)"
            " ON CONFLICT(account) DO UPDATE SET stamp = $2, a = $3, place = NULL",
            *(id, head.stamp, account),
        )
        await writers.commit(connection)
    return account


class _Arriving:
    """The records of an account on their way into the tables."""

    def __init__(self, writers: Pool, layouts: Layouts, id: Id, account: int) -> None:
        self._writers, self._layouts, self._id, self._a = writers, layouts, id, account

    async def records(self, loaders: Mapping[str, Loader], pieces: Pieces) -> LogRows | None:
        """Takes them all. The first piece of the log, which ends them."""
        arrivals = (await self._writers.fetch("SELECT arrivals FROM account WHERE a = $1", (self._a,)))[0][0]
        async for piece in pieces:
            if isinstance(piece, LogRows):
                return piece
            if isinstance(piece, Rows):
                arrivals = await self._piece(piece, loaders[piece.type], arrivals)
        return None

    async def _piece(self, piece: Rows, loader: Loader, arrivals: int) -> int:
        layout, rows = self._layouts[piece.type], loader.rows(piece)
        records = loader.indexed(rows)
        rids = [layout.rid(record, arrivals + n) for n, record in enumerate(records, 1)]
        tables = _tables(layout, self._a, rids, rows, records)
        arrivals += len(rows)
        async with self._writers.connection() as connection:
            for table, columns, records in tables:
                if records:
                    await connection.copy_records_to_table(table, records=records, columns=columns)
            await connection.execute("UPDATE account SET arrivals = $2 WHERE a = $1", self._a, arrivals)
            await connection.execute(
                "UPDATE loading SET place = $2 WHERE account = $1", self._id, piece.place
            )
            await self._writers.commit(connection)
        return arrivals


def _plain(quoted: str) -> str:
    """A name as asyncpg wants it, which puts quotes around it."""
    return quoted[1:-1].replace('""', '"')


def _tables(
    layout: Layout, account: int, rids: Sequence[int], rows: Sequence[Row], records: Sequence[JsonObject]
) -> list[tuple[str, list[str], list[Any]]]:
    """What is copied: table, columns, rows."""
    placed = list(zip(rids, rows, records, strict=True))
    columns = [*map(_plain, layout.columns.values())]
    of_record = ["a", "rid", "id", "texts", *columns, "live", "fixed"]
    tables: list[tuple[str, list[str], list[Any]]] = [
        (
            _plain(layout.records),
            of_record,
            [
                (account, rid, row.id, row.texts is not None, *layout.keys(record), row.live, row.fixed)
                for rid, row, record in placed
            ],
        ),
        (
            "blob",
            ["a", "blob", "type", "rid"],
            [
                (account, blob, layout.name, rid)
                for rid, _, record in placed
                for blob in blob_ids(layout.table, record)
            ],
        ),
    ]
    if layout.cold:
        cold = [(account, rid, row.cold or b"{}") for rid, row, _ in placed]
        tables.append((_plain(layout.cold), ["a", "rid", "json"], cold))
    covers = list(map(_plain, layout.covers.values()))
    for name, table in layout.members.items():
        members = [
            (account, member(one), rid, row.id, *(key(record.get(cover)) for cover in layout.covers))
            for rid, row, record in placed
            for one in sorted(member_keys(record.get(name)))
        ]
        tables.append((_plain(table), ["a", "key", "rid", "id", *covers], members))
    if layout.txt:
        texts = {rid: row.texts for rid, row, _ in placed if row.texts is not None}
        tables.append(text_rows(layout, account, texts))
    return tables


def text_rows(
    layout: Layout, account: int, texts: Mapping[int, Mapping[str, str]]
) -> tuple[str, list[str], list[Any]]:
    """Full text by place: table, columns, rows."""
    assert layout.txt is not None
    rows = [(account, rid, *(text.get(field) for field in layout.texts)) for rid, text in texts.items()]
    return _plain(layout.txt), ["a", "rid", *map(_plain, layout.texts.values())], rows


async def _finish(
    writers: Pool, id: Id, account: int, head: Head, log: LogRows | None, pieces: Pieces
) -> int | None:
    """The account is what was loaded. The number of the one it was before."""
    async with writers.connection() as connection:
        await connection.execute(PATIENT)
        replaced: int | None = await connection.fetchval("SELECT a FROM account WHERE id = $1 FOR UPDATE", id)
        writer: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        if log is not None:
            await copy_log(connection, account, writer, log)
        async for piece in pieces:
            if isinstance(piece, LogRows):
                await copy_log(connection, account, writer, piece)
        if replaced is not None:
            await connection.execute("DELETE FROM log WHERE a = $1", replaced)
            await connection.execute(
                # Who still reads it is told by the writer that it is another one.
                "UPDATE account SET id = $2, modseq = 0, states = '{}', writer = $3 WHERE a = $1",
                *(replaced, f"{moving.GONE}{replaced}", writer),
            )
        await connection.execute(
            "UPDATE account SET id = $2, modseq = $3, states = $4::text::jsonb, writer = $5 WHERE a = $1",
            *(account, id, head.modseq, msgspec.json.encode(head.states).decode(), writer),
        )
        await connection.execute(
            "UPDATE loading SET whole = stamp, stamp = NULL, a = NULL, place = NULL WHERE account = $1", id
        )
        await writers.commit(connection)
    return replaced


async def copy_log(connection: Any, account: int, writer: int, log: LogRows) -> None:
    await connection.copy_records_to_table(
        "log",
        columns=["a", "modseq", "type", "id", "kind", "names", "at", "writer"],
        records=[(account, *row, writer) for row in log.rows],
    )
