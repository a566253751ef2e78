"""Blobs in a dict: the reference that other blob stores are compared with."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime
from pathlib import Path

from veredus.blob.names import CHUNK, from_micros, id_of
from veredus.ports import Blob, BlobsInUse, BlobStore, TooLarge
from veredus.wire.types import BlobId


class MemoryBlobs:
    """Lives as long as the process. ``now``: seconds since 1970."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._blobs: dict[BlobId, tuple[bytes, datetime]] = {}

    async def put(self, chunks: AsyncIterator[bytes] | bytes, *, max_size: int) -> Blob:
        data = chunks if isinstance(chunks, bytes) else await _joined(chunks, max_size)
        if len(data) > max_size:
            raise TooLarge
        id = id_of(data)
        self._blobs[id] = data, from_micros(int(self._now() * 1_000_000))
        return Blob(id, len(data))

    async def get(self, id: BlobId, start: int = 0, end: int | None = None) -> bytes | None:
        entry = self._blobs.get(id)
        return None if entry is None else entry[0][start:end]

    async def open(self, id: BlobId, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        data = self._blobs[id][0][start:end]
        for offset in range(0, len(data), CHUNK):
            yield data[offset : offset + CHUNK]

    async def size(self, id: BlobId) -> int | None:
        entry = self._blobs.get(id)
        return None if entry is None else len(entry[0])

    async def ids(self) -> AsyncIterator[tuple[BlobId, datetime]]:
        for id, (_, put_at) in list(self._blobs.items()):
            yield id, put_at

    async def delete(self, ids: Collection[BlobId], *, put_before: datetime | None = None) -> None:
        """``put_before``: spare those put at that time or later; garbage collection races with put."""
        for id in ids:
            entry = self._blobs.get(id)
            if entry is not None and (put_before is None or entry[1] < put_before):
                del self._blobs[id]

    async def purge(self, before: datetime, in_use: BlobsInUse) -> int:
        """Nothing is kept aside: a blob that is put meanwhile is not deleted in the first place."""
        return 0

    async def backup(self, directory: str) -> None:
        """One file per blob, named by its id."""
        for id, (data, _) in list(self._blobs.items()):
            await asyncio.to_thread(Path(directory, id).write_bytes, data)

    async def close(self) -> None:
        self._blobs.clear()


async def _joined(chunks: AsyncIterator[bytes], max_size: int) -> bytes:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > max_size:
            raise TooLarge
    return bytes(data)


_: type[BlobStore] = MemoryBlobs
