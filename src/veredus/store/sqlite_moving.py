"""Dump and load of an account of a SQLite database (ADR 0023).

An account is loaded under a name and a number that nobody knows; at its end the two change places. How far it
has come stands in the table ``loading``.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from heapq import merge
from itertools import islice, starmap

from msgspec import Struct

from veredus.ports import Unavailable
from veredus.ports.moving import Dump, Head, LogRow, LogRows, Pieces, Row, Rows
from veredus.store import moving, order
from veredus.store.moving import Loader
from veredus.store.sqlite_connection import AS_EVER, Connection
from veredus.store.sqlite_purge import purge
from veredus.store.sqlite_schema import Layout, quoted, sql_value
from veredus.store.sqlite_writer import Writer
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import Id, JsonObject

Layouts = Mapping[str, Layout]

# What was loaded last may be loaded again after a failure of power: no need to wait for the disk. The indexes
# are written all over, so they must fit into memory.
_LOADS = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -262144"


# ---------------------------------------------------------------- dump


async def dump(connection: Connection, layouts: Layouts, id: Id, after: str | None) -> Pieces:
    """``connection``: in a read transaction that lasts until the iterator ends."""
    found = connection.rows("SELECT n, modseq FROM account WHERE id = ?", (id,))
    account, modseq = found[0] if found else (-1, 0)
    yield await connection.in_thread(lambda: head_of(connection, layouts, id, account, modseq))
    first, begin = moving.place_of(after)
    for layout in layouts.values():
        if first is not None and layout.name != first:
            continue
        first = None
        # Closed here: else the thread that went on with it last may do so, while the connection is in use.
        with closing(_pieces(connection, layout, account, begin)) as pieces:
            begin = -1
            while (piece := await connection.in_thread(lambda: next(pieces, None))) is not None:
                yield piece
    with closing(log_rows(connection, account)) as log:
        while rows := await connection.in_thread(lambda: list(islice(log, moving.LOG_ROWS_AT_ONCE))):
            yield LogRows(rows)


def head_of(connection: Connection, layouts: Layouts, id: Id, account: int, modseq: int) -> Head:
    first, last = order.bounds(account)
    rows = connection.rows("SELECT type, modseq, floor FROM state WHERE n = ?", (account,))
    states = {type: (state, floor) for type, state, floor in rows}
    tables = tuple(layout.table for layout in layouts.values())
    unlogged = (
        row
        for layout in layouts.values()
        if not layout.table.logged
        for _, row in records(connection, layout, account)
    )
    return Head(
        id,
        moving.stamp(modseq, states, tables, unlogged),
        modseq,
        states,
        tables,
        {
            layout.name: connection.number(
                f"SELECT count(*) FROM {layout.records} WHERE rid BETWEEN ? AND ?", (first, last)
            )
            for layout in layouts.values()
        },
    )


def records(
    connection: Connection, layout: Layout, account: int, after: int = -1, since: int | None = None
) -> Iterator[tuple[int, Row]]:
    """Row numbers within the account, and records behind one of them; ``since``: changed after that."""
    first, last = order.bounds(account)
    cold = "CAST(c.json AS BLOB)" if layout.cold else "NULL"
    join = f"LEFT JOIN {layout.cold} c ON c.rid = r.rid" if layout.cold else ""
    test = "r.rid > ? AND r.rid <= ?"
    values: list[int | str] = [first + after, last]
    if since is not None:
        test += " AND r.a = ? AND r.id IN (SELECT id FROM log WHERE n = ? AND type = ? AND modseq > ?)"
        values += [account, account, layout.name, since]
    for rid, id, live, fixed, cold_part in connection.each(
        f"SELECT r.rid, r.id, CAST(r.live AS BLOB), CAST(r.fixed AS BLOB), {cold}"
        f" FROM {layout.records} r {join} WHERE {test} ORDER BY r.rid",
        values,
    ):
        yield rid - first, Row(id, live, fixed, cold_part, None)


def _pieces(connection: Connection, layout: Layout, account: int, after: int) -> Generator[Rows, None, None]:
    place = after

    def rows() -> Iterator[Row]:
        nonlocal place
        for number, row in records(connection, layout, account, after):
            place = number
            yield row

    for portion in moving.portions(rows()):
        yield Rows(layout.name, moving.place(layout.name, place), portion)


def log_rows(connection: Connection, account: int, since: int = 0) -> Generator[LogRow, None, None]:
    """The log has an index for each type, none for all of an account."""
    types = [type for (type,) in connection.rows("SELECT type FROM state WHERE n = ?", (account,))]
    return merge(
        *(
            starmap(
                LogRow,
                connection.each(
                    "SELECT modseq, type, id, kind, names, at FROM log WHERE n = ? AND type = ?"
                    " AND modseq > ? ORDER BY modseq",
                    (account, type, since),
                ),
            )
            for type in types
        )
    )


# ---------------------------------------------------------------- load


def loaded(connection: Connection) -> dict[Id, str]:
    return dict(connection.rows("SELECT account, whole FROM loading"))


async def load(writer: Writer, layouts: Layouts, id: Id, dump: Dump) -> None:
    """Everything before the log in short transactions; log, states and name in one."""
    async with writer.transaction() as db:
        gone = db.rows("SELECT n FROM account WHERE id GLOB ?", (moving.GONE + "*",))
        found = db.rows("SELECT stamp, place, n FROM loading WHERE account = ?", (id,))
    for (account,) in gone:
        await purge(writer, layouts, account)
    stamp, place, account = found[0] if found else (None, None, None)
    head, pieces, goes_on = await moving.resumed(dump, stamp, place)
    try:
        await writer.set_up(_LOADS)
        loaders = moving.loaders({name: layout.table for name, layout in layouts.items()}, head)
        if not goes_on:
            if account is not None:
                await purge(writer, layouts, account)
            account, place = await _begin(writer, id, head), None
        load = _Load(id, account, place)
        log = await _load_records(writer, layouts, load, loaders, pieces)
        await writer.set_up(AS_EVER)
        replaced = await _finish(writer, load, head, log, pieces)
    finally:
        await writer.set_up(AS_EVER)
        await pieces.aclose()
    if replaced is not None:
        await purge(writer, layouts, replaced)


class _Load(Struct):
    """An account on its way in, under the number ``account``; ``place``: how far it was stored by us."""

    id: Id
    account: int
    place: str | None

    def check(self, db: Connection) -> None:
        """Raises Unavailable: somebody else loads it, or has done so."""
        found = db.rows("SELECT n, place FROM loading WHERE account = ?", (self.id,))
        if found != [(self.account, self.place)]:
            raise Unavailable(f"somebody else loads the account {self.id}")


async def _begin(writer: Writer, id: Id, head: Head) -> int:
    async with writer.transaction() as db:
        db.run("INSERT INTO account(id, modseq) VALUES(?, 0)", (moving.staged(id),))
        account = db.db.last_insert_rowid()
        if account >= order.MAX_ACCOUNTS:
            raise Unavailable(f"a SQLite store has at most {order.MAX_ACCOUNTS - 1} accounts")
        db.run(
            "INSERT INTO loading(account, stamp, n) VALUES(?1, ?2, ?3)"
            " ON CONFLICT(account) DO UPDATE SET stamp = ?2, n = ?3, place = NULL",
            (id, head.stamp, account),
        )
    return account


async def _load_records(
    writer: Writer, layouts: Layouts, load: _Load, loaders: Mapping[str, Loader], pieces: Pieces
) -> LogRows | None:
    """The first piece of the log, which ends the records.

    Every commit writes all pages of the indexes that it has touched, so several pieces share one.
    """
    waiting: list[Rows] = []
    first: LogRows | None = None

    async def store() -> None:
        async with writer.transaction() as db:
            load.check(db)
            for piece in waiting:
                loader = loaders[piece.type]
                _insert(db, layouts[piece.type], load.account, loader, loader.rows(piece))
            db.run("UPDATE loading SET place = ? WHERE account = ?", (waiting[-1].place, load.id))
        load.place = waiting[-1].place
        waiting.clear()

    async for piece in pieces:
        if isinstance(piece, Rows):
            waiting.append(piece)
            if len(waiting) == moving.PIECES_AT_ONCE:
                await store()
        elif isinstance(piece, LogRows):
            first = piece
            break
    if waiting:
        await store()
    return first


def _insert(db: Connection, layout: Layout, account: int, loader: Loader, rows: list[Row]) -> None:
    first, last = order.bounds(account)
    used = db.number(
        f"SELECT coalesce(max(rid), ?1 - 1) FROM {layout.records} WHERE rid BETWEEN ?1 AND ?2", (first, last)
    )
    records = loader.indexed(rows)
    rids = _rids(layout, account, used, records)
    db.run_many(
        layout.insert_record,
        [
            (
                rid, account, row.id, row.texts is not None,
                *(sql_value(record.get(name)) for name in layout.columns),
                row.live.decode(), row.fixed.decode(),
            )
            for rid, row, record in zip(rids, rows, records, strict=True)
        ],
    )  # fmt: skip
    if layout.cold:
        cold = [(rid, (row.cold or b"{}").decode()) for rid, row in zip(rids, rows, strict=True)]
        db.run_many(f"INSERT INTO {layout.cold} VALUES(?, ?)", cold)
    for name in layout.members:
        db.run_many(
            layout.insert_member[name],
            [
                (key, rid, record["id"], *(sql_value(record.get(cover)) for cover in layout.covers))
                for rid, record in zip(rids, records, strict=True)
                for key in member_keys(record.get(name))
            ],
        )
    _insert_blobs(db, layout, rids, records)
    texts = {rid: row.texts for rid, row in zip(rids, rows, strict=True) if row.texts is not None}
    if texts:
        insert_texts(db, layout, texts)


def _insert_blobs(db: Connection, layout: Layout, rids: list[int], records: list[JsonObject]) -> None:
    if layout.table.blobs:
        blobs = [
            (blob, rid, layout.name)
            for rid, record in zip(rids, records, strict=True)
            for blob in blob_ids(layout.table, record)
        ]
        db.run_many("INSERT INTO blob VALUES(?, ?, ?)", blobs)


def insert_texts(db: Connection, layout: Layout, texts: Mapping[int, Mapping[str, str]]) -> None:
    """Full text by row number, where none is."""
    fields = layout.table.texts
    db.run_many(
        f"INSERT INTO {layout.fts}(rowid, {', '.join(map(quoted, fields))}) VALUES(?{', ?' * len(fields)})",
        [(rid, *(text.get(field) for field in fields)) for rid, text in texts.items()],
    )


def _rids(layout: Layout, account: int, used: int, records: list[JsonObject]) -> list[int]:
    """The row numbers of records that stand behind ``used``, in their order."""
    by = layout.table.order
    rids = []
    for record in records:
        used += 1
        if by is not None:
            second = order.second(record.get(by))
            used = max(used, order.first_of(account, second))
            if used >= order.first_of(account, second + order.MAX_SPILL + 1):
                raise Unavailable(f"too many {layout.name} records of {record.get(by)}")
        rids.append(used)
    return rids


async def _finish(writer: Writer, load: _Load, head: Head, log: LogRows | None, pieces: Pieces) -> int | None:
    """The account is what was loaded. The number of the one it was before."""
    id, account = load.id, load.account
    async with writer.transaction() as db:
        load.check(db)
        if log is not None:
            insert_log(db, account, log)
        async for piece in pieces:
            if isinstance(piece, LogRows):
                insert_log(db, account, piece)
        db.run_many(
            "INSERT INTO state(n, type, modseq, floor) VALUES(?, ?, ?, ?)",
            [(account, type, state, floor) for type, (state, floor) in head.states.items()],
        )
        found = db.rows("SELECT n FROM account WHERE id = ?", (id,))
        replaced: int | None = found[0][0] if found else None
        if replaced is not None:
            db.run("DELETE FROM log WHERE n = ?", (replaced,))
            db.run("DELETE FROM state WHERE n = ?", (replaced,))
            db.run(
                "UPDATE account SET id = ?, modseq = 0 WHERE n = ?", (f"{moving.GONE}{replaced}", replaced)
            )
        db.run("UPDATE account SET id = ?, modseq = ? WHERE n = ?", (id, head.modseq, account))
        db.run(
            "UPDATE loading SET whole = stamp, stamp = NULL, n = NULL, place = NULL WHERE account = ?", (id,)
        )
    return replaced


def insert_log(db: Connection, account: int, log: LogRows) -> None:
    db.run_many(
        "INSERT INTO log(n, modseq, type, id, kind, names, at) VALUES(?, ?, ?, ?, ?, ?, ?)",
        [(account, *row) for row in log.rows],
    )
