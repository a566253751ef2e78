"""Blobs in one directory: small ones in a SQLite file, large ones as files."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeVar, TypeVarTuple

import apsw

from veredus.blob.large import LargeBlobs, fsync_directory, make_directory
from veredus.blob.names import CHUNK, from_micros, id_of, is_blob_id, to_micros
from veredus.blob.small import SmallBlobs
from veredus.ports import Blob, BlobsInUse, BlobStore, TooLarge, Unavailable
from veredus.wire.types import BlobId

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# The largest blob that goes into small.db. Most messages do; one there is cheaper to read than a file.
SMALL = 64 * 1024
# A longer stream is handed to a thread in pieces of this size, because a hop costs 100 us.
_PIECE = 1024 * 1024
_THREADS = 4
_SMALL_FILE = "small.db"
_ANY_TIME = 2**62


class FileBlobs:
    """Made by ``at``. Belongs to one event loop; several processes may use one directory."""

    def __init__(self, small: SmallBlobs, large: LargeBlobs) -> None:
        self._small, self._large = small, large
        # Not the loop's own pool: slow disks must not keep name lookups waiting.
        self._pool = ThreadPoolExecutor(_THREADS, "blob-files")
        self._closed = False

    @classmethod
    async def at(cls, directory: str | Path, *, now: Callable[[], float] = time.time) -> "FileBlobs":
        """The store in ``directory``, which is made if need be. ``now``: seconds since 1970."""
        path = Path(directory)
        with _translated():
            large = await asyncio.to_thread(LargeBlobs, path, now=now)
            return cls(SmallBlobs(path / _SMALL_FILE, now=now), large)

    async def put(self, chunks: AsyncIterator[bytes] | bytes, *, max_size: int) -> Blob:
        """A large blob that was stored before is written and dated anew."""
        if not isinstance(chunks, bytes):
            return await self._put_stream(chunks, max_size)
        if len(chunks) > max_size:
            raise TooLarge
        if len(chunks) <= SMALL:
            return await self._put_small(chunks)
        return await self._call(self._large.store, chunks)

    async def _put_small(self, data: bytes) -> Blob:
        id = id_of(data)
        await self._small.put(id, data)
        return Blob(id, len(data))

    async def _put_stream(self, chunks: AsyncIterator[bytes], max_size: int) -> Blob:
        """Holds one piece, and one that is being written; up to SMALL it never makes a file."""
        spool, room, size, piece = self._large.spool(), SMALL, 0, bytearray()
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > max_size:
                    raise TooLarge
                piece += chunk
                if len(piece) > room:
                    await self._call(spool.write, piece)
                    piece, room = bytearray(), _PIECE
            if size <= SMALL:
                return await self._put_small(bytes(piece))
            await self._call(spool.write, piece)
            return await self._call(spool.finish)
        except BaseException:  # cancelled, too: nothing of it may stay
            await self._call(spool.discard)
            raise

    async def get(self, id: BlobId, start: int = 0, end: int | None = None) -> bytes | None:
        if not is_blob_id(id):
            return None
        small = self._small.get(id)
        if small is not None:
            return small if start == 0 and end is None else small[start:end]
        return await self._call(self._read_large, id, start, end)

    def _read_large(self, id: BlobId, start: int, end: int | None) -> bytes | None:
        file = self._large.open(id)
        if file is None:
            return None
        with file:
            return file.read(_seek(file, start, end))

    async def open(self, id: BlobId, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A blob that is deleted meanwhile is read to its end."""
        small = self._small.get(id) if is_blob_id(id) else None
        if small is not None:
            if part := small[start:end]:
                yield part
            return
        file = self._open_large(id)
        # A cancelled read goes on in its thread; closing waits for it, because a BufferedReader has a lock.
        with file:
            left = _seek(file, start, end)
            while left > 0 and (chunk := await self._call(file.read, min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def _open_large(self, id: BlobId) -> BinaryIO:
        with _translated():
            file = self._large.open(id) if is_blob_id(id) else None
        if file is None:
            raise KeyError(id)
        return file

    async def size(self, id: BlobId) -> int | None:
        if not is_blob_id(id):
            return None
        small = self._small.size(id)
        with _translated():
            return self._large.size(id) if small is None else small

    async def ids(self) -> AsyncIterator[tuple[BlobId, datetime]]:
        async for id, put_at in self._small.ids():
            yield id, from_micros(put_at)
        for folder in await self._call(self._large.folders):
            for id, put_at in await self._call(self._large.ids, folder):
                yield id, from_micros(put_at)

    async def delete(self, ids: Collection[BlobId], *, put_before: datetime | None = None) -> None:
        """``put_before``: spare those put at that time or later; garbage collection races with put."""
        names = [id for id in ids if is_blob_id(id)]
        before = _ANY_TIME if put_before is None else to_micros(put_before)
        await self._small.delete(names, before)
        await self._call(self._large.delete, names, before)

    async def purge(self, before: datetime, in_use: BlobsInUse) -> int:
        """Nothing is kept aside: a blob that is put meanwhile is not deleted in the first place."""
        return 0

    async def backup(self, directory: str) -> None:
        """A directory that ``at`` opens; large blobs become hard links where the file system allows it."""
        await self._call(self._backup, Path(directory))

    def _backup(self, target: Path) -> None:
        make_directory(target)
        self._small.backup(target / _SMALL_FILE)
        self._large.backup(target)
        fsync_directory(target)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._pool.shutdown)
            await self._small.close()

    async def _call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in a thread. Cancelling the caller does not stop it."""
        if self._closed:
            raise Unavailable("closed")
        with _translated():
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _seek(file: BinaryIO, start: int, end: int | None) -> int:
    """Go to ``start``; how many bytes there are from there to ``end``."""
    size = os.fstat(file.fileno()).st_size
    file.seek(min(start, size))
    return max(0, (size if end is None else min(end, size)) - start)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, apsw.Error) as error:
        raise Unavailable(str(error)) from error


_: type[BlobStore] = FileBlobs
