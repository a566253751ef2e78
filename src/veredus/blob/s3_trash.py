"""Deleting from S3 so that a race loses nothing: what the garbage collector deletes is kept aside for days.

S3 has no transaction around "is it old" and "delete it": between the two somebody may put the same bytes
and refer to them. So an object is copied to ``trash/`` before it is deleted, and comes back when it is
missed. A copy has a name of its own, which nobody writes a second time; so whoever purges an old one
cannot hit a new one.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

import structlog

from veredus.blob.names import is_blob_id
from veredus.blob.s3_bucket import Bucket, Entry
from veredus.ports import BlobsInUse
from veredus.wire.types import BlobId

log = structlog.get_logger()

LIVE, TRASH = "blobs", "trash"
# Objects that are looked at or copied at a time; what was copied is deleted in one request.
_AT_ONCE = 64
# Who sleeps longer between copying and deleting does not delete: the copy might be purged by now.
_AWAKE_S = 300.0


def live_key(id: BlobId) -> str:
    """Two characters of the digest as a folder: 1,024 of them, evenly filled."""
    return f"{LIVE}/{id[1:3]}/{id}"


def id_in(key: str) -> BlobId | None:
    """The blob that a key names, live or not; None: it is not one of ours."""
    parts = key.split("/")
    return parts[2] if len(parts) >= 3 and is_blob_id(parts[2]) else None


class Trash:
    """``now``: seconds since 1970."""

    def __init__(self, bucket: Bucket, *, now: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._now = now

    async def take(self, ids: Sequence[BlobId], put_before: datetime) -> None:
        """Move these here, except those put at ``put_before`` or later."""
        for start in range(0, len(ids), _AT_ONCE):
            begun = self._now()
            some = ids[start : start + _AT_ONCE]
            copied = await asyncio.gather(*(self._copy(id, put_before) for id in some))
            if not 0 <= self._now() - begun < _AWAKE_S:
                log.warning("not deleted: this process slept", blobs=sum(copied))
                continue
            await self._bucket.delete([live_key(id) for id, done in zip(some, copied, strict=True) if done])

    async def _copy(self, id: BlobId, put_before: datetime) -> bool:
        entry = await self._bucket.head(live_key(id))
        if entry is None or entry.modified >= put_before:
            return False
        return await self._bucket.copy(entry, f"{_folder(id)}/{secrets.token_hex(8)}")

    async def bring_back(self, id: BlobId) -> bool:
        """Make it live again if it is here. The copy stays: somebody may be about to delete the live one."""
        async for page in self._bucket.pages(_folder(id)):
            for entry in page:
                if await self._bucket.copy(entry, live_key(id)):
                    log.info("blob brought back", blob=id)
                    return True
        return False

    async def forget(self, ids: Collection[BlobId]) -> None:
        """For good, now."""
        async for page in self._bucket.pages(TRASH):
            await self._bucket.delete([entry.key for entry in page if id_in(entry.key) in ids])

    async def purge(self, before: datetime, in_use: BlobsInUse) -> int:
        """See BlobStore.purge. What a race took comes back at once: a backup has only what is live."""
        purged = 0
        async for page in self._bucket.pages(TRASH):
            ours = [entry for entry in page if id_in(entry.key) is not None]
            if not ours:
                continue
            used = await in_use({str(id_in(entry.key)) for entry in ours})
            await self._restore(ours, used)
            old = [entry for entry in ours if entry.modified < before]
            await self._bucket.delete([entry.key for entry in old])
            purged += len({id_in(entry.key) for entry in old} - used)
        return purged

    async def _restore(self, entries: Iterable[Entry], used: Collection[BlobId]) -> None:
        """Those of ``used`` that are live already need nothing; it is the other ones that a race took."""
        wanted = [(entry, id) for entry in entries if (id := id_in(entry.key)) is not None and id in used]
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            await asyncio.gather(*(self._make_live(entry, id) for entry, id in some))

    async def _make_live(self, entry: Entry, id: BlobId) -> None:
        if await self._bucket.head(live_key(id)) is None:
            await self._bucket.copy(entry, live_key(id))
            log.info("blob brought back", blob=id)


def _folder(id: BlobId) -> str:
    return f"{TRASH}/{id[1:3]}/{id}"
