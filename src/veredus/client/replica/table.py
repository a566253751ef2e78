"""The records of one type in a replica's database, and how far they are up to date. Runs in its thread."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct, field

from veredus.client.replica.words import COLUMNS, words_of
from veredus.wire.types import Id, JsonObject

_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode
_MARKS = ", ".join("?" * (len(COLUMNS) + 1))
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)


class Position(Struct, frozen=True):
    """``state`` None: no full pass has ended. ``pass_state``: one is under way, as far as ``pass_after``."""

    shape: str
    state: str | None
    pass_state: str | None
    pass_after: str | None


class Applied(Struct):
    """What a page meant to this replica: (before, after), by what happened."""

    created: list[JsonObject] = field(default_factory=list)
    updated: list[tuple[JsonObject, JsonObject]] = field(default_factory=list)
    destroyed: list[Id] = field(default_factory=list)


class Table:
    """``holds``: which records are kept."""

    def __init__(self, type: str, holds: Callable[[JsonObject], bool]) -> None:
        self.type, self._holds = type, holds

    def declare(self, db: sqlite3.Connection, user: str, account: Id) -> tuple[str, Id]:
        """(user, account) whose records these are, as the file says; it is told when it does not know."""
        db.execute(
            "INSERT OR IGNORE INTO type(name, user, account, shape) VALUES (?, ?, ?, '')",
            (self.type, user, account),
        )
        found: tuple[str, Id] = db.execute(
            "SELECT user, account FROM type WHERE name = ?", (self.type,)
        ).fetchone()
        return found

    def position(self, db: sqlite3.Connection) -> Position:
        row = db.execute(
            "SELECT shape, state, pass_state, pass_after FROM type WHERE name = ?", (self.type,)
        ).fetchone()
        return Position(*row)

    def state(self, db: sqlite3.Connection) -> str | None:
        """Up to where the records are; None: there was no full pass yet."""
        row = db.execute("SELECT state FROM type WHERE name = ?", (self.type,)).fetchone()
        return None if row is None else row[0]

    def begin_pass(self, db: sqlite3.Connection, shape: str, state: str) -> None:
        """All that is there is going to be put; what is not put by the end of it has vanished."""
        db.execute(
            "UPDATE type SET shape = ?, state = NULL, pass_state = ?, pass_after = NULL,"
            " generation = generation + 1 WHERE name = ?",
            (shape, state, self.type),
        )

    def put_pass(self, db: sqlite3.Connection, records: Sequence[JsonObject], after: str | None) -> Applied:
        """Some of all that is there; ``after``: what was received before is done."""
        applied = Applied()
        for record in records:
            self._put(db, record, applied)
        db.execute("UPDATE type SET pass_after = coalesce(?, pass_after) WHERE name = ?", (after, self.type))
        return applied

    def end_pass(self, db: sqlite3.Connection) -> Applied:
        rows = db.execute(
            "SELECT id FROM record WHERE type = ? AND generation <>"
            " (SELECT generation FROM type WHERE name = ?)",
            (self.type, self.type),
        ).fetchall()
        applied = Applied()
        self._remove(db, [id for (id,) in rows], applied)
        db.execute(
            "UPDATE type SET state = pass_state, pass_state = NULL, pass_after = NULL WHERE name = ?",
            (self.type,),
        )
        return applied

    def apply(
        self,
        db: sqlite3.Connection,
        records: Iterable[JsonObject],
        destroyed: Sequence[Id],
        state: str | None,
    ) -> Applied:
        """A page of changes, and the state that it leads to."""
        applied = Applied()
        for record in records:
            self._put(db, record, applied)
        self._remove(db, destroyed, applied)
        db.execute("UPDATE type SET state = ? WHERE name = ?", (state, self.type))
        return applied

    def prune(self, db: sqlite3.Connection) -> Applied:
        """Remove what is no longer to be kept."""
        rows = db.execute("SELECT id, json FROM record WHERE type = ?", (self.type,)).fetchall()
        applied = Applied()
        self._remove(db, [id for id, json in rows if not self._holds(_decode(json))], applied)
        return applied

    def forget(self, db: sqlite3.Connection) -> None:
        """Remove all."""
        ids = [id for (id,) in db.execute("SELECT id FROM record WHERE type = ?", (self.type,))]
        self._remove(db, ids, Applied())
        db.execute("DELETE FROM type WHERE name = ?", (self.type,))

    def _put(self, db: sqlite3.Connection, record: JsonObject, applied: Applied) -> None:
        id = record["id"]
        row = db.execute("SELECT n, json FROM record WHERE type = ? AND id = ?", (self.type, id)).fetchone()
        before = None if row is None else _decode(row[1])
        if not self._holds(record):
            if row is not None:
                self._remove(db, [id], applied)
            return
        json = _encode(record)
        if before is None:
            n = db.execute(
                "INSERT INTO record(type, id, generation, json)"
                " VALUES (?, ?, (SELECT generation FROM type WHERE name = ?), ?)",
                (self.type, id, self.type, json),
            ).lastrowid
            applied.created.append(record)
        else:
            n = row[0]
            db.execute(
                "UPDATE record SET json = ?, generation = (SELECT generation FROM type WHERE name = ?)"
                " WHERE n = ?",
                (json, self.type, n),
            )
            if before == record:
                return
            applied.updated.append((before, record))
        if self.type == "Email" and (before is None or words_of(before) != words_of(record)):
            db.execute("DELETE FROM words WHERE rowid = ?", (n,))
            db.execute(f"INSERT INTO words(rowid, {_NAMES}) VALUES ({_MARKS})", (n, *words_of(record)))  # noqa: S608

    def _remove(self, db: sqlite3.Connection, ids: Iterable[Id], applied: Applied) -> None:
        for id in ids:
            row = db.execute(
                "DELETE FROM record WHERE type = ? AND id = ? RETURNING n", (self.type, id)
            ).fetchone()
            if row is not None:
                db.execute("DELETE FROM words WHERE rowid = ?", row)
                applied.destroyed.append(id)


def read(
    db: sqlite3.Connection, type: str, only: Iterable[int] | None = None
) -> list[tuple[int, JsonObject]]:
    """(row, record) of all, or of these rows."""
    if only is None:
        rows = db.execute("SELECT n, json FROM record WHERE type = ? ORDER BY n", (type,))
    else:
        rows = db.execute(
            "SELECT n, json FROM record WHERE type = ? AND n IN (SELECT value FROM json_each(?)) ORDER BY n",
            (type, _encode(sorted(only)).decode()),
        )
    return [(n, _decode(json)) for n, json in rows]


def read_ids(db: sqlite3.Connection, type: str, ids: Sequence[Id]) -> list[JsonObject]:
    """Those of ``ids`` that are there, in that order."""
    rows = (
        db.execute("SELECT json FROM record WHERE type = ? AND id = ?", (type, id)).fetchone() for id in ids
    )
    return [_decode(row[0]) for row in rows if row is not None]
