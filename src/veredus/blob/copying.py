"""Reading and copying the blobs of any store, each compared with its digest on the way."""

import asyncio
from collections.abc import Callable

from blake3 import blake3
from msgspec import Struct, field

from veredus.blob.names import Damaged, blob_id
from veredus.ports import BlobStore
from veredus.wire.types import BlobId

_AT_ONCE = 16
_NO_LIMIT = 2**62


class Copied(Struct):
    """How far a copy is. ``kept``: blobs that the target had already."""

    blobs: int = 0
    octets: int = 0
    kept: int = 0
    damaged: list[BlobId] = field(default_factory=list)


async def copy_blobs(
    source: BlobStore, target: BlobStore, tell: Callable[[Copied], None] | None = None
) -> Copied:
    """Copy what ``target`` lacks; ``tell`` is called after each blob.

    One that is deleted meanwhile is left out, and so is one that is damaged: its bytes may be in the
    target under the name that is theirs, where nobody refers to them.
    """
    done = Copied()
    is_new = await anext(target.ids(), None) is None
    ids = source.ids()
    turn = asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:
                entry = await anext(ids, None)
            if entry is None:
                return
            await _copy(source, target, entry[0], done, is_new=is_new)
            if tell is not None:
                tell(done)

    workers = [asyncio.create_task(work()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return done


async def _copy(source: BlobStore, target: BlobStore, id: BlobId, done: Copied, *, is_new: bool) -> None:
    if not is_new and await target.size(id) is not None:
        done.kept += 1
        return
    try:
        blob = await target.put(source.open(id), max_size=_NO_LIMIT)
    except KeyError:
        return
    except Damaged:
        done.damaged.append(id)
        return
    if blob.id != id:
        done.damaged.append(id)
        return
    done.blobs += 1
    done.octets += blob.size


async def is_intact(blobs: BlobStore, id: BlobId) -> bool:
    """Whether the bytes are those that were put (KeyError: there is no such blob)."""
    digest = blake3()
    try:
        async for chunk in blobs.open(id):
            digest.update(chunk)
    except Damaged:
        return False
    return blob_id(digest.digest()) == id
