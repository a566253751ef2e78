"""What a running server does by itself: forgetting uploads, blobs and log entries that nobody needs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from veredus.conditions import Range
from veredus.engine.blobs import UPLOADS
from veredus.locks import locked
from veredus.ports import BlobStore, Clock, Store
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId

log = structlog.get_logger()

INTERVAL_S = 3600.0
# How long a client may refer to what it uploaded; RFC 8620 §6 asks for an hour at least.
UPLOAD_LIFE = timedelta(hours=24)
# An upload's record is made after its blob was put, so the blob is kept a little longer than the record.
BLOB_LIFE = UPLOAD_LIFE + timedelta(hours=1)
LOG_LIFE = timedelta(days=90)
_AT_ONCE = 500
_LOCK = "maintenance.lock"
# Bounds the memory that one round may take; what is left over is the next round's.
_MOST_SUSPECTS = 200_000


class Maintenance:
    """``run`` belongs to one task of a server. Several servers on one ``data_dir`` take turns."""

    def __init__(self, store: Store, blobs: BlobStore, clock: Clock, data_dir: Path) -> None:
        self._store, self._blobs, self._clock, self._data_dir = store, blobs, clock, data_dir
        # Blobs that the last round found to be nobody's. Only what two rounds find is deleted: a request
        # that saw a blob in a record, and then refers to it anew, is over by then.
        self._suspects: set[BlobId] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """A round each hour until ``stop``; one that fails is logged, and the next is tried."""
        while not stop.is_set():
            try:
                await self.round()
            except Exception as error:  # the server lives on, whatever it is
                log.error("maintenance failed", error=f"{type(error).__name__}: {error}")
            try:
                await asyncio.wait_for(stop.wait(), INTERVAL_S)
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Forget what is too old."""
        now = self._clock.now()
        with only_one(self._data_dir) as is_free:
            if not is_free:
                return
            uploads = await self._forget_uploads(now - UPLOAD_LIFE)
            blobs = await self._forget_blobs(now - BLOB_LIFE)
            await self._store.prune(now - LOG_LIFE)
        log.info("maintenance done", uploads=uploads, blobs=blobs)

    async def _forget_uploads(self, before: datetime) -> int:
        old = Range("at", below=utc_date(before))
        forgotten = 0
        for account in await self._store.accounts():
            while True:
                async with self._store.read(account) as snapshot:
                    if not await snapshot.select(UPLOADS.name, old, limit=1):
                        break
                async with self._store.write(account) as tx:
                    ids = await tx.select(UPLOADS.name, old, limit=_AT_ONCE)
                    for id in ids:
                        await tx.delete(UPLOADS.name, id)
                forgotten += len(ids)
        return forgotten

    async def _forget_blobs(self, before: datetime) -> int:
        found: set[BlobId] = set()
        forgotten = 0
        async for page in self._pages(before):
            unused = set(page) - await self._store.referenced_blobs(page)
            doomed = unused & self._suspects
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


@contextmanager
def only_one(data_dir: Path) -> Iterator[bool]:
    """Whether nobody else collects garbage in ``data_dir`` or copies it; until the end nobody else will."""
    with locked(data_dir / _LOCK) as is_free:
        yield is_free


@contextmanager
def nothing_deleted(data_dir: Path) -> Iterator[None]:
    """Wait for a round under way; until the end no other begins, in any process. For a backup."""
    with locked(data_dir / _LOCK, shared=True, wait=True):
        yield
