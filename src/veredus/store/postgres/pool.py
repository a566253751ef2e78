"""Connections to PostgreSQL. Each waits inside a transaction that has seen nothing yet, so that the first
statement of a reader or a writer is also the beginning of its transaction: one round trip fewer.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from veredus.ports import Unavailable

READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"

# How long a transaction may be left alone by its process: one that was stopped must not keep an account
# locked, nor the feed of changes waiting. Set within a transaction, since waiting before it is no fault.
IDLE_MS = 20_000
# How long a database that restarts is waited for, and a connection when all are in use.
PATIENCE_S = 8.0
_RETRY_S = 0.1
_CONNECT_S = 5.0
_CLOSE_S = 2.0
_UNANSWERED_MS = 8_000

# Plans follow the indexes that statements are written for; none of them gains from a hash of a whole table.
_SESSION = {
    "application_name": "veredus",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "statement_timeout": "60000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    # A node that is gone without a word is found out within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

# Of these classes of SQLSTATE nothing is the fault of a statement: connection, transaction rolled back by the
# server, resources, operator intervention, system error.
_TRANSIENT = ("08", "40", "53", "57", "58")
# The same: read-only transaction (a server that is no longer the primary), idle timeout, lock not available.
_TRANSIENT_STATES = ("25006", "25P03", "55P03")


def is_transient(error: BaseException) -> bool:
    """Whether trying again later may help."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(_TRANSIENT) or state in _TRANSIENT_STATES
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, OSError | TimeoutError)


def translated(error: BaseException, place: str) -> BaseException:
    """A lost or overloaded database is Unavailable; a mistake of ours stays what it is."""
    said = str(error).strip() or type(error).__name__
    if isinstance(error, asyncpg.UndefinedTableError):  # tables have other names then (``migrate``)
        return Unavailable(f"PostgreSQL at {place}: {said}: a newer program has changed it - update this one")
    if not is_transient(error) and not _is_refusal(error):
        return error
    return Unavailable(f"PostgreSQL at {place}: {said}")


def _is_refusal(error: BaseException) -> bool:
    """Authorization, unknown database or role, and too few privileges."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith("28") or state in ("3D000", "42501")


class Lost(Unavailable):
    """The connection ended before its transaction had done anything: another one may do."""


async def fetched(connection: Any, sql: str, values: Sequence[Any]) -> list[Any]:
    """The rows of the first statement of a transaction. Raises Lost."""
    try:
        rows: list[Any] = await connection.fetch(sql, *values)
    except Exception as error:
        if is_transient(error) and connection.is_closed():
            raise Lost(str(error) or "the connection was lost") from error
        raise
    return rows


def place_of(dsn: str) -> str:
    """Host, port and database of a URL, for messages: no credentials."""
    url = urlsplit(dsn)
    return f"{url.hostname or 'localhost'}:{url.port or 5432}{url.path}"


async def connect(dsn: str, schema: str) -> Any:
    """One connection, outside of any transaction. Raises Unavailable."""
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=_CONNECT_S,
            statement_cache_size=1000,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=_SESSION | {"search_path": f'"{schema}"'},
        )
    except Exception as error:
        found = translated(error, place_of(dsn))
        if found is error:
            raise
        raise found from error
    _give_up_soon(connection)
    return connection


def _give_up_soon(connection: Any) -> None:
    """What the server does not acknowledge for this long ends the connection: it is cut off, or gone."""
    opened = connection._transport.get_extra_info("socket")
    if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)


class Pool:
    """Connections of one kind to one server. ``begin``: READING or WRITING."""

    def __init__(self, dsn: str, schema: str, begin: str, size: int) -> None:
        self._dsn, self._schema, self._begin = dsn, schema, begin
        self.place = place_of(dsn)
        self.size = size
        self._idle: list[Any] = []
        self._free = asyncio.Semaphore(size)
        self._resetting: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def in_use(self) -> int:
        return self.size - self._free._value

    async def take(self) -> Any:
        """A connection within a transaction that has not begun to see. Raises Unavailable."""
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(f"PostgreSQL at {self.place}: all {self.size} connections are in use") from None
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
            return await self._connect_patiently()
        except BaseException:
            self._free.release()
            raise

    async def _connect_patiently(self) -> Any:
        """A server that restarts is back in seconds, and its clients need not notice."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self._connect()
            except Unavailable as error:
                refused = error.__cause__ is not None and _is_refusal(error.__cause__)
                if refused or asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(_RETRY_S)

    async def _connect(self) -> Any:
        connection = await connect(self._dsn, self._schema)
        try:
            await connection.execute(self._begin)
        except BaseException as error:
            connection.terminate()
            raise translated(error, self.place) from error
        return connection

    def give_back(self, connection: Any, *, done: bool = False) -> None:
        """Make it ready for the next one, without keeping this one waiting. ``done``: it is ready."""
        if done:
            self._idle.append(connection)
            self._free.release()
            return
        task = asyncio.create_task(self._reset(connection))
        self._resetting.add(task)
        task.add_done_callback(self._resetting.discard)

    async def _reset(self, connection: Any) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK; " + self._begin)
                self._idle.append(connection)
        except (Exception, asyncio.CancelledError):  # whatever it is: another connection will do
            connection.terminate()
        finally:
            self._free.release()

    async def commit(self, connection: Any) -> None:
        """Commit, and begin what comes next."""
        await connection.execute("COMMIT; " + self._begin)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """One, within a transaction; what it has written is taken back unless ``commit`` was called."""
        connection = await self.take()
        try:
            yield connection
        except BaseException as error:
            found = translated(error, self.place)
            if found is error:
                raise
            raise found from error
        finally:
            self.give_back(connection)

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of one statement that reads, in a transaction of its own.

        Tried again with another connection: this one may have died while nobody used it.
        """
        for _ in range(self.size):
            with suppress(Lost):
                async with self.connection() as connection:
                    return await fetched(connection, sql, values)
        async with self.connection() as connection:
            return await fetched(connection, sql, values)

    async def change(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one statement that writes, committed."""
        async with self.connection() as connection:
            rows = await fetched(connection, sql, values)
            await self.commit(connection)
            return rows

    async def close(self) -> None:
        """Waits for those that are being made ready; the others are nobody's any more."""
        self._closed = True
        if self._resetting:
            await asyncio.wait(self._resetting)
        while self._idle:
            connection = self._idle.pop()
            with suppress(Exception):
                await connection.close(timeout=_CLOSE_S)
