"""One connection to SQLite: its settings, its errors, and what a statement may cost in the event loop."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import apsw

from veredus.formats import collation
from veredus.ports import Unavailable

T = TypeVar("T")

# A statement that takes longer goes to a thread (a hop costs 0.1 ms, most selections 0.02 to 0.2 ms).
INLINE_S = 0.002
# How often the time is looked at, in instructions of SQLite's machine: every 50 us or so.
_INSTRUCTIONS = 2000

_OURS = (apsw.SQLError, apsw.ConstraintError, apsw.MismatchError, apsw.MisuseError, apsw.BindingsError)

# What a load changes for a while.
AS_EVER = "PRAGMA synchronous = FULL; PRAGMA cache_size = -4096"
_SETTINGS = f"""
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
{AS_EVER};
PRAGMA temp_store = MEMORY;
PRAGMA journal_size_limit = 67108864;
PRAGMA secure_delete = FAST;
"""


def translated(error: apsw.Error) -> Exception:
    """The disk, a lock or a damaged file is Unavailable; a mistake of ours stays what it is."""
    return error if isinstance(error, _OURS) else Unavailable(f"database: {type(error).__name__}: {error}")


class Connection:
    """Used by one task at a time."""

    def __init__(self, path: str, *, busy_timeout_ms: int = 5000, interruptible: bool = True) -> None:
        """``interruptible``: False for the one that writes.

        A selection there may have to write what a full-text index holds back; stopped in the middle of
        that, the index would be damaged.
        """
        self._deadline = float("inf")
        try:
            self.db = apsw.Connection(path, statementcachesize=256)
            self.db.set_busy_timeout(busy_timeout_ms)
            # To the end: each of some statements gives a row, and behind a row the next one is not run.
            self.db.execute(_SETTINGS).fetchall()
        except apsw.Error as error:
            raise translated(error) from error
        self.db.create_scalar_function("contains", _contains, 2, deterministic=True)
        self.db.create_scalar_function("is_folded", _is_folded, 2, deterministic=True)
        self.db.create_scalar_function("collated", _collated, 2, deterministic=True)
        self._interruptible = interruptible
        if interruptible:
            self.db.set_progress_handler(self._too_long, _INSTRUCTIONS)

    def _too_long(self) -> bool:
        return time.monotonic() > self._deadline

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        try:
            self.db.execute(sql, values)
        except apsw.Error as error:
            raise translated(error) from error

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """The statement once for each row of values."""
        try:
            self.db.executemany(sql, rows)
        except apsw.Error as error:
            raise translated(error) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.db.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise translated(error) from error

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The same one by one, for what does not fit into memory."""
        try:
            yield from self.db.execute(sql, values)
        except apsw.Error as error:
            raise translated(error) from error

    def number(self, sql: str, values: Sequence[Any] = ()) -> int:
        value: int = self.rows(sql, values)[0][0]
        return value

    async def bounded(self, call: Callable[[], T]) -> T:
        """The result of ``call``, which only reads; in a thread when it would hold up the event loop."""
        if not self._interruptible:
            return call()
        self._deadline = time.monotonic() + INLINE_S
        try:
            return call()
        except Unavailable as error:
            if not isinstance(error.__cause__, apsw.InterruptError):
                raise
        finally:
            self._deadline = float("inf")
        return await self.in_thread(call)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """The same in a thread. When cancelled it is interrupted, and the connection is free afterwards."""
        task = asyncio.ensure_future(asyncio.to_thread(call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                self.db.interrupt()
                try:
                    await asyncio.wait([task], timeout=0.05)
                except asyncio.CancelledError:
                    continue
            task.cancelled() or task.exception()  # seen
            raise

    def close(self) -> None:
        self.db.close()


def _contains(*arguments: Any) -> bool:
    value, folded = arguments
    return isinstance(value, str) and folded in value.casefold()


def _is_folded(*arguments: Any) -> bool:
    value, folded = arguments
    return isinstance(value, str) and folded == value.casefold()


def _collated(*arguments: Any) -> Any:
    algorithm, value = arguments
    return collation.key(algorithm, value) if isinstance(value, str) else value
