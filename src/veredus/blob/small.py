"""Small blobs in one SQLite file: an fsynced file for each caps delivery at 280 messages a second."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from veredus.blob.commit import GroupWriter
from veredus.ports import Unavailable
from veredus.wire.types import BlobId

Row: TypeAlias = tuple[Any, ...]

_READABLE = apsw.SQLITE_OPEN_READONLY
_WRITABLE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_SETTINGS = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"
# Names apart from bytes: listing and asking for sizes read a narrow tree, and bytes are appended.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS name (
  id TEXT PRIMARY KEY, rid INTEGER NOT NULL, size INTEGER NOT NULL, put_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS data (rid INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
"""
_TOUCH = "UPDATE name SET put_at = ? WHERE id = ?"
_INSERT_DATA = "INSERT INTO data (bytes) VALUES (?)"
_INSERT_NAME = "INSERT INTO name (id, rid, size, put_at) VALUES (?, ?, ?, ?)"
_GET = "SELECT bytes FROM data WHERE rid = (SELECT rid FROM name WHERE id = ?)"
_SIZE = "SELECT size FROM name WHERE id = ?"
_PAGE = "SELECT id, put_at FROM name WHERE id > ? ORDER BY id LIMIT 512"
_DELETE = "DELETE FROM name WHERE id = ? AND put_at < ? RETURNING rid"
_DELETE_DATA = "DELETE FROM data WHERE rid = ?"
_DELETE_STEP = 256


class SmallBlobs:
    """Reads are made in the event loop (15 us), writes in a thread of their own."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        writer = _connect(path, _WRITABLE)
        writer.execute(_SETTINGS)
        writer.execute(_SCHEMA)
        self._reader = _connect(path, _READABLE)
        self._writer = GroupWriter(writer, "blob-writer")

    async def put(self, id: BlobId, data: bytes) -> None:
        await self._writer.run(partial(self._put, id, data))

    def _put(self, id: BlobId, data: bytes, db: apsw.Connection) -> None:
        put_at = int(self._now() * 1_000_000)
        db.execute(_TOUCH, (put_at, id))
        if db.changes() == 0:
            db.execute(_INSERT_DATA, (data,))
            db.execute(_INSERT_NAME, (id, db.last_insert_rowid(), len(data), put_at))

    def get(self, id: BlobId) -> bytes | None:
        row = self._row(_GET, id)
        return None if row is None else bytes(row[0])

    def size(self, id: BlobId) -> int | None:
        row = self._row(_SIZE, id)
        return None if row is None else int(row[0])

    async def ids(self) -> AsyncIterator[tuple[BlobId, int]]:
        """Ids and microseconds of the last put; page by page, so that no read transaction stays open."""
        last = ""
        while page := self._all(_PAGE, last):
            for id, put_at in page:
                yield id, put_at
            last = page[-1][0]

    async def delete(self, ids: Sequence[BlobId], before: int) -> None:
        """Forget those last put before the microsecond ``before``."""
        for start in range(0, len(ids), _DELETE_STEP):
            await self._writer.run(partial(_delete, ids[start : start + _DELETE_STEP], before))

    def backup(self, path: Path) -> None:
        """Copy as of now; blocks. One step reads one snapshot, so writers neither wait nor restart it."""
        source, target = _connect(self._path, _READABLE), _connect(path, _WRITABLE)
        try:
            with target.backup("main", source, "main") as copy:
                copy.step(-1)
        finally:
            target.close()
            source.close()

    async def close(self) -> None:
        self._reader.close()
        await self._writer.close()  # last, so that it empties the log into the file

    def _row(self, sql: str, id: BlobId) -> Row | None:
        rows = self._all(sql, id)
        return rows[0] if rows else None

    def _all(self, sql: str, id: BlobId) -> list[Row]:
        try:
            return self._reader.execute(sql, (id,)).fetchall()
        except apsw.Error as error:
            raise Unavailable(str(error)) from error


def _delete(ids: Sequence[BlobId], before: int, db: apsw.Connection) -> None:
    for id in ids:
        for (rid,) in db.execute(_DELETE, (id, before)).fetchall():
            db.execute(_DELETE_DATA, (rid,))


def _connect(path: Path, flags: int) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=flags)
    db.set_busy_timeout(10_000)  # another process on this directory; within this one nobody waits
    return db
