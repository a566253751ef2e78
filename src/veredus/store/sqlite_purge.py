"""Removing what nobody sees of an account: an attempt to load it, or what was there before it was loaded."""

from collections.abc import Mapping

from veredus.store import moving, order, projection
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_schema import Layout
from veredus.store.sqlite_writer import Writer
from veredus.store.values import blob_ids, member_keys


async def purge(writer: Writer, layouts: Mapping[str, Layout], account: int) -> None:
    """In short transactions; its row in ``account`` goes last."""
    for layout in layouts.values():
        removed = 1
        while removed:
            async with writer.transaction() as db:
                removed = _remove(db, layout, account)
    async with writer.transaction() as db:
        db.run("DELETE FROM account WHERE n = ?", (account,))


def _remove(db: Connection, layout: Layout, account: int) -> int:
    """A bounded number of records; how many."""
    cold = "CAST(c.json AS BLOB)" if layout.cold else "NULL"
    join = f"LEFT JOIN {layout.cold} c ON c.rid = r.rid" if layout.cold else ""
    rows = db.rows(
        f"SELECT r.rid, CAST(r.live AS BLOB), CAST(r.fixed AS BLOB), {cold} FROM {layout.records} r {join}"
        " WHERE r.rid BETWEEN ? AND ? ORDER BY r.rid LIMIT ?",
        (*order.bounds(account), moving.RECORDS_AT_ONCE),
    )
    if not rows:
        return 0
    picker = projection.picker(frozenset((*layout.table.members, *layout.table.blobs)))
    records = picker.read(
        projection.splice(projection.splice(live, fixed), cold or b"{}") for _, live, fixed, cold in rows
    )
    rids = [row[0] for row in rows]
    for name, member in layout.members.items():
        keys = [
            (key, rid)
            for rid, record in zip(rids, records, strict=True)
            for key in member_keys(record.get(name))
        ]
        db.run_many(f"DELETE FROM {member} WHERE key = ? AND rid = ?", keys)
    blobs = [
        (blob, rid, layout.name)
        for rid, record in zip(rids, records, strict=True)
        for blob in blob_ids(layout.table, record)
    ]
    db.run_many("DELETE FROM blob WHERE blob = ? AND rid = ? AND type = ?", blobs)
    for table in (layout.records, layout.cold):
        if table:
            db.run(f"DELETE FROM {table} WHERE rid BETWEEN ? AND ?", (rids[0], rids[-1]))
    if layout.fts:
        db.run_many(f"DELETE FROM {layout.fts} WHERE rowid = ?", [(rid,) for rid in rids])
    return len(rids)
