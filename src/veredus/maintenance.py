"""What a running server does by itself: forgetting uploads, blobs and log entries that nobody needs, and
the upkeep of accounts that it is given.

One process of all does a round at a time, under the lease LEASE; a backup holds the same lease, so that
nothing is deleted meanwhile. Whoever did the last round also does the next, as long as it lives (TURN): it
remembers what it has seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import TypeAlias

import structlog
from msgspec import Struct

from veredus.conditions import Range
from veredus.engine.blobs import UPLOADS
from veredus.leases import confirm, hold, hold_if_free, holder_name
from veredus.ports import BlobStore, Clock, Lease, LeaseLost, Store, Unavailable
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId

log = structlog.get_logger()

INTERVAL_S = 3600.0
# After a round that could not be: the database or the blobs were away.
_SOON_S = 60.0
# How long a client may refer to what it uploaded; RFC 8620 §6 asks for an hour at least.
UPLOAD_LIFE = timedelta(hours=24)
# An upload's record is made after its blob was put, so the blob is kept a little longer than the record.
BLOB_LIFE = UPLOAD_LIFE + timedelta(hours=1)
# How long a blob store that keeps what was deleted goes on doing so.
TRASH_LIFE = timedelta(days=7)
LOG_LIFE = timedelta(days=90)
LEASE = "maintenance"
TURN = "maintenance-turn"
# A little longer than from one round to the next, so that it is renewed with each of them alone.
_TURN_S = 1.5 * INTERVAL_S
_AT_ONCE = 500
# Bounds the memory that one round may take; what is left over is the next round's.
_MOST_SUSPECTS = 200_000


# Work on the records of all accounts, under the lease; it raises LeaseLost and Unavailable.
Upkeep: TypeAlias = Callable[[Lease, datetime], Awaitable[None]]


class Forgotten(Struct, frozen=True):
    """How many a round forgot. ``purged``: blobs that were deleted earlier, and are gone for good now."""

    uploads: int
    blobs: int
    purged: int


class Maintenance:
    """``run`` belongs to one task of a server."""

    def __init__(self, store: Store, blobs: BlobStore, clock: Clock, upkeep: Upkeep | None = None) -> None:
        """``upkeep``: what else is to be done in each round, before blobs are forgotten."""
        self._store, self._blobs, self._clock, self._upkeep = store, blobs, clock, upkeep
        self._holder = holder_name()
        # Blobs that the last round found to be nobody's. Only what two rounds find is deleted: a request
        # that saw a blob in a record, and then refers to it anew, is over by then. Another process that
        # takes over begins with none, and so deletes with its second round.
        self._suspects: set[BlobId] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """A round each hour until ``stop``; one that fails is logged, and the next is tried."""
        turn = None
        try:
            while not stop.is_set():
                pause_s = INTERVAL_S
                try:
                    turn = await self._store.acquire(TURN, self._holder, _TURN_S)
                    if turn is not None:
                        await self.round()
                except LeaseLost:
                    log.warning("maintenance broken off: the lease was lost")
                except Unavailable as error:
                    log.warning("maintenance broken off", error=str(error))
                    pause_s = _SOON_S
                except Exception as error:  # the server lives on, whatever it is
                    log.error("maintenance failed", error=f"{type(error).__name__}: {error}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await stop.wait()
        finally:
            if turn is not None:
                # Whoever ends us may do so twice.
                with suppress(Unavailable):
                    await asyncio.shield(self._store.release(turn))

    async def round(self) -> "Forgotten | None":
        """Forget what is too old, unless somebody else does, or makes a backup (None). Raises LeaseLost."""
        now = self._clock.now()
        async with hold_if_free(self._store, LEASE) as lease:
            if lease is None:
                return None
            uploads = await self._forget_uploads(now - UPLOAD_LIFE, lease)
            if self._upkeep is not None:
                await self._upkeep(lease, now)
            blobs = await self._forget_blobs(now - BLOB_LIFE, lease)
            purged = await self._blobs.purge(now - TRASH_LIFE, self._store.referenced_blobs)
            await self._store.prune(now - LOG_LIFE)
        log.info("maintenance done", uploads=uploads, blobs=blobs, purged=purged)
        return Forgotten(uploads, blobs, purged)

    async def _forget_uploads(self, before: datetime, lease: Lease) -> int:
        old = Range("at", below=utc_date(before))
        forgotten = 0
        for account in await self._store.accounts():
            while True:
                async with self._store.read(account) as snapshot:
                    if not await snapshot.select(UPLOADS.name, old, limit=1):
                        break
                async with self._store.write(account, lease) as tx:
                    ids = await tx.select(UPLOADS.name, old, limit=_AT_ONCE)
                    for id in ids:
                        await tx.delete(UPLOADS.name, id)
                forgotten += len(ids)
        return forgotten

    async def _forget_blobs(self, before: datetime, lease: Lease) -> int:
        found: set[BlobId] = set()
        forgotten = 0
        async for page in self._pages(before):
            unused = set(page) - await self._store.referenced_blobs(page)
            doomed = unused & self._suspects
            if doomed:
                await confirm(self._store, lease)
                await self._blobs.delete(doomed, put_before=before)
            forgotten += len(doomed)
            found |= unused - doomed
            if len(found) > _MOST_SUSPECTS:
                break
            await asyncio.sleep(0)
        self._suspects = found
        return forgotten

    async def _pages(self, before: datetime) -> AsyncIterator[list[BlobId]]:
        page: list[BlobId] = []
        async for id, put_at in self._blobs.ids():
            if put_at < before:
                page.append(id)
            if len(page) == _AT_ONCE:
                yield page
                page = []
        if page:
            yield page


@asynccontextmanager
async def nothing_deleted(store: Store, waits: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Wait for a round under way; until the end no other begins, in any process. For a backup.

    ``waits`` is called once if there is one. Raises LeaseLost when that could not be kept up: what was copied
    meanwhile may lack blobs.
    """
    async with hold(store, LEASE, waits=waits):
        yield
