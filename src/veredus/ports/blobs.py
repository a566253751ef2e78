"""Immutable bytes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import datetime
from typing import Protocol, TypeAlias

from msgspec import Struct

from veredus.wire.types import BlobId


class Blob(Struct, frozen=True):
    """Immutable bytes, named by their digest."""

    id: BlobId
    size: int


class TooLarge(Exception):
    """More bytes came than were allowed."""


# Those of the given blobs that some record refers to, as Store.referenced_blobs says.
BlobsInUse: TypeAlias = Callable[[Collection[BlobId]], Awaitable[set[BlobId]]]


class BlobStore(Protocol):
    """Immutable bytes named by their digest (BLAKE3, 256 bits, in lower-case base32 with a leading B)."""

    async def put(self, chunks: AsyncIterator[bytes] | bytes, *, max_size: int) -> Blob:
        """Store durably; the same bytes give the same id. Raises TooLarge, and then keeps nothing."""
        ...

    async def get(self, id: BlobId, start: int = 0, end: int | None = None) -> bytes | None:
        """The bytes in ``[start, end)``, or None when there is no such blob. For blobs that fit in memory."""
        ...

    def open(self, id: BlobId, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The same in chunks of at most 256 KiB. Raises KeyError at the first step: no such blob."""
        ...

    async def size(self, id: BlobId) -> int | None: ...

    def ids(self) -> AsyncIterator[tuple[BlobId, datetime]]:
        """Every blob, with the time it was last put; that may be cut off to the second."""
        ...

    async def delete(self, ids: Collection[BlobId], *, put_before: datetime | None = None) -> None:
        """Forget these blobs; unknown ids are ignored.

        ``put_before``: spare those put then or later, since somebody may be about to refer to them. One that
        is put meanwhile can be read afterwards: a store that cannot compare and delete in one step keeps
        what it deletes aside until ``purge``, and brings back what is asked for.
        """
        ...

    async def purge(self, before: datetime, in_use: BlobsInUse) -> int:
        """Forget for good what ``delete`` has kept aside since before that time; how many blobs it was.

        Those ``in_use`` come back, whenever they were deleted: a put and a delete have met. 0 in a store that
        keeps nothing aside.
        """
        ...

    async def backup(self, directory: str) -> None:
        """Write a copy of every blob into ``directory`` while the store is in use."""
        ...

    async def close(self) -> None: ...
