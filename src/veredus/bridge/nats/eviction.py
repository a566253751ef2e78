"""Room in an object store that is full: its oldest objects go, whole, as its age limit would take them."""

from contextlib import aclosing
from datetime import datetime, timedelta

from msgspec import Struct

from veredus.bridge.nats.errors import BucketFull
from veredus.bridge.nats.jetstream import (
    Stored,
    StreamInfo,
    delete_message,
    next_message,
    purge,
    stream_info,
)
from veredus.bridge.nats.objects import CHUNK, LONGEST_PUT_S, ObjectStore, read_info
from veredus.bridge.nats.reader import Reading, read

# What the server counts for a message besides its octets, with the subject; rather too much.
_PER_MESSAGE = 256
_META = 2048
# The part of a bucket that is made free at once, so that not each put is refused first.
_A_LITTLE_MORE = 128


class Evicted(Struct, frozen=True):
    """``orphans``: chunks that never became an object, since their writer died."""

    objects: int = 0
    octets: int = 0
    orphans: int = 0


async def evict_oldest(store: ObjectStore, octets_needed: int) -> Evicted:
    """Remove objects, oldest first, until one of ``octets_needed`` fits, and a little more.

    Raises BucketFull when it would not fit into the empty bucket.
    """
    info = await stream_info(store.link, store.stream)
    limit = int(info.config.get("max_bytes", -1))
    needed = octets_needed + _META + (octets_needed // CHUNK + 2) * _PER_MESSAGE
    if limit <= 0:
        return Evicted()
    if needed > limit:
        raise BucketFull(f"object store {store.bucket}: {octets_needed} octets are over max_bytes {limit}")
    if info.octets + needed > limit:
        needed = max(needed, limit // _A_LITTLE_MORE)
    evicted = Evicted()
    orphans = _Orphans(store)
    while info.octets + needed > limit:
        meta = await next_message(store.link, store.stream, f"$O.{store.bucket}.M.>", info.first_sequence)
        if meta is None:
            break  # all that is left are chunks of objects on their way
        if removed := await orphans.remove(info, meta):
            evicted = Evicted(evicted.objects, evicted.octets, evicted.orphans + removed)
        else:
            evicted = await _evict(store, meta, evicted)
        info = await stream_info(store.link, store.stream)
    return evicted


async def _evict(store: ObjectStore, meta: Stored, evicted: Evicted) -> Evicted:
    """The meta message goes first: a reader shall find the whole object or none."""
    info = read_info(meta.data, store.bucket)
    was_there = await delete_message(store.link, store.stream, meta.sequence)
    if info.deleted or not was_there:
        return evicted
    await purge(store.link, store.stream, store.chunks_of(info.nuid))
    return Evicted(evicted.objects + 1, evicted.octets + info.size, evicted.orphans)


class _Orphans:
    """Looks for chunks without an object at the beginning of the stream."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._living: set[str] | None = None

    async def remove(self, info: StreamInfo, oldest_meta: Stored) -> int:
        """How many chunks of one dead writer went. Young ones may belong to a put that is under way."""
        store = self._store
        chunks = f"$O.{store.bucket}.C.>"
        chunk = await next_message(store.link, store.stream, chunks, info.first_sequence)
        if chunk is not None and _time(oldest_meta) - _time(chunk) > timedelta(seconds=2 * LONGEST_PUT_S):
            if self._living is None:
                self._living = await _nuids(store)
            if chunk.subject.rpartition(".")[2] not in self._living:
                return await purge(store.link, store.stream, chunk.subject)
        return 0


async def _nuids(store: ObjectStore) -> set[str]:
    """Of all objects. Only read when something looks like an orphan: others may have written meta messages
    anew, and so later than we think."""
    reading = Reading(store.stream, f"$O.{store.bucket}.M.>", "last_per_subject")
    async with aclosing(read(store.link, reading)) as metas:
        return {read_info(meta.data, store.bucket).nuid async for meta in metas if meta is not None}


def _time(message: Stored) -> datetime:
    return datetime.fromisoformat(message.time)
