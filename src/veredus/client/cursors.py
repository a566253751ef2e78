"""How far a consumer has come: small values that must outlive the process, each under a key."""

import asyncio
import json
import os
import sqlite3
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from veredus.client.errors import JMAPError
from veredus.locks import locked

T = TypeVar("T")
_BUSY_S = 30.0


class CursorError(JMAPError):
    """A cursor cannot be read or written; it names the file."""


class Cursor(Protocol):
    """``save`` returns when the value is durable. Both raise CursorError."""

    async def load(self, key: str) -> str | None:
        """What was last saved under ``key``; None: nothing."""
        ...

    async def save(self, key: str, value: str) -> None: ...


class MemoryCursor:
    """For tests, and for those who begin anew each time."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    async def load(self, key: str) -> str | None:
        return self._values.get(key)

    async def save(self, key: str, value: str) -> None:
        self._values[key] = value


class _InOrder:
    """Work off the event loop, one after the other: a save that was given up must not overtake the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cursor")

    async def run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (OSError, sqlite3.Error, ValueError) as error:
            raise CursorError(f"cursor {self._path}: {error}") from error


class FileCursor:
    """One JSON file, an object of keys and values, which several processes may share.

    The file is replaced as a whole; beside it stand ``.lock`` and, for a moment, ``.tmp``.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = Path(f"{self._path}.lock")
        self._thread = _InOrder(self._path)

    async def load(self, key: str) -> str | None:
        values = await self._thread.run(self._read)
        return values.get(key)

    async def save(self, key: str, value: str) -> None:
        await self._thread.run(lambda: self._save(key, value))

    def _read(self) -> dict[str, str]:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        values = json.loads(text)
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError("is no JSON object of strings")
        return values

    def _save(self, key: str, value: str) -> None:
        with locked(self._lock, wait=True):
            values = self._read() | {key: value}
            temporary = Path(f"{self._path}.tmp")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(values, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(fd)
            temporary.replace(self._path)
            _sync_directory(self._path.parent)


class SqliteCursor:
    """A table ``veredus_cursor`` in an SQLite database, which several processes may share.

    ``close``, or ``async with``, closes the database; it is opened when it is first used.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._thread = _InOrder(self._path)
        self._opened: sqlite3.Connection | None = None

    async def __aenter__(self) -> "SqliteCursor":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """It may be used again afterwards."""
        await self._thread.run(self._close)

    async def load(self, key: str) -> str | None:
        def read() -> str | None:
            row = self._db().execute("SELECT value FROM veredus_cursor WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

        return await self._thread.run(read)

    async def save(self, key: str, value: str) -> None:
        await self._thread.run(
            lambda: self._db().execute("REPLACE INTO veredus_cursor (key, value) VALUES (?, ?)", (key, value))
        )

    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            # Two processes that change a new database to WAL at once do not wait for one another.
            with locked(Path(f"{self._path}.lock"), wait=True):
                self._opened = _open_database(self._path)
            weakref.finalize(self, self._opened.close)
        return self._opened

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def _open_database(path: Path) -> sqlite3.Connection:
    # No transaction but that of each statement; used by one thread, closed perhaps by another at the end.
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # In WAL mode only FULL syncs at each commit.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE IF NOT EXISTS veredus_cursor (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    except BaseException:
        db.close()
        raise
    return db


def _sync_directory(path: Path) -> None:
    """The rename itself is durable only then."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
