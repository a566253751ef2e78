"""The tables of the SQLite store, and how an older database becomes a new one.

For each Table T: ``rec:T`` (the records), ``cold:T``, ``mem:T:p`` (the members of property p), ``fts:T``.
"""

import string
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from veredus.ports import Table
from veredus.store import sqlite_leases
from veredus.store.moving import divided
from veredus.store.order import ACCOUNT_SHIFT
from veredus.store.refused import Refused
from veredus.store.sqlite_connection import Connection
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import JsonObject

# The version of what is the same for all tables; MIGRATIONS[n] leads from version n to n + 1.
VERSION = 2

# ``whole``: the stamp of what is here of the account. The others: of what is being loaded, if something is.
_LOADING = """
CREATE TABLE loading(account TEXT PRIMARY KEY, whole TEXT NOT NULL DEFAULT '', stamp TEXT, n INTEGER,
  place TEXT) WITHOUT ROWID;
"""
MIGRATIONS: dict[int, str] = {1: sqlite_leases.SCHEMA + _LOADING}

_COMMON = """
CREATE TABLE account(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, modseq INTEGER NOT NULL);
CREATE TABLE state(n INTEGER, type TEXT, modseq INTEGER NOT NULL, floor INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(n, type)) WITHOUT ROWID;
CREATE TABLE log(seq INTEGER PRIMARY KEY, n INTEGER NOT NULL, type TEXT NOT NULL, modseq INTEGER NOT NULL,
  id TEXT NOT NULL, kind TEXT NOT NULL, names TEXT, at INTEGER NOT NULL);
CREATE UNIQUE INDEX log_of_type ON log(n, type, modseq);
CREATE TABLE blob(blob TEXT, rid INTEGER, type TEXT, PRIMARY KEY(blob, rid, type)) WITHOUT ROWID;
CREATE TABLE declared(type TEXT PRIMARY KEY, declaration TEXT NOT NULL) WITHOUT ROWID;
"""

# Text comes as words between single spaces, so everything but the space belongs to a token.
_TOKENCHARS = string.punctuation.replace("'", "''''").replace('"', '""')
_TOKENIZE = f"tokenize=\"ascii tokenchars '{_TOKENCHARS}'\""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _insert(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES(?{', ?' * (columns - 1)})"


class Layout:
    """The SQL names of one Table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.records = quoted(f"rec:{table.name}")
        self.id_index = quoted(f"id:{table.name}")
        self.cold = quoted(f"cold:{table.name}") if table.cold else None
        self.fts = quoted(f"fts:{table.name}") if table.texts else None
        own = (table.order,) if table.order else ()
        # Scalars that stand in a column of their own, typed; the order property is one of them.
        self.columns = {name: quoted(f"p_{name}") for name in dict.fromkeys((*table.scalars, *own))}
        self.members = {name: quoted(f"mem:{table.name}:{name}") for name in table.members}
        self.covers = {name: self.columns[name] for name in table.covers}
        self.indexes = {
            name: quoted(f"ix:{table.name}:{name}") for name in table.scalars if name != table.order
        }
        self.insert_record = _insert(self.records, len(self.columns) + 6)
        self.insert_member = {
            name: _insert(member, len(self.covers) + 3) for name, member in self.members.items()
        }
        self.live = frozenset(table.live)
        self.cold_names = frozenset(table.cold)
        # Properties whose change touches the live part and their own members alone.
        self.simple = self.live - set(table.covers) - set(table.blobs)
        covers = "".join(f", {column}" for column in self.covers.values())
        self.select_live = (
            f"SELECT rid, id{covers}, CAST(live AS BLOB) FROM {self.records} WHERE a = ? AND id = ?"
        )

    def part(self, property: str) -> str:
        """Which of the stored JSON objects holds the property."""
        if property in self.live or property == "id":
            return "live"
        return "cold" if property in self.cold_names else "fixed"


def sql_value(value: Any) -> Any:
    """A JSON scalar as a column keeps it: booleans as blobs, so that true is not 1."""
    match value:
        case True:
            return b"\x01"
        case False:
            return b"\x00"
        case int() if not -(2**63) <= value < 2**63:
            return float(value)
        case int() | float() | str():
            return value
        case _:
            return None


def newer(version: int) -> str:
    """Why a database of this version is refused."""
    return (
        f"the database is of a newer version ({version}) than this program ({VERSION})"
        " - run the newer program, or restore a backup that an older one made"
    )


def migrate(db: Connection, layouts: Iterable[Layout]) -> None:
    """Bring the database to this version and these tables; runs inside a transaction of the caller."""
    version: int = db.number("PRAGMA user_version")
    if version > VERSION:
        raise Refused(newer(version))
    if version == 0:
        db.run(_COMMON + sqlite_leases.SCHEMA + _LOADING)
    else:
        for step in range(version, VERSION):
            db.run(MIGRATIONS[step])
    db.run(f"PRAGMA user_version = {VERSION}")
    for layout in layouts:
        _declare(db, layout)


def _declare(db: Connection, layout: Layout) -> None:
    declaration = msgspec.json.encode(layout.table).decode()
    found = db.rows("SELECT declaration FROM declared WHERE type = ?", (layout.name,))
    if found and found[0][0] == declaration:
        return
    if found:
        _rebuild(db, Layout(msgspec.json.decode(found[0][0], type=Table)), layout)
    else:
        for statement in [*_record_tables(layout), *_text_table(layout)]:
            db.run(statement)
    db.run("REPLACE INTO declared VALUES(?, ?)", (layout.name, declaration))


def _record_tables(layout: Layout) -> list[str]:
    columns = "".join(f", {column}" for column in layout.columns.values())
    covers = "".join(f", {column}" for column in layout.covers.values())
    statements = [
        f"CREATE TABLE {layout.records}(rid INTEGER PRIMARY KEY, a INTEGER NOT NULL, id TEXT NOT NULL,"
        f" texts INTEGER NOT NULL{columns}, live TEXT NOT NULL, fixed TEXT NOT NULL)",
        f"CREATE UNIQUE INDEX {layout.id_index} ON {layout.records}(a, id)",
    ]
    if layout.cold:
        statements.append(f"CREATE TABLE {layout.cold}(rid INTEGER PRIMARY KEY, json TEXT NOT NULL)")
    for name, index in layout.indexes.items():
        statements.append(f"CREATE INDEX {index} ON {layout.records}(a, {layout.columns[name]})")
    statements.extend(
        f"CREATE TABLE {member}(key TEXT, rid INTEGER, id TEXT NOT NULL{covers}, PRIMARY KEY(key, rid))"
        " WITHOUT ROWID"
        for member in layout.members.values()
    )
    return statements


def _text_table(layout: Layout) -> list[str]:
    if layout.fts is None:
        return []
    fields = ", ".join(quoted(field) for field in layout.table.texts)
    return [
        f"CREATE VIRTUAL TABLE {layout.fts} USING"
        f" fts5({fields}, content='', contentless_delete=1, {_TOKENIZE})"
    ]


def _rebuild(db: Connection, old: Layout, new: Layout) -> None:
    """Index the records anew after the declaration of their table changed. Row numbers stay."""
    if old.table.order != new.table.order:
        raise Refused(f"the order of {new.name} cannot change - run the program that declared it so")
    texts_kept = old.table.texts == new.table.texts
    db.run(f"CREATE TEMP TABLE moved AS {_whole(old)}")
    for name in (old.records, old.cold, *old.members.values(), None if texts_kept else old.fts):
        if name is not None:
            db.run(f"DROP TABLE {name}")
    # Full text cannot be had from the records; it comes back as they are put again.
    for statement in [*_record_tables(new), *([] if texts_kept else _text_table(new))]:
        db.run(statement)
    db.run("DELETE FROM blob WHERE type = ?", (new.name,))
    for rid, texts, live, fixed, cold in db.rows("SELECT rid, texts, live, fixed, cold FROM moved"):
        record = {
            name: value
            for part in (live, fixed, cold)
            if part is not None
            for name, value in msgspec.json.decode(part).items()
        }
        insert(db, new, rid, record, bool(texts) and texts_kept)
    db.run("DROP TABLE moved")


def _whole(layout: Layout) -> str:
    if layout.cold is None:
        return f"SELECT rid, texts, live, fixed, NULL AS cold FROM {layout.records}"
    return (
        f"SELECT r.rid, r.texts, r.live, r.fixed, c.json AS cold"
        f" FROM {layout.records} r LEFT JOIN {layout.cold} c ON c.rid = r.rid"
    )


def insert(db: Connection, layout: Layout, rid: int, record: JsonObject, has_texts: bool) -> None:
    """Write a record that is not there, and all its index rows except full text."""
    live, fixed, cold = divided(layout.table, record)
    columns = [sql_value(record.get(name)) for name in layout.columns]
    db.run(
        layout.insert_record,
        (rid, rid >> ACCOUNT_SHIFT, record["id"], has_texts, *columns, live.decode(), fixed.decode()),
    )
    if cold is not None:
        db.run(f"INSERT INTO {layout.cold} VALUES(?, ?)", (rid, cold.decode()))
    covers = tuple(sql_value(record.get(name)) for name in layout.covers)
    for name in layout.members:
        add_members(db, layout, name, member_keys(record.get(name)), (rid, record["id"], *covers))
    for blob in blob_ids(layout.table, record):
        db.run("INSERT INTO blob VALUES(?, ?, ?)", (blob, rid, layout.name))


def add_members(
    db: Connection, layout: Layout, name: str, keys: Iterable[str], payload: Sequence[Any]
) -> None:
    """``payload``: rid, id and the covers."""
    for key in keys:
        db.run(layout.insert_member[name], (key, *payload))


def remove_members(db: Connection, layout: Layout, name: str, keys: Iterable[str], rid: int) -> None:
    for key in keys:
        db.run(f"DELETE FROM {layout.members[name]} WHERE key = ? AND rid = ?", (key, rid))
