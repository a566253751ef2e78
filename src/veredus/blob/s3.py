"""Blobs in an S3-compatible store. ADR 0022; for those who run it: docs/blobs.md.

Keys, below the prefix of the URL:

    blobs/ab/Bab…                    a blob by its id; the two characters are the beginning of its digest
    trash/ab/Bab…/0123456789abcdef   what the garbage collector took (``s3_trash``)

A digest is random, so that a server that splits keys into ranges finds them evenly filled; the two
characters make 1,024 folders for servers and tools that have folders. Nothing is stored under a name
that is not final, so that a crash leaves nothing but parts of a multipart upload, which the bucket's
lifecycle removes. The time of a put is the server's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from datetime import datetime
from typing import TypeVar

import structlog
from blake3 import blake3

from veredus.blob.copying import copy_blobs
from veredus.blob.file import FileBlobs
from veredus.blob.names import CHUNK, Damaged, blob_id, id_of, is_blob_id
from veredus.blob.s3_bucket import PART, Bucket, Found, S3Settings
from veredus.blob.s3_spool import Spool
from veredus.blob.s3_trash import LIVE, Trash, id_in, live_key
from veredus.ports import Blob, BlobsInUse, BlobStore, TooLarge, Unavailable
from veredus.wire.types import BlobId

T = TypeVar("T")

log = structlog.get_logger()

# A long stream goes to the spool in pieces of this size, because a hop to a thread costs 100 us.
_PIECE = 1024 * 1024
_TRIES = 3


class S3Blobs:
    """Made by ``at``. Belongs to one event loop; any number of nodes may use one bucket."""

    def __init__(self, bucket: Bucket, trash: Trash) -> None:
        self._bucket, self._trash = bucket, trash
        # Uploads in parts go on when their caller is cancelled: else the parts would stay in the bucket.
        self._uploads: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def at(cls, settings: S3Settings, *, now: Callable[[], float] = time.time) -> "S3Blobs":
        """Asks the server once, so that wrong settings are found now. ``now``: seconds since 1970."""
        bucket = Bucket(settings)
        async for _ in bucket.pages("probe"):  # nothing is there, so the answer is short
            break
        return cls(bucket, Trash(bucket, now=now))

    async def put(self, chunks: AsyncIterator[bytes] | bytes, *, max_size: int) -> Blob:
        """One request up to PART. More of a stream is spooled, then sent in parts."""
        self._must_be_open()
        if not isinstance(chunks, bytes):
            return await self._put_stream(chunks, max_size)
        if len(chunks) > max_size:
            raise TooLarge
        id = await _name(chunks)
        sending = self._bucket.put(live_key(id), chunks)
        await (sending if len(chunks) <= PART else self._finish(sending))
        return Blob(id, len(chunks))

    async def _put_stream(self, chunks: AsyncIterator[bytes], max_size: int) -> Blob:
        spool, size, piece = Spool(), 0, bytearray()
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > max_size:
                    raise TooLarge
                piece += chunk
                if len(piece) > (PART if spool.is_empty else _PIECE):
                    await spool.write(piece)
                    piece = bytearray()
            if spool.is_empty:
                return await self.put(bytes(piece), max_size=max_size)
            await spool.write(piece)
        except BaseException:  # cancelled, too
            await asyncio.to_thread(spool.close)
            raise
        id, _ = spool.rewound()
        await self._finish(self._send(spool))
        return Blob(id, size)

    async def _send(self, spool: Spool) -> None:
        try:
            id, file = spool.rewound()
            await self._bucket.put_file(live_key(id), file)
        finally:
            spool.close()

    async def _finish(self, sending: Coroutine[None, None, None]) -> None:
        """Wait for an upload; it does not end with the caller."""
        upload = asyncio.create_task(sending)
        self._uploads.add(upload)
        upload.add_done_callback(self._ended)
        await asyncio.shield(upload)

    def _ended(self, upload: asyncio.Task[None]) -> None:
        """Nobody else may be left who hears of a failure; nobody refers to that blob then."""
        self._uploads.discard(upload)
        if not upload.cancelled():
            upload.exception()

    async def get(self, id: BlobId, start: int = 0, end: int | None = None) -> bytes | None:
        """Raises Damaged when a whole blob has another digest."""
        found = await self._find(id, start, end)
        if found is None or isinstance(found, bytes):
            return found
        data = await self._bucket.read(found)
        if found.is_whole and await _name(data) != id:
            raise self._damaged(id)
        return data

    async def open(self, id: BlobId, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """One request, which lasts as long as the reader takes. The last chunk of a whole blob comes
        only when the digest is right (else Damaged), so that nobody takes what is damaged for complete."""
        found = await self._find(id, start, end)
        if found is None:
            raise KeyError(id)
        if isinstance(found, bytes):
            return
        digest, held = blake3(), b""
        async for chunk in self._bucket.stream(found, CHUNK):
            if found.is_whole:
                digest.update(chunk)
            if held:
                yield held
            held = chunk
        if found.is_whole and blob_id(digest.digest()) != id:
            raise self._damaged(id)
        if held:
            yield held

    async def _find(self, id: BlobId, start: int, end: int | None) -> Found | bytes | None:
        """What to read; b"" when it is nothing."""
        self._must_be_open()
        if not is_blob_id(id):
            return None
        if end is not None and end <= start:
            return None if await self.size(id) is None else b""
        try:
            return await self._retrieved(id, lambda: self._bucket.get(live_key(id), start, end))
        except EOFError:
            return b""

    async def size(self, id: BlobId) -> int | None:
        self._must_be_open()
        if not is_blob_id(id):
            return None
        entry = await self._retrieved(id, lambda: self._bucket.head(live_key(id)))
        return None if entry is None else entry.size

    async def _retrieved(self, id: BlobId, request: Callable[[], Awaitable[T | None]]) -> T | None:
        """What ``request`` finds; a blob that is missing is brought back from the trash. Several times: a
        collector that was about to delete it may do so once more."""
        found = await request()
        for _ in range(_TRIES):
            if found is not None or not await self._trash.bring_back(id):
                break
            found = await request()
        return found

    async def ids(self) -> AsyncIterator[tuple[BlobId, datetime]]:
        """A request for each thousand."""
        self._must_be_open()
        async for page in self._bucket.pages(LIVE):
            for entry in page:
                id = id_in(entry.key)
                if id is not None:
                    yield id, entry.modified

    async def delete(self, ids: Collection[BlobId], *, put_before: datetime | None = None) -> None:
        self._must_be_open()
        names = [id for id in ids if is_blob_id(id)]
        if put_before is not None:
            await self._trash.take(names, put_before)
        elif names:
            await self._bucket.delete([live_key(id) for id in names])
            await self._trash.forget(set(names))

    async def purge(self, before: datetime, in_use: BlobsInUse) -> int:
        """Reads the whole trash, a request for each thousand."""
        self._must_be_open()
        return await self._trash.purge(before, in_use)

    async def backup(self, directory: str) -> None:
        """A directory that FileBlobs opens. What is there from an earlier backup is not fetched again."""
        self._must_be_open()
        target = await FileBlobs.at(directory)
        try:
            copied = await copy_blobs(self, target)
        finally:
            await target.close()
        if copied.damaged:  # no reason to go without a copy of the others
            log.error("damaged blobs are not in the backup", blobs=copied.damaged)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*self._uploads, return_exceptions=True)

    def _must_be_open(self) -> None:
        if self._closed:
            raise Unavailable("closed")

    def _damaged(self, id: BlobId) -> Damaged:
        return Damaged(f"{self._bucket.name}: blob {id} is damaged: its bytes have another digest")


async def _name(data: bytes) -> BlobId:
    """A megabyte takes the event loop 0.3 ms; more is hashed in a thread."""
    return id_of(data) if len(data) <= _PIECE else await asyncio.to_thread(id_of, data)


_: type[BlobStore] = S3Blobs
