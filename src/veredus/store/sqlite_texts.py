"""Full text of a SQLite database that is made after the records."""

from collections.abc import Mapping

import msgspec

from veredus.store import moving, order
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_moving import insert_texts
from veredus.store.sqlite_schema import Layout
from veredus.wire.types import Id


def unindexed(
    connection: Connection, layout: Layout, account: int, before: int | None
) -> list[tuple[int, Id]]:
    """Row numbers and ids of the newest records without full text, of those before a row number."""
    if layout.fts is None:
        return []
    first, last = order.bounds(account)
    return connection.rows(
        f"SELECT rid, id FROM {layout.records} WHERE rid >= ? AND rid < ? AND NOT texts"
        " ORDER BY rid DESC LIMIT ?",
        (first, last + 1 if before is None else before, moving.RECORDS_AT_ONCE),
    )


def index(db: Connection, layout: Layout, account: int, texts: Mapping[Id, Mapping[str, str]]) -> None:
    """In a transaction of the caller."""
    rows = db.rows(
        f"SELECT rid, id FROM {layout.records} WHERE a = ? AND id IN (SELECT value FROM json_each(?))",
        (account, msgspec.json.encode(list(texts)).decode()),
    )
    rids = [(rid,) for rid, _ in rows]
    db.run_many(f"DELETE FROM {layout.fts} WHERE rowid = ?", rids)
    insert_texts(db, layout, {rid: texts[id] for rid, id in rows})
    db.run_many(f"UPDATE {layout.records} SET texts = 1 WHERE rid = ?", rids)
