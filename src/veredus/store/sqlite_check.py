"""What must hold of a SQLite database, beyond what SQLite itself checks."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from veredus.store import order
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_schema import Layout, blob_ids, member_keys, sql_value
from veredus.wire.types import JsonObject

_SHOWN = 100


def check(db: Connection, layouts: list[Layout]) -> list[str]:
    """Every broken invariant, at most so many of each kind. Reads everything."""
    problems = [f"sqlite: {line}" for (line,) in db.rows("PRAGMA integrity_check") if line != "ok"]
    if problems:
        return problems
    for layout in layouts:
        for _, problem in zip(range(_SHOWN), _table(db, layout), strict=False):
            problems.append(f"{layout.name}: {problem}")
    for _, problem in zip(range(_SHOWN), _log(db, layouts), strict=False):
        problems.append(problem)
    return problems


def _table(db: Connection, layout: Layout) -> Iterator[str]:
    """Compares what the records say with what the indexes hold."""
    members: Counter[int] = Counter()
    blobs: set[tuple[str, int]] = set()
    texts: set[int] = set()
    accounts = {n for (n,) in db.rows("SELECT n FROM account")}
    for rid, account, id, has_texts, record, columns in _records(db, layout):
        if rid >> order.ACCOUNT_SHIFT != account or account not in accounts:
            yield f"{id}: row {rid} is not of account {account}"
        if record.get("id") != id:
            yield f"{id}: the record says id {record.get('id')}"
        expected = [sql_value(record.get(name)) for name in layout.columns]
        if expected != columns:
            yield f"{id}: columns {columns}, the record says {expected}"
        covers = [sql_value(record.get(name)) for name in layout.covers]
        for name in layout.members:
            for key in member_keys(record.get(name)):
                members[hash((name, key, rid, id, *covers))] += 1
        blobs |= {(blob, rid) for blob in blob_ids(layout.table, record)}
        if has_texts:
            texts.add(rid)
    yield from _members(db, layout, members)
    yield from _differences("blob reference", blobs, _pairs(db, layout))
    if layout.fts:
        yield from _differences(
            "full text", texts, {rid for (rid,) in db.rows(f"SELECT rowid FROM {layout.fts}")}
        )


def _records(db: Connection, layout: Layout) -> Iterator[tuple[int, int, str, bool, JsonObject, list[Any]]]:
    columns = "".join(f", r.{column}" for column in layout.columns.values())
    cold = ", c.json" if layout.cold else ", NULL"
    join = f" LEFT JOIN {layout.cold} c ON c.rid = r.rid" if layout.cold else ""
    for row in db.db.execute(
        f"SELECT r.rid, r.a, r.id, r.texts, r.live, r.fixed{cold}{columns} FROM {layout.records} r{join}"
    ):
        rid, account, id, has_texts, *parts = row[:7]
        record: JsonObject = {}
        for part in parts:
            record |= msgspec.json.decode(part or "{}")
        yield rid, account, id, bool(has_texts), record, list(row[7:])


def _members(db: Connection, layout: Layout, expected: Counter[int]) -> Iterator[str]:
    """By hash, so that a large database does not fill the memory with keys."""
    covers = "".join(f", {column}" for column in layout.covers.values())
    for name, member in layout.members.items():
        for key, rid, id, *payload in db.db.execute(f"SELECT key, rid, id{covers} FROM {member}"):
            entry = hash((name, key, rid, id, *payload))
            if not expected[entry]:
                yield f"{name}: {key!r} of {id} stands in the index, not in the record"
            expected[entry] -= 1
    missing = sum(count for count in expected.values() if count > 0)
    if missing:
        yield f"{missing} members of records are not in the index"


def _pairs(db: Connection, layout: Layout) -> set[tuple[str, int]]:
    rows = db.rows("SELECT blob, rid FROM blob WHERE type = ?", (layout.name,))
    return {(blob, rid) for blob, rid in rows}


def _differences(what: str, expected: set[Any], found: set[Any]) -> Iterator[str]:
    for one in sorted(expected - found):
        yield f"{what} missing: {one}"
    for one in sorted(found - expected):
        yield f"{what} of no record: {one}"


def _log(db: Connection, layouts: list[Layout]) -> Iterator[str]:
    """The log is an unbroken sequence above the floor of each type, and ends at its state; that of
    ``Table.creations`` is the last creation."""
    logged = {layout.name: (layout.name, "%") for layout in layouts}
    logged |= {
        layout.table.creations: (layout.name, "created") for layout in layouts if layout.table.creations
    }
    for n, name, state in db.rows("SELECT n, type, modseq FROM state"):
        if name not in logged:  # of a declaration that has changed, or of a plug-in that is gone
            continue
        type, kind = logged[name]
        last = db.number(
            "SELECT coalesce(max(modseq), 0) FROM log WHERE n = ? AND type = ? AND kind LIKE ?",
            (n, type, kind),
        )
        floor = db.number("SELECT floor FROM state WHERE n = ? AND type = ?", (n, type))
        if state != last and not (last == 0 and state <= floor):
            yield f"account {n}: the state of {name} is {state}, its last change {last}"
    for n, modseq, last in db.rows(
        "SELECT n, modseq, (SELECT max(modseq) FROM state WHERE state.n = account.n) AS last FROM account"
        " WHERE modseq <> coalesce(last, 0)"
    ):
        yield f"account {n}: modseq {modseq}, its last state {last}"
    for n, type in db.rows("SELECT DISTINCT n, type FROM log EXCEPT SELECT n, type FROM state"):
        yield f"account {n}: changes of {type}, but no state"
    for seq, n in db.rows(
        "SELECT seq, n FROM"
        " (SELECT seq, n, modseq, lag(modseq) OVER (PARTITION BY n ORDER BY seq) AS before FROM log)"
        " WHERE modseq <> before + 1"
    ):
        yield f"account {n}: change {seq} does not follow the one before"
