"""Records in PostgreSQL: every node writes and reads every account (ADR 0020)."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import datetime

from msgspec import Struct

from veredus.ports import (
    Change,
    Clock,
    Cursor,
    Hint,
    Lease,
    Snapshot,
    Table,
    Transaction,
)
from veredus.ports.moving import Delta, Dump, Moving, Pieces
from veredus.store.announce import silence
from veredus.store.moving import HIDDEN
from veredus.store.postgres import catch_up, check, leases, moving, prune
from veredus.store.postgres import texts as fulltext_rows
from veredus.store.postgres.database import Database
from veredus.store.postgres.foreign import adopt
from veredus.store.postgres.glance import Glance
from veredus.store.postgres.link import Link
from veredus.store.postgres.migrate import migrate
from veredus.store.postgres.outcome import settle
from veredus.store.postgres.pool import READING, WRITING, Pool
from veredus.store.postgres.reads import Reads, Remembered, decode_names
from veredus.store.postgres.replicated import Replicated
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.tx import Writes
from veredus.store.postgres.values import storable
from veredus.wire.types import BlobId, Id

# Changes of transactions that are older than every one that still runs: what follows comes behind them.
_FEED = """
SELECT log.writer, log.modseq, account.id, log.type, log.id, log.kind, log.names
FROM log JOIN account ON account.a = log.a
WHERE (log.writer, log.modseq) > ($1, $2) AND log.writer <= $4 AND ($5::text[] IS NULL OR log.type = ANY($5))
ORDER BY log.writer, log.modseq LIMIT $3
"""
_HEAD = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1"
_LAST = 2**62


def _place(cursor: Cursor) -> tuple[int, int]:
    """The transaction and the modseq of the last change before."""
    writer, _, modseq = cursor.position.partition(":")
    return int(writer or 0), int(modseq or 0)


class Servers(Struct, frozen=True):
    """``url``: of the primary. ``connections``: at most, of each kind and to each server."""

    url: str
    replicas: Sequence[str] = ()
    connections: int = 10
    schema: str = "veredus"


class Pools(Struct):
    """Connections of those who read one moment, of those who read moments apart, of those who write, and to
    replicas."""

    views: Pool
    glances: Pool
    writers: Pool
    replicas: Sequence[Pool]


class PostgresStore:
    """``await PostgresStore.open(servers, tables, clock)``; tables are made when they are not there."""

    def __init__(
        self,
        pools: Pools,
        layouts: Sequence[Layout],
        clock: Clock,
        announce: Callable[[Hint], None],
    ) -> None:
        self._readers, self._glances, self._writers = pools.views, pools.glances, pools.writers
        self._replicas = pools.replicas
        self._turns = itertools.cycle(self._replicas)
        self._layouts = {layout.name: layout for layout in layouts}
        self._clock = clock
        self._announce = announce
        self._remembered = Remembered()
        self._committing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        servers: Servers,
        tables: Sequence[Table],
        clock: Clock,
        announce: Callable[[Hint], None] = silence,
    ) -> "PostgresStore":
        """Raises ValueError when the database is of a newer version, Unavailable when it cannot be used."""
        layouts = [Layout(table) for table in tables]
        schema, size = servers.schema, servers.connections
        primary = Database(servers.url, schema)
        replicas = [Database(url, schema, is_replica=True) for url in servers.replicas]
        connection = await primary.connect()
        try:
            await migrate(connection, schema, layouts)
            await adopt(connection)
        finally:
            await connection.close()
        # A glance has its connection for the time of a statement, so these serve the most.
        views = max(1, size // 2)
        pools = Pools(
            Pool(primary, READING, views),
            Pool(primary, None, max(1, size - views)),
            Pool(primary, WRITING, size),
            [Pool(replica, READING, size, patience_s=0) for replica in replicas],
        )
        return cls(pools, layouts, clock, announce)

    # ------------------------------------------------------------ accounts

    def read(self, account: Id, *, optimistic: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        return self._read(account, optimistic)

    @asynccontextmanager
    async def _read(self, account: Id, optimistic: bool) -> AsyncIterator[Snapshot]:
        link = Glance(self._glances) if optimistic else Link(self._readers)
        if self._replicas:
            link = Replicated(self._readers, next(self._turns), account)
        try:
            yield Reads(link, self._layouts, account, self._remembers())
        finally:
            link.close()

    def _remembers(self) -> Remembered:
        """Where a standby has taken over, states may come again that were lost, and mean something else."""
        if self._remembered.timeline != self._readers.timeline:
            self._remembered = Remembered(self._readers.timeline)
        return self._remembered

    def write(self, account: Id, lease: Lease | None = None) -> AbstractAsyncContextManager[Transaction]:
        return self._write(account, lease)

    @asynccontextmanager
    async def _write(self, account: Id, lease: Lease | None) -> AsyncIterator[Transaction]:
        link = Link(self._writers)
        tx = Writes(link, self._layouts, account, self._clock.now())
        try:
            await tx.begin(lease)
            yield tx
            wrote = await tx.finish()
        except BaseException:
            link.close()
            raise
        if not wrote:
            link.close()
            return
        # Whoever stops waiting does not stop a commit, nor what is told of it.
        committing = asyncio.create_task(self._commit(tx, link))
        self._committing.add(committing)
        committing.add_done_callback(self._committing.discard)
        await asyncio.shield(committing)

    async def _commit(self, tx: Writes, link: Link) -> None:
        try:
            await settle(link, tx.writer, tx.last)
        finally:
            link.close()
        hint = tx.hint()
        if hint is not None:
            self._announce(hint)

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        return await leases.acquire(self._writers, name, holder, ttl_s)

    async def release(self, lease: Lease) -> None:
        await leases.release(self._writers, lease)

    # ------------------------------------------------------------ all accounts

    async def feed(
        self, after: Cursor, limit: int, types: Collection[str] | None = None
    ) -> tuple[list[Change], Cursor]:
        start = writer, modseq = _place(after)
        end = (await self._readers.fetch(_HEAD))[0][0]
        only = None if types is None else list(types)
        rows = await self._readers.fetch(_FEED, (writer, modseq, limit, end, only))
        changes = [
            Change(account, type, id, kind, modseq, decode_names(names))
            for _, modseq, account, type, id, kind, names in rows
        ]
        if types is not None and len(rows) < limit:
            return changes, after if start > (end, _LAST) else Cursor(f"{end}:{_LAST}")
        return changes, Cursor(f"{rows[-1][0]}:{rows[-1][1]}") if rows else after

    async def head(self) -> Cursor:
        """Changes of transactions that overlap with one that still runs come behind it, once more perhaps."""
        rows = await self._readers.fetch(_HEAD)
        return Cursor(f"{rows[0][0]}:{_LAST}")

    async def accounts(self) -> list[Id]:
        tests = [
            "EXISTS(SELECT 1 FROM log WHERE log.a = account.a)",
            *(
                f"EXISTS(SELECT 1 FROM {layout.records} r WHERE r.a = account.a)"
                for layout in self._layouts.values()
            ),
        ]
        rows = await self._readers.fetch(f"SELECT id FROM account WHERE {' OR '.join(tests)} ORDER BY id")
        return [row[0] for row in rows if not row[0].startswith(HIDDEN)]

    async def referenced_blobs(self, ids: Collection[BlobId]) -> set[BlobId]:
        rows = await self._readers.fetch(
            "SELECT DISTINCT blob FROM blob WHERE blob = ANY($1::text[])", (storable(ids),)
        )
        return {row[0] for row in rows}

    # ------------------------------------------------------------ upkeep

    async def prune(self, before: datetime) -> None:
        await prune.prune(self._readers, self._writers, int(before.timestamp()))

    async def check(self) -> list[str]:
        async with self._readers.connection() as connection:
            return await check.check(connection, list(self._layouts.values()))

    # ------------------------------------------------------------ moving

    async def dump(self, account: Id, after: str | None = None) -> Pieces:
        async with (
            self._readers.connection() as connection,
            aclosing(moving.dump(connection, self._layouts, account, after)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def load(self, account: Id, dump: Dump) -> None:
        await moving.load(self._writers, self._layouts, account, dump)

    async def changed_since(self, account: Id, stamp: str) -> Delta | None:
        async with self._readers.connection() as connection:
            return await catch_up.changed_since(connection, self._layouts, account, stamp)

    async def catch_up(self, account: Id, stamp: str, delta: Delta) -> bool:
        return await catch_up.catch_up(self._writers, self._layouts, account, stamp, delta)

    async def loaded(self) -> Mapping[Id, str]:
        return await moving.loaded(self._readers)

    async def unindexed(self, account: Id, type: str) -> AsyncGenerator[list[Id], None]:
        async with aclosing(fulltext_rows.unindexed(self._readers, self._layouts[type], account)) as found:
            async for ids in found:
                yield ids

    async def index(
        self, account: Id, type: str, texts: Mapping[Id, Mapping[str, str]], state: int | None = None
    ) -> bool:
        return await fulltext_rows.index(self._writers, self._layouts[type], account, texts, state)

    async def backup(self, directory: str) -> None:
        async with self._readers.connection() as connection:
            await moving.backup(connection, self._layouts, directory)

    async def close(self) -> None:
        if self._committing:
            await asyncio.wait(self._committing)
        for pool in (self._readers, self._glances, self._writers, *self._replicas):
            await pool.close()


_: type[Moving] = PostgresStore
