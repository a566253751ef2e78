"""Which blobs a user may see, and their bytes (RFC 8620 §6).

A blob can be seen in an account if a record of the account refers to it, or by the user who
uploaded it there. Parts of a message are seen where the message is.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from msgspec import Struct

from veredus.formats.mime.message import decode
from veredus.ports import Blob, BlobStore, Overtaken, Snapshot, Store, Table
from veredus.wire import blob_ids
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId, Id, JsonObject

# Who uploaded what: {"id": "{blobId}/{user}", "type", "size", "at": UTCDate}.
UPLOADS = Table("Upload", logged=False)


class Download(Struct):
    """The bytes of a blob: ``data`` when they fit in memory, else ``open(start, end)``."""

    size: int
    data: bytes | None = None
    blob: BlobId | None = None
    store: BlobStore | None = None

    def open(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes in ``[start, end)`` in chunks of bounded size."""
        if self.data is not None:
            return _once(self.data[start:end])
        assert self.store is not None
        assert self.blob is not None
        return self.store.open(self.blob, start, end)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


# Blobs up to this size are read at once: one step instead of a stream.
SMALL = 64 * 1024


async def visible(snapshot: Snapshot, ids: Sequence[BlobId], user: str) -> set[BlobId]:
    """Those of ``ids`` that ``user`` may see in the snapshot's account, if they exist."""
    wholes = {id: blob_ids.parse(id).whole for id in ids}
    owned = await snapshot.owns_blob(set(wholes.values()))
    missing = {whole for whole in wholes.values() if whole not in owned}
    if missing:
        uploads = await snapshot.get(UPLOADS.name, [f"{whole}/{user}" for whole in missing], frozenset())
        owned |= {upload["id"].split("/", 1)[0] for upload in uploads}
    return {id for id, whole in wholes.items() if whole in owned}


async def load(blobs: BlobStore, id: BlobId) -> bytes | None:
    """The bytes of a blob or part; None when there are no such bytes. Access is the caller's affair."""
    part = blob_ids.parse(id)
    data = await blobs.get(part.whole, part.start, part.end)
    if data is None or part.encoding is None:
        return data
    if part.end is not None and (part.start > part.end or len(data) != part.end - part.start):
        return None
    return decode(data, part.encoding)


async def find(store: Store, blobs: BlobStore, account: Id, user: str, id: BlobId) -> Download | None:
    """A blob for download; None when this user sees no such blob in the account."""
    if not await _is_visible(store, account, user, id):
        return None
    part = blob_ids.parse(id)
    if part.encoding is None:
        size = await blobs.size(part.whole)
        if size is None:
            return None
        if size > SMALL:
            return Download(size, blob=part.whole, store=blobs)
    data = await load(blobs, id)
    return None if data is None else Download(len(data), data=data)


async def _is_visible(store: Store, account: Id, user: str, id: BlobId) -> bool:
    try:
        async with store.read(account, optimistic=True) as snapshot:
            return bool(await visible(snapshot, [id], user))
    except Overtaken:
        async with store.read(account) as snapshot:
            return bool(await visible(snapshot, [id], user))


async def note_upload(store: Store, account: Id, user: str, blob: Blob, type: str, now: datetime) -> None:
    """Let ``user`` see a blob that no record refers to yet."""
    record: JsonObject = {"id": f"{blob.id}/{user}", "type": type, "size": blob.size, "at": utc_date(now)}
    async with store.write(account) as tx:
        await tx.put(UPLOADS.name, record)
