"""What has changed in an account of a SQLite database since it was dumped, and making up for it in a copy."""

from datetime import UTC, datetime

from veredus.ports import Kind
from veredus.ports.moving import Delta, LogRows, Rows
from veredus.store import moving
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_moving import Layouts, head_of, insert_log, log_rows, records
from veredus.store.sqlite_schema import Layout
from veredus.store.sqlite_tx import Writes
from veredus.wire.types import Id


def changed_since(connection: Connection, layouts: Layouts, id: Id, stamp: str) -> Delta | None:
    """``connection``: in a read transaction."""
    found = connection.rows("SELECT n, modseq FROM account WHERE id = ?", (id,))
    if not found:
        return None
    account, modseq = found[0]
    head, since = head_of(connection, layouts, id, account, modseq), moving.modseq_of(stamp)
    if not moving.reaches_back(head, since):
        return None
    rows = [
        Rows(layout.name, "", [row for _, row in records(connection, layout, account, since=of)])
        for layout in layouts.values()
        for of in (since if layout.table.logged else None,)
    ]
    return Delta(head, list(log_rows(connection, account, since)), rows)


class _Writes(Writes):
    """What is written was logged elsewhere."""

    def _log(self, layout: Layout, id: Id, kind: Kind, names: frozenset[str] | None) -> None: ...


async def catch_up(db: Connection, layouts: Layouts, id: Id, stamp: str, delta: Delta) -> bool:
    """In a transaction of the caller."""
    found = db.rows("SELECT whole FROM loading WHERE account = ? AND n IS NULL", (id,))
    account = db.rows("SELECT n, modseq FROM account WHERE id = ?", (id,))
    if found != [(stamp,)] or not account or account[0][1] != moving.modseq_of(stamp):
        return False
    number = account[0][0]
    tx = _Writes(db, layouts, id, datetime.now(UTC))
    await moving.apply(tx, {name: layout.table for name, layout in layouts.items()}, delta)
    insert_log(db, number, LogRows(delta.log))
    db.run_many(
        "REPLACE INTO state(n, type, modseq, floor) VALUES(?, ?, ?, ?)",
        [(number, type, state, floor) for type, (state, floor) in delta.head.states.items()],
    )
    db.run("UPDATE account SET modseq = ? WHERE n = ?", (delta.head.modseq, number))
    db.run("UPDATE loading SET whole = ? WHERE account = ?", (delta.head.stamp, id))
    _forget_log(db, number, delta)
    return True


def _forget_log(db: Connection, account: int, delta: Delta) -> None:
    """What the source has forgotten meanwhile."""
    floors = [(account, type, floor) for type, (_, floor) in delta.head.states.items() if floor]
    db.run_many("DELETE FROM log WHERE n = ? AND type = ? AND modseq <= ?", floors)
