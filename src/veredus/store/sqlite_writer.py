"""The one writer of a SQLite database: many transactions, one fsync.

The body of a transaction runs under a lock, between SAVEPOINT and RELEASE of a shared BEGIN IMMEDIATE.
Then it gives up the lock and waits. The commit stands in the same queue as the bodies: those that waited
before it are in it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import apsw
import structlog

from veredus.ports import Unavailable
from veredus.store.sqlite_connection import Connection
from veredus.store.worker import Worker

# In pages of the WAL; 8 MB.
_CHECKPOINT_EVERY = 1000
# How long another process may keep the write lock.
_BUSY_S = 10.0
_BUSY_STEP_S = 0.01

_log = structlog.get_logger()


class _Batch:
    """Transactions that commit together."""

    def __init__(self) -> None:
        self.size = 0
        self.committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        if self.size:
            self.committed.set_exception(Unavailable(reason))

    async def wait(self) -> None:
        """One that stops waiting does not stop the others; each gets an exception of its own."""
        try:
            await asyncio.shield(self.committed)
        except Unavailable as error:
            raise Unavailable(str(error)) from error


class Writer:
    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._lock = asyncio.Lock()
        self._batch: _Batch | None = None
        self._thread = Worker("veredus-commit")
        self._committing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._wal_pages = 0
        self._checkpoint_at = _CHECKPOINT_EVERY
        connection.db.set_wal_hook(self._note_wal)

    def _note_wal(self, db: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The connection, in a transaction that is durable once the context is left without an exception."""
        async with self._lock:
            batch = await self._begin()
            try:
                self._db.run("SAVEPOINT body")
                yield self._db
                self._db.run("RELEASE body")
            except BaseException:
                self._undo(batch)
                raise
            batch.size += 1
            if batch.size == 1:
                task = asyncio.create_task(self._commit(batch))
                self._committing.add(task)
                task.add_done_callback(self._committing.discard)
        await batch.wait()

    async def set_up(self, settings: str) -> None:
        """Change settings of the connection, between two transactions."""
        while True:
            async with self._lock:
                if self._batch is None:
                    return self._db.run(settings)
            await asyncio.sleep(0)

    async def _begin(self) -> _Batch:
        if self._closed:
            raise Unavailable("the store is closed")
        if self._batch is None:
            await self._begin_immediate()
            self._batch = _Batch()
        return self._batch

    async def _begin_immediate(self) -> None:
        """Waits for another process without holding up the event loop, hence without SQLite's own waiting."""
        deadline = asyncio.get_running_loop().time() + _BUSY_S
        while True:
            try:
                return self._db.run("BEGIN IMMEDIATE")
            except Unavailable as error:
                busy = isinstance(error.__cause__, apsw.BusyError)
                if not busy or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_BUSY_STEP_S)

    def _undo(self, batch: _Batch) -> None:
        """Take back one body; all of the batch when SQLite already has (it does so when the disk is full)."""
        try:
            if self._db.db.in_transaction:
                self._db.run("ROLLBACK TO body")
                self._db.run("RELEASE body")
        except Unavailable as error:
            _log.error("rollback_failed", error=str(error))
            self._rollback()
        if not self._db.db.in_transaction:
            self._batch = None
            batch.fail("the transaction was rolled back")
        elif batch.size == 0:
            self._rollback()
            self._batch = None

    def _rollback(self) -> None:
        if self._db.db.in_transaction:
            self._db.run("ROLLBACK")

    async def _commit(self, batch: _Batch) -> None:
        async with self._lock:
            if self._batch is not batch:
                return
            self._batch = None
            try:
                await self._thread.call(self._commit_now)
            except Unavailable as error:
                batch.fail(str(error))
                return
            except BaseException:
                # A mistake of ours; whoever waits must hear of it all the same.
                batch.fail("the commit failed")
                raise
            batch.committed.set_result(None)
            if self._wal_pages >= self._checkpoint_at:
                await self._thread.call(self._checkpoint)

    def _commit_now(self) -> None:
        try:
            self._db.run("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def _checkpoint(self) -> None:
        """Copy the WAL into the database, so that it starts over; nobody writes meanwhile.

        What a reader still needs stays; then the next attempt comes that much later.
        """
        try:
            pages, done = self._db.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            # Busy: another process does it just now.
            level = "debug" if isinstance(error, apsw.BusyError | apsw.LockedError) else "warning"
            getattr(_log, level)("checkpoint_failed", error=str(error))
            pages, done = self._wal_pages, 0
        self._checkpoint_at = _CHECKPOINT_EVERY + (pages if done < pages else 0)

    async def close(self) -> None:
        """Commit what is under way, then refuse everything."""
        self._closed = True
        await asyncio.gather(*self._committing)
        async with self._lock:
            self._thread.close()
            self._db.close()
