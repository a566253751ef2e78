"""What a BlobStore is: every implementation passes this suite."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.blob_samples import MAX, SIZES, chunks, put_times, sample, stream, temporary_files
from servers.s3 import S3Server, s3, s3_server
from veredus.blob.file import SMALL, FileBlobs
from veredus.blob.memory import MemoryBlobs
from veredus.blob.names import CHUNK, blob_id, id_of
from veredus.blob.s3 import S3Blobs
from veredus.ports import Blob, BlobStore, TooLarge
from veredus.wire.types import is_id


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> float:
        return self.time.timestamp()


Make = Callable[[Path, Callable[[], float]], Awaitable[BlobStore]]


async def memory(_: Path, now: Callable[[], float]) -> BlobStore:
    return MemoryBlobs(now=now)


async def file(directory: Path, now: Callable[[], float]) -> BlobStore:
    return await FileBlobs.at(directory / "blobs", now=now)


IMPLEMENTATIONS: dict[str, Make] = {"memory": memory, "file": file}
# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture(params=[*IMPLEMENTATIONS, "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Hand) -> AsyncIterator[BlobStore]:
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        with server.clock(clock), server.short_pages():
            remote = await S3Blobs.at(server.settings(), now=clock)
            yield remote
            await remote.close()
            assert server.bucket().multiparts == {}
        return
    store = await IMPLEMENTATIONS[request.param](tmp_path, clock)
    yield store
    await store.close()


async def nothing_in_use(_: Collection[str]) -> set[str]:
    return set()


def many(store: BlobStore, count: int) -> int:
    """So many as are many for a store: a request for each takes its time, and pages are short there."""
    return count // 15 if isinstance(store, S3Blobs) else count


# ------------------------------------------------------------------ putting and getting


def test_an_id_is_the_digest_in_base32() -> None:
    # The first of the test vectors that the authors of BLAKE3 publish.
    digest = bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
    assert id_of(b"") == blob_id(digest) == "Bv4jutopv7gq2nicajxvdnxgjjgn4wjojvxarfn6mtkj4vza7gjra"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_was_put_is_got(store: BlobStore, size: int, streamed: bool) -> None:
    data = sample(size)
    blob = await store.put(stream(data) if streamed else data, max_size=size)
    assert blob == Blob(id_of(data), size)
    assert is_id(blob.id)
    assert await store.get(blob.id) == data
    assert await store.size(blob.id) == size
    parts = await chunks(store, blob.id)
    assert b"".join(parts) == data
    assert all(0 < len(part) <= CHUNK for part in parts)


async def test_a_stream_may_hold_empty_and_huge_chunks(store: BlobStore) -> None:
    data = sample(3_000_000)

    async def uneven() -> AsyncIterator[bytes]:
        for part in (b"", data[:1], b"", data[1:2_900_000], data[2_900_000:], b""):
            yield part

    blob = await store.put(uneven(), max_size=MAX)
    assert await store.get(blob.id) == data


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([0, 5, SMALL, 600_000]), st.data())
async def test_ranges_are_slices(store: BlobStore, size: int, draw: st.DataObject) -> None:
    position = st.integers(0, size + 10) | st.sampled_from([0, CHUNK, 2 * CHUNK, 2**40, 2**64])
    start, end = draw.draw(position), draw.draw(st.none() | position)
    data = sample(size)
    id = (await store.put(data, max_size=size)).id
    assert await store.get(id, start, end) == data[start:end]
    assert b"".join(await chunks(store, id, start, end)) == data[start:end]


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_the_same_bytes_are_one_blob(store: BlobStore, size: int) -> None:
    data = sample(size)
    blobs = await asyncio.gather(
        *(store.put(stream(data) if n % 2 else data, max_size=MAX) for n in range(10))
    )
    assert set(blobs) == {Blob(id_of(data), size)}
    assert set(await put_times(store)) == {blobs[0].id}
    assert await store.get(blobs[0].id) == data


async def test_many_puts_at_once(store: BlobStore) -> None:
    data = [sample(size) for size in itertools.chain(range(many(store, 600)), range(SMALL, SMALL + 20))]
    blobs = await asyncio.gather(*(store.put(one, max_size=MAX) for one in data))
    assert [await store.get(blob.id) for blob in blobs] == data


# ------------------------------------------------------------------ limits and faults


@pytest.mark.parametrize("size", [1, SMALL, SMALL + 1, 3_000_000])
@pytest.mark.parametrize("streamed", [False, True])
async def test_too_large_keeps_nothing(store: BlobStore, tmp_path: Path, size: int, streamed: bool) -> None:
    data = sample(size)
    with pytest.raises(TooLarge):
        await store.put(stream(data) if streamed else data, max_size=size - 1)
    assert await store.get(id_of(data)) is None
    assert await put_times(store) == {}
    if isinstance(store, FileBlobs):
        assert temporary_files(tmp_path / "blobs") == []


async def test_a_stream_is_not_read_beyond_the_limit(store: BlobStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for count in itertools.count():
            assert count < 3
            yield bytes(1000)

    with pytest.raises(TooLarge):
        await store.put(endless(), max_size=1500)


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_stream_that_breaks_leaves_nothing(store: BlobStore, tmp_path: Path, size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(sample(size)):
            yield chunk
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(broken(), max_size=MAX)
    assert await put_times(store) == {}
    if isinstance(store, FileBlobs):
        assert temporary_files(tmp_path / "blobs") == []


GOOD = id_of(b"x")
MALFORMED = [
    "",
    "B",
    "x",
    "../../etc/passwd",
    GOOD[:-1],
    GOOD + "\n",
    GOOD.upper(),
    "B" + "/" * 52,
    "B\0" + GOOD,
]
MALFORMED += [GOOD[:-1] + "b", "B../" + GOOD[4:], "\udc80" * 53, "A" + GOOD[1:], "small.db"]


@pytest.mark.parametrize("id", [id_of(b"never put"), *MALFORMED])
async def test_an_unknown_id_names_nothing(store: BlobStore, id: str) -> None:
    await store.put(b"x", max_size=1)
    assert await store.get(id) is None
    assert await store.get(id, 1, 2) is None
    assert await store.size(id) is None
    with pytest.raises(KeyError):
        await chunks(store, id)
    await store.delete([id])
    assert set(await put_times(store)) == {GOOD}


# ------------------------------------------------------------------ garbage collection


@pytest.mark.parametrize("size", [10, 100_000])
async def test_ids_tell_when_a_blob_was_last_put(store: BlobStore, clock: Hand, size: int) -> None:
    first, second = sample(size), sample(size + 1)
    a, b = (await store.put(first, max_size=MAX)).id, (await store.put(second, max_size=MAX)).id
    before = clock.time
    clock.time += timedelta(days=1, microseconds=1)
    assert await put_times(store) == {a: before, b: before}
    await store.put(stream(first), max_size=MAX)
    # A store may cut times off to the second.
    now = clock.time.replace(microsecond=0) if isinstance(store, S3Blobs) else clock.time
    assert await put_times(store) == {a: now, b: before}


async def test_ids_list_every_blob(store: BlobStore) -> None:
    sizes = [*range(many(store, 1500)), *range(SMALL + 1, SMALL + 20)]
    await asyncio.gather(*(store.put(sample(size), max_size=MAX) for size in sizes))
    assert set(await put_times(store)) == {id_of(sample(size)) for size in sizes}


async def test_a_deleted_blob_is_gone_and_can_come_back(store: BlobStore) -> None:
    small, large, kept = sample(100), sample(100_000), sample(101)
    ids = [(await store.put(data, max_size=MAX)).id for data in (small, large, kept)]
    await store.delete(ids[:2])
    await store.delete(ids[:2])
    assert [await store.get(id) for id in ids] == [None, None, kept]
    assert [await store.size(id) for id in ids] == [None, None, 101]
    assert set(await put_times(store)) == {ids[2]}
    assert [await store.put(data, max_size=MAX) for data in (small, large)] == [
        Blob(ids[0], 100),
        Blob(ids[1], 100_000),
    ]
    assert [await store.get(id) for id in ids] == [small, large, kept]


async def test_delete_takes_thousands(store: BlobStore) -> None:
    await asyncio.gather(*(store.put(b"%d" % n, max_size=9) for n in range(many(store, 2000))))
    await store.delete({id_of(b"%d" % n) for n in range(2000)})
    assert await put_times(store) == {}


@pytest.mark.parametrize("size", [10, 100_000])
async def test_what_was_put_again_is_spared(store: BlobStore, clock: Hand, size: int) -> None:
    """Else the collector would take a blob from under the message that has just arrived."""
    old, renewed = sample(size), sample(size + 1)
    ids = [(await store.put(data, max_size=MAX)).id for data in (old, renewed)]
    clock.time += timedelta(days=1)
    await store.put(renewed, max_size=MAX)
    await store.delete(ids, put_before=clock.time)
    assert set(await put_times(store)) == {ids[1]}
    await store.purge(clock.time + timedelta(days=1), nothing_in_use)
    assert [await store.get(id) for id in ids] == [None, renewed]


async def test_a_put_that_meets_a_delete_is_not_lost(store: BlobStore, clock: Hand) -> None:
    """Whichever comes first, and however often: who was told that it is stored can read it."""
    data = [sample(100 + n) for n in range(20)]
    ids = [(await store.put(one, max_size=MAX)).id for one in data]
    for _ in range(3):
        clock.time += timedelta(days=2)

        async def renew(one: bytes, turn: int) -> None:
            for _ in range(turn % 5):
                await asyncio.sleep(0.001)
            await store.put(one, max_size=MAX)

        await asyncio.gather(
            *(store.delete(ids[n::3], put_before=clock.time - timedelta(days=1)) for n in range(3)),
            *(renew(one, turn) for turn, one in enumerate(data)),
        )
        assert [await store.get(id) for id in ids] == data


async def test_purge_forgets_what_was_deleted_and_nothing_else(store: BlobStore, clock: Hand) -> None:
    unused, used, kept = [(await store.put(sample(size), max_size=MAX)).id for size in (10, 11, 12)]
    clock.time += timedelta(days=2)
    await store.delete([unused, used], put_before=clock.time)

    async def in_use(ids: Collection[str]) -> set[str]:
        return set(ids) & {used, kept}

    clock.time += timedelta(days=8)
    assert await store.purge(clock.time - timedelta(days=9), in_use) == 0
    purged = await store.purge(clock.time - timedelta(days=7), in_use)
    assert purged == (1 if isinstance(store, S3Blobs) else 0)
    assert await store.get(unused) is None
    assert await store.get(kept) == sample(12)
    # Who deletes what is in use has made a mistake; a store that keeps things aside can mend it.
    assert await store.get(used) == (sample(11) if isinstance(store, S3Blobs) else None)


async def test_what_is_being_read_is_read_to_its_end(store: BlobStore) -> None:
    data = sample(3_000_000)
    id = (await store.put(data, max_size=MAX)).id
    reader = store.open(id)
    parts = [await anext(reader)]
    await store.delete([id])
    parts += [part async for part in reader]
    assert b"".join(parts) == data


# ------------------------------------------------------------------ cancellation


@pytest.mark.parametrize("size", [10, SMALL, 100_000, 3_000_000])
async def test_a_cancelled_put_leaves_the_blob_or_nothing(
    store: BlobStore, tmp_path: Path, size: int
) -> None:
    for turn in range(12):
        data = bytes([turn]) + sample(size)
        task = asyncio.create_task(store.put(stream(data) if turn % 2 else data, max_size=MAX))
        await asyncio.sleep(turn * 0.0007)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await store.get(id_of(data)) in (None, data)
    data = sample(size)
    assert (await store.put(data, max_size=MAX)).id == id_of(data)
    await store.close()
    if isinstance(store, FileBlobs):
        assert temporary_files(tmp_path / "blobs") == []


async def test_a_reader_may_leave_early(store: BlobStore) -> None:
    id = (await store.put(sample(3_000_000), max_size=MAX)).id
    async for chunk in store.open(id):
        assert chunk
        break

    async def slow() -> None:
        async for _ in store.open(id):
            pass

    for turn in range(8):
        task = asyncio.create_task(slow())
        await asyncio.sleep(turn * 0.0003)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert await store.size(id) == 3_000_000


async def test_a_memory_store_backs_up_one_file_per_blob(tmp_path: Path) -> None:
    store = MemoryBlobs()
    id = (await store.put(b"x", max_size=1)).id
    await store.backup(str(tmp_path))
    assert (tmp_path / id).read_bytes() == b"x"
