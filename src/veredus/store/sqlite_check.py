"""What must hold of a SQLite database, beyond what SQLite itself checks: the rows of each record."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from veredus.ports import Unavailable
from veredus.store import order, sqlite_check_log
from veredus.store.moving import HIDDEN
from veredus.store.sqlite_connection import Connection, translated
from veredus.store.sqlite_schema import Layout, sql_value
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import JsonObject

# SQLite's own check ends after a hundred otherwise.
_INTEGRITY = "PRAGMA integrity_check(1000000)"


class _Row(Struct):
    """A record as it was read. ``damage``: what of it could not be."""

    rid: int
    account: int
    id: str
    has_texts: bool
    record: JsonObject
    damage: list[str]
    columns: list[Any]
    misplaced: list[str]
    has_cold: bool

    def entries(self, layout: Layout) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Of the tables of members: property, member, and the whole of the row."""
        covers = [sql_value(self.record.get(name)) for name in layout.covers]
        for name in layout.members:
            for key in member_keys(self.record.get(name)):
                yield name, key, (name, key, self.rid, self.id, *covers)


def check(db: Connection, layouts: list[Layout]) -> list[str]:
    """Every broken invariant, a line each. Reads everything; what cannot be read ends no other part."""
    parts = [("sqlite: ", _integrity(db))]
    parts += [(f"{layout.name}: ", _table(db, layout)) for layout in layouts]
    parts.append(("", sqlite_check_log.check(db, layouts)))
    problems = []
    for begin, part in parts:
        try:
            for problem in part:
                problems.append(begin + problem)  # noqa: PERF401 - those before an error count, too
        except (apsw.Error, Unavailable) as error:
            said = translated(error) if isinstance(error, apsw.Error) else error
            problems.append(f"{begin}cannot be read further: {said}")
    return problems


def _integrity(db: Connection) -> Iterator[str]:
    return (line for (line,) in db.db.execute(_INTEGRITY) if line != "ok")


def _table(db: Connection, layout: Layout) -> Iterator[str]:
    """Compares what the records say with what the indexes hold."""
    found = _Found(db)
    for row in _rows(db, layout):
        if row.account in found.hidden:
            found.unread.add(row.rid)
            continue
        problems = [*row.damage] or [*_own(layout, row)]
        if row.rid >> order.ACCOUNT_SHIFT != row.account or row.account not in found.accounts:
            problems.append(f"row {row.rid} is not of account {row.account}")
        if layout.cold and not row.has_cold:
            problems.append("cold part missing")
        yield from (f"{row.id}: {problem}" for problem in problems)
        if row.damage:
            found.unread.add(row.rid)
        else:
            found.members.update(hash(entry) for _, _, entry in row.entries(layout))
            found.blobs |= {(blob, row.rid) for blob in blob_ids(layout.table, row.record)}
        found.rows.add(row.rid)
        if row.has_texts:
            found.texts.add(row.rid)
    yield from _beside(db, layout, found)


class _Found:
    """What the records have told. ``unread``: rows of records that could not be read, or are being moved."""

    def __init__(self, db: Connection) -> None:
        accounts = db.rows("SELECT n, id FROM account")
        self.accounts = {n for n, _ in accounts}
        self.hidden = {n for n, id in accounts if id.startswith(HIDDEN)}
        # By hash, so that a large database does not fill the memory with keys.
        self.members: Counter[int] = Counter()
        self.blobs: set[tuple[str, int]] = set()
        self.texts: set[int] = set()
        self.rows: set[int] = set()
        self.unread: set[int] = set()

    def knows(self, rid: int) -> bool:
        """Whether it can be said what belongs to this row."""
        return rid not in self.unread and rid >> order.ACCOUNT_SHIFT not in self.hidden


def _own(layout: Layout, row: _Row) -> Iterator[str]:
    """The row of a record by itself."""
    if row.record.get("id") != row.id:
        yield f"the record says id {row.record.get('id')}"
    expected = [sql_value(row.record.get(name)) for name in layout.columns]
    if expected != row.columns:
        yield f"columns {row.columns}, the record says {expected}"
    yield from (f"{name} stands in the wrong part" for name in row.misplaced)
    if layout.table.order:
        try:
            second = order.second(row.record.get(layout.table.order))
        except ValueError:
            yield f"{layout.table.order} is no date: {row.record.get(layout.table.order)}"
            return
        first = order.first_of(row.account, second)
        if not first <= row.rid < order.first_of(row.account, second + order.MAX_SPILL + 1):
            yield f"row {row.rid} is not of second {second}"


def _rows(db: Connection, layout: Layout) -> Iterator[_Row]:
    columns = "".join(f", r.{column}" for column in layout.columns.values())
    cold = ", CAST(c.json AS BLOB)" if layout.cold else ", NULL"
    join = f" LEFT JOIN {layout.cold} c ON c.rid = r.rid" if layout.cold else ""
    for row in db.db.execute(
        "SELECT r.rid, r.a, r.id, r.texts, CAST(r.live AS BLOB), CAST(r.fixed AS BLOB)"
        f"{cold}{columns} FROM {layout.records} r{join}"
    ):
        rid, account, id, has_texts, *parts = row[:7]
        read = _Row(rid, account, id, bool(has_texts), {}, [], list(row[7:]), [], parts[2] is not None)
        for name, part in zip(("live", "fixed", "cold"), parts, strict=True):
            try:
                values = msgspec.json.decode(part if part is not None else b"{}", type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                read.damage.append(f"its {name} part is damaged: {error}")
            else:
                read.record |= values
                read.misplaced += [one for one in values if layout.part(one) != name]
        yield read


def _beside(db: Connection, layout: Layout, found: _Found) -> Iterator[str]:
    """What stands beside the records, against what they have told."""
    yield from _members(db, layout, found)
    rows = db.rows("SELECT blob, rid FROM blob WHERE type = ?", (layout.name,))
    yield from _differences(
        "blob reference", found.blobs, {(blob, rid) for blob, rid in rows if found.knows(rid)}
    )
    if layout.cold:
        cold = {rid for (rid,) in db.rows(f"SELECT rid FROM {layout.cold}")}
        yield from (f"cold part of no record: {rid}" for rid in sorted(cold - found.rows) if found.knows(rid))
    if layout.fts:
        texts = {rid for (rid,) in db.rows(f"SELECT rowid FROM {layout.fts}")}
        texts = {rid for rid in texts if rid >> order.ACCOUNT_SHIFT not in found.hidden}
        yield from _differences("full text", found.texts, texts)


def _members(db: Connection, layout: Layout, found: _Found) -> Iterator[str]:
    covers = "".join(f", {column}" for column in layout.covers.values())
    expected = found.members
    for name, member in layout.members.items():
        for key, rid, id, *payload in db.db.execute(f"SELECT key, rid, id{covers} FROM {member}"):
            entry = hash((name, key, rid, id, *payload))
            if not expected[entry] and found.knows(rid):
                yield f"{name}: {key!r} of {id} stands in the index, not in the record"
            expected[entry] -= 1
    missing = {entry for entry, count in expected.items() if count > 0}
    for row in _rows(db, layout) if missing else ():
        for name, key, whole in row.entries(layout):
            if hash(whole) in missing:
                yield f"{name}: {key!r} of {row.id} is not in the index"


def _differences(what: str, expected: set[Any], found: set[Any]) -> Iterator[str]:
    for one in sorted(expected - found):
        yield f"{what} missing: {one}"
    for one in sorted(found - expected):
        yield f"{what} of no record: {one}"
