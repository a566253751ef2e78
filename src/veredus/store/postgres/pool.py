"""Connections to PostgreSQL. Each waits inside a transaction that has seen nothing yet, so that the first
statement of a reader or a writer is also the beginning of its transaction: one round trip fewer.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from veredus.ports import Unavailable
from veredus.store.postgres.database import Database
from veredus.store.postgres.failures import Lost, is_refusal, is_transient, translated

READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"

# How long a transaction may be left alone by its process: one that was stopped must not keep an account
# locked, nor the feed of changes waiting. Set within a transaction, since waiting before it is no fault.
IDLE_MS = 20_000
# How long a database that restarts is waited for, and a connection when all are in use.
PATIENCE_S = 8.0
_RETRY_S = 0.1
# How long nobody tries a server that could be done without.
_AVOIDED_S = 5.0
_CLOSE_S = 2.0


async def fetched(connection: Any, sql: str, values: Sequence[Any]) -> list[Any]:
    """The rows of the first statement of a transaction. Raises Lost."""
    try:
        rows: list[Any] = await connection.fetch(sql, *values)
    except Exception as error:
        if isinstance(error, asyncpg.InternalClientError):
            connection.terminate()
        is_outdated = isinstance(error, asyncpg.InvalidCachedStatementError)
        if is_outdated or (is_transient(error) and connection.is_closed()):
            raise Lost(str(error) or "the connection was lost") from error
        raise
    return rows


class Pool:
    """Connections of one kind to one database. ``begin``: READING or WRITING; None: each statement is a
    transaction of its own.

    ``patience_s`` 0: there is another database that will do; one that fails is left alone for a while.
    """

    def __init__(
        self, database: Database, begin: str | None, size: int, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._database, self._begin = database, begin
        self.place = database.place
        self.size = size
        self._patience_s = patience_s
        self._avoided_until = 0.0
        self._idle: list[Any] = []
        self._free = asyncio.Semaphore(size)
        self._resetting: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def timeline(self) -> str:
        """Of the connections that are given out."""
        return self._database.timeline

    @property
    def in_use(self) -> int:
        return self.size - self._free._value

    async def take(self) -> Any:
        """A connection within a transaction that has not begun to see. Raises Unavailable."""
        if self._closed:
            raise Unavailable("the store is closed")
        if not self._patience_s:
            self._must_be_at_hand()
        try:
            async with asyncio.timeout(self._patience_s or None):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(f"PostgreSQL at {self.place}: all {self.size} connections are in use") from None
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed() and connection.timeline == self.timeline:
                    return connection
                connection.terminate()
            return await self._connect_patiently()
        except BaseException:
            self._free.release()
            raise

    def _must_be_at_hand(self) -> None:
        if self._free.locked() or asyncio.get_running_loop().time() < self._avoided_until:
            raise Unavailable(f"PostgreSQL at {self.place}: not now")

    def avoid(self) -> None:
        """It does not answer as it should."""
        self._avoided_until = asyncio.get_running_loop().time() + _AVOIDED_S

    async def _connect_patiently(self) -> Any:
        """A server that restarts is back in seconds, and its clients need not notice."""
        end = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                return await self._connect()
            except Unavailable as error:
                if is_refusal(error.__cause__) or asyncio.get_running_loop().time() >= end:
                    self.avoid()
                    raise
            await asyncio.sleep(_RETRY_S)

    async def _connect(self) -> Any:
        connection = await self._database.connect()
        try:
            if self._begin is not None:
                await connection.execute(self._begin)
        except BaseException as error:
            connection.terminate()
            found = translated(error, self.place)
            if found is None:
                raise
            raise found from error
        return connection

    def give_back(self, connection: Any, *, done: bool = False) -> None:
        """Make it ready for the next one, without keeping this one waiting. ``done``: it is ready."""
        if connection.is_closed() or self._closed:
            connection.terminate()
            self._free.release()
        elif done or self._begin is None:
            self._idle.append(connection)
            self._free.release()
        else:
            task = asyncio.create_task(self._reset(connection))
            self._resetting.add(task)
            task.add_done_callback(self._resetting.discard)

    async def _reset(self, connection: Any) -> None:
        try:
            await connection.execute(f"ROLLBACK; {self._begin}")
            self._idle.append(connection)
        except (Exception, asyncio.CancelledError):  # whatever it is: another connection will do
            connection.terminate()
        finally:
            self._free.release()

    async def commit(self, connection: Any) -> None:
        """Commit, and begin what comes next."""
        await connection.execute(f"COMMIT; {self._begin}")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """One, within a transaction; what it has written is taken back unless ``commit`` was called."""
        connection = await self.take()
        try:
            yield connection
        except BaseException as error:
            found = translated(error, self.place)
            # The file system's errors are of the same kind as the network's.
            is_other = isinstance(error, OSError | TimeoutError) and not connection.is_closed()
            if found is None or is_other:
                raise
            raise found from error
        finally:
            self.give_back(connection)

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of one statement that reads, in a transaction of its own."""
        return await self._run(sql, values, commits=False)

    async def change(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement that writes, committed."""
        return await self._run(sql, values, commits=True)

    async def _run(self, sql: str, values: Sequence[Any], *, commits: bool) -> list[Any]:
        """Tried again with another connection: this one may have died while nobody used it."""
        for attempt in range(self.size + 1):
            try:
                async with self.connection() as connection:
                    rows = await fetched(connection, sql, values)
                    if commits:
                        await self.commit(connection)
                    return rows
            except Lost:
                if attempt == self.size:
                    raise
        raise AssertionError("a pool has connections")

    async def close(self) -> None:
        """Waits for those that are being made ready; who still has one ends it by giving it back."""
        self._closed = True
        if self._resetting:
            await asyncio.wait(self._resetting)
        while self._idle:
            connection = self._idle.pop()
            with suppress(Exception):
                await connection.close(timeout=_CLOSE_S)
