"""The SQLite file of a replica: opened once, used by one thread, written by one process."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from veredus.client.replica.errors import ReplicaError
from veredus.locks import locked

T = TypeVar("T")
# "Vrep": whose file this is, for SQLite's own header.
_APPLICATION = 0x56726570
VERSION = 1
_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE type(
  name TEXT PRIMARY KEY, user TEXT NOT NULL, account TEXT NOT NULL, shape TEXT NOT NULL,
  state TEXT, pass_state TEXT, pass_after TEXT, generation INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE record(
  n INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, generation INTEGER NOT NULL,
  json BLOB NOT NULL,
  UNIQUE(type, id));
CREATE VIRTUAL TABLE words USING fts5("from", "to", cc, bcc, subject, preview, body, tokenize=ascii);
"""


class Database:
    """``run`` does work in the thread that has the connection; each ``run`` is one transaction."""

    def __init__(
        self, path: Path, db: sqlite3.Connection, thread: ThreadPoolExecutor, lock: ExitStack
    ) -> None:
        self.path, self._db, self._thread, self._lock = path, db, thread, lock
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Raises ReplicaError."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="replica")
        lock = ExitStack()
        try:
            db = await _in_thread(thread, path, lambda: _opened(path, lock))
        except BaseException:
            lock.close()
            thread.shutdown(wait=False)
            raise
        return cls(path, db, thread, lock)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """All of ``work`` or nothing of it, even should the process be killed. Raises ReplicaError."""
        if self._is_closed:
            raise ReplicaError(f"{self.path}: this replica is closed")

        def transaction() -> T:
            with _transaction(self._db):
                return work(self._db)

        return await _in_thread(self._thread, self.path, transaction)

    async def close(self) -> None:
        """What was begun is finished first."""
        if not self._is_closed:
            self._is_closed = True
            await _in_thread(self._thread, self.path, self._db.close)
            self._lock.close()
            self._thread.shutdown(wait=False)


def _in_thread(thread: ThreadPoolExecutor, path: Path, work: Callable[[], T]) -> Awaitable[T]:
    def guarded() -> T:
        try:
            return work()
        except (OSError, sqlite3.Error) as error:
            raise ReplicaError(f"{path}: {error}") from error

    return asyncio.get_running_loop().run_in_executor(thread, guarded)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _opened(path: Path, lock: ExitStack) -> sqlite3.Connection:
    if not lock.enter_context(locked(Path(f"{path}.lock"))):
        raise ReplicaError(f"{path} is in use: a replica is open once at a time")
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # Enough: after a power cut the last transactions may be missing, but each with its cursor.
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of this version. Raises ReplicaError for a file that is not ours, or of a newer one."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if application != _APPLICATION and tables:
        raise ReplicaError(f"{path} is an SQLite database, but no replica")
    if version > VERSION:
        raise ReplicaError(
            f"{path} is of version {version}, this is for version {VERSION}: "
            "use a newer Veredus, or remove the file"
        )
    if application == _APPLICATION and version == VERSION:
        return
    with _transaction(db):
        # It is a copy: of an older version nothing is converted, all is fetched again.
        for name in ("type", "record", "words"):
            db.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in _SCHEMA.split(";")[:-1]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {VERSION}")
