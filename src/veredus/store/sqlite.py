"""Records in one SQLite file: one writer with group commit, readers in the event loop (ADR 0009, 0014)."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial

import apsw
import msgspec

from veredus.ports import (
    Change,
    Clock,
    Cursor,
    Hint,
    Lease,
    LeaseLost,
    Snapshot,
    Table,
    Transaction,
    Unavailable,
)
from veredus.ports.moving import Delta, Dump, Moving, Pieces
from veredus.store import moving, sqlite_catch_up, sqlite_check, sqlite_leases, sqlite_moving, sqlite_texts
from veredus.store.announce import silence
from veredus.store.cache import Cache
from veredus.store.sqlite_connection import Connection, translated
from veredus.store.sqlite_reads import NO_ACCOUNT, Reads, decode_names
from veredus.store.sqlite_schema import Layout, migrate
from veredus.store.sqlite_tx import Writes
from veredus.store.sqlite_writer import Writer
from veredus.wire.types import BlobId, Id

# Connections that wait for the next reader.
_IDLE_READERS = 8
_PRUNED_AT_ONCE = 500
_BACKUP_PAGES = 256


class SQLiteStore:
    """``await SQLiteStore.open(path, tables, clock)``; the file is made when it is not there."""

    def __init__(
        self,
        path: str,
        tables: Sequence[Table],
        clock: Clock,
        announce: Callable[[Hint], None],
        writer: Connection,
    ) -> None:
        self._path = path
        self._layouts = {table.name: Layout(table) for table in tables}
        self._clock = clock
        self._announce = announce
        self._writer = Writer(writer)
        self._idle: list[Connection] = []
        self._cache = Cache()
        # The numbers of accounts, once they are committed: they never change.
        self._numbers: dict[Id, int] = {}

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        tables: Sequence[Table],
        clock: Clock,
        announce: Callable[[Hint], None] = silence,
    ) -> "SQLiteStore":
        """Raises ValueError when the file is of a newer version, Unavailable when it cannot be opened."""
        name = os.fspath(path)
        connection = await asyncio.to_thread(_open, name, [Layout(table) for table in tables])
        return cls(name, tables, clock, announce, connection)

    # ------------------------------------------------------------ accounts

    def read(self, account: Id, *, optimistic: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        return self._read(account)

    @asynccontextmanager
    async def _read(self, account: Id) -> AsyncIterator[Snapshot]:
        with _Reading(self) as connection:
            number = self._number(connection, account)
            yield Reads(connection, self._layouts, number, self._cache if number != NO_ACCOUNT else None)

    def _number(self, connection: Connection, account: Id) -> int:
        number = self._numbers.get(account)
        if number is None:
            found = connection.rows("SELECT n FROM account WHERE id = ?", (account,))
            if not found:
                return NO_ACCOUNT
            number = self._numbers[account] = found[0][0]
        return number

    def write(self, account: Id, lease: Lease | None = None) -> AbstractAsyncContextManager[Transaction]:
        return self._write(account, lease)

    @asynccontextmanager
    async def _write(self, account: Id, lease: Lease | None) -> AsyncIterator[Transaction]:
        async with self._writer.transaction() as connection:
            _must_hold(connection, lease)
            tx = Writes(connection, self._layouts, account, self._clock.now())
            yield tx
            tx.flush()
            # Until the commit nobody can take it: that needs the write lock, which is ours.
            _must_hold(connection, lease)
        hint = tx.hint()
        if hint is not None:
            self._announce(hint)

    # ------------------------------------------------------------ leases

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """Whoever asks in vain only reads."""
        with _Reading(self) as connection:
            if sqlite_leases.is_anothers(connection, name, holder):
                return None
        async with self._writer.transaction() as connection:
            return sqlite_leases.take(connection, name, holder, ttl_s)

    async def release(self, lease: Lease) -> None:
        async with self._writer.transaction() as connection:
            sqlite_leases.give_back(connection, lease)

    # ------------------------------------------------------------ all accounts

    async def feed(
        self, after: Cursor, limit: int, types: Collection[str] | None = None
    ) -> tuple[list[Change], Cursor]:
        only = "" if types is None else f" AND log.type IN ({', '.join('?' * len(types))})"
        with _Reading(self) as connection:
            end = connection.number("SELECT coalesce(max(seq), 0) FROM log")
            rows = connection.rows(
                "SELECT log.seq, account.id, log.type, log.id, log.kind, log.modseq, log.names"
                " FROM log CROSS JOIN account ON account.n = log.n"
                f" WHERE seq > ? AND seq <= ?{only} ORDER BY seq LIMIT ?",
                (int(after.position or 0), end, *(types or ()), limit),
            )
        changes = [
            Change(account, type, id, kind, modseq, decode_names(names))
            for _, account, type, id, kind, modseq, names in rows
        ]
        if types is not None and len(rows) < limit:
            return changes, Cursor(str(max(end, int(after.position or 0))))
        return changes, Cursor(str(rows[-1][0])) if rows else after

    async def head(self) -> Cursor:
        with _Reading(self) as connection:
            return Cursor(str(connection.number("SELECT coalesce(max(seq), 0) FROM log")))

    async def accounts(self) -> list[Id]:
        tests = [
            "EXISTS(SELECT 1 FROM log WHERE log.n = account.n)",
            *(
                f"EXISTS(SELECT 1 FROM {layout.records} WHERE a = account.n)"
                for layout in self._layouts.values()
            ),
        ]
        with _Reading(self) as connection:
            rows = connection.rows(f"SELECT id FROM account WHERE {' OR '.join(tests)} ORDER BY id")
        return [id for (id,) in rows if not id.startswith(moving.HIDDEN)]

    async def referenced_blobs(self, ids: Collection[BlobId]) -> set[BlobId]:
        with _Reading(self) as connection:
            rows = connection.rows(
                "SELECT value FROM json_each(?) WHERE EXISTS(SELECT 1 FROM blob WHERE blob.blob = value)",
                (msgspec.json.encode(list(ids)).decode(),),
            )
        return {id for (id,) in rows}

    # ------------------------------------------------------------ upkeep

    async def prune(self, before: datetime) -> None:
        """In short transactions. The last entry stays: its number is where the log goes on."""
        while True:
            async with self._writer.transaction() as connection:
                pruned = _prune(connection, int(before.timestamp()))
            if pruned < _PRUNED_AT_ONCE:
                return

    async def check(self) -> list[str]:
        """Through a new connection: FTS5's own check trusts what a connection has read of an older state."""
        connection = Connection(self._path)
        try:
            connection.run("BEGIN")
            layouts = list(self._layouts.values())
            return await connection.in_thread(lambda: sqlite_check.check(connection, layouts))
        finally:
            connection.close()

    # ------------------------------------------------------------ moving

    async def dump(self, account: Id, after: str | None = None) -> Pieces:
        with _Reading(self) as connection:
            async with aclosing(sqlite_moving.dump(connection, self._layouts, account, after)) as pieces:
                async for piece in pieces:
                    yield piece

    async def load(self, account: Id, dump: Dump) -> None:
        self._numbers.pop(account, None)
        await sqlite_moving.load(self._writer, self._layouts, account, dump)
        self._numbers.pop(account, None)

    async def changed_since(self, account: Id, stamp: str) -> Delta | None:
        with _Reading(self) as connection:
            args = (connection, self._layouts, account, stamp)
            return await connection.in_thread(partial(sqlite_catch_up.changed_since, *args))

    async def catch_up(self, account: Id, stamp: str, delta: Delta) -> bool:
        async with self._writer.transaction() as connection:
            return await sqlite_catch_up.catch_up(connection, self._layouts, account, stamp, delta)

    async def loaded(self) -> Mapping[Id, str]:
        with _Reading(self) as connection:
            return sqlite_moving.loaded(connection)

    async def unindexed(self, account: Id, type: str) -> AsyncGenerator[list[Id], None]:
        """Each page as of its own moment, so that the WAL does not grow meanwhile."""
        before = None
        while True:
            with _Reading(self) as connection:
                args = (connection, self._layouts[type], self._number(connection, account), before)
                found = await connection.in_thread(partial(sqlite_texts.unindexed, *args))
            if not found:
                return
            before = found[-1][0]
            yield [id for _, id in found]

    async def index(
        self, account: Id, type: str, texts: Mapping[Id, Mapping[str, str]], state: int | None = None
    ) -> bool:
        async with self._writer.transaction() as connection:
            number = self._number(connection, account)
            tx = Reads(connection, self._layouts, number)
            if state is not None and await tx.state(type) != state:
                return False
            sqlite_texts.index(connection, self._layouts[type], number, texts)
        self._cache.forget(number, type)
        return True

    async def backup(self, directory: str) -> None:
        """A file of the same name; written beside it first, so that the copy is whole or not there."""
        target = os.path.join(directory, os.path.basename(self._path))
        with _Reading(self) as connection:
            # From here on it is one snapshot; before, each write of another connection would start it anew.
            connection.number("SELECT count(*) FROM account")
            await connection.in_thread(lambda: _copy(connection, target))

    async def close(self) -> None:
        await self._writer.close()
        while self._idle:
            self._idle.pop().close()

    # ------------------------------------------------------------ readers

    def _lend(self) -> Connection:
        return self._idle.pop() if self._idle else Connection(self._path)

    def _take_back(self, connection: Connection) -> None:
        if len(self._idle) < _IDLE_READERS:
            self._idle.append(connection)
        else:
            connection.close()


class _Reading:
    """Lends a connection inside a read transaction; it sees what was committed before its first statement."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def __enter__(self) -> Connection:
        self._connection = self._store._lend()
        self._connection.run("BEGIN")
        return self._connection

    def __exit__(self, *_: object) -> None:
        try:
            self._connection.run("END")
        except Unavailable:
            self._connection.close()
            raise
        self._store._take_back(self._connection)


def _open(path: str, layouts: list[Layout]) -> Connection:
    connection = Connection(path, interruptible=False)
    try:
        connection.run("BEGIN IMMEDIATE")
        migrate(connection, layouts)
        connection.run("COMMIT")
        # From here on waiting is the business of the event loop.
        connection.db.set_busy_timeout(0)
    except BaseException:
        connection.close()
        raise
    return connection


def _must_hold(connection: Connection, lease: Lease | None) -> None:
    if lease is not None and not sqlite_leases.is_held(connection, lease):
        raise LeaseLost(lease.name)


def _prune(connection: Connection, before: int) -> int:
    """Forget the oldest entries, a bounded number; how many."""
    last = connection.number("SELECT coalesce(max(seq), 0) FROM log")
    rows = connection.rows(
        "SELECT seq, n, type, modseq, at FROM log ORDER BY seq LIMIT ?", (_PRUNED_AT_ONCE,)
    )
    old = list(itertools.takewhile(lambda row: row[4] < before and row[0] < last, rows))
    if not old:
        return 0
    floors = {(n, type): modseq for _, n, type, modseq, _ in old}
    for (n, type), modseq in floors.items():
        connection.run("UPDATE state SET floor = ? WHERE n = ? AND type = ?", (modseq, n, type))
    connection.run("DELETE FROM log WHERE seq <= ?", (old[-1][0],))
    return len(old)


def _copy(source: Connection, target: str) -> None:
    partial = target + ".partial"
    for name in (partial, partial + "-journal", partial + "-wal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    try:
        copy = apsw.Connection(partial)
        with copy.backup("main", source.db, "main") as backup:
            while not backup.done:
                backup.step(_BACKUP_PAGES)
        copy.close()
    except apsw.Error as error:
        raise translated(error) from error
    os.replace(partial, target)


_: type[Moving] = SQLiteStore
