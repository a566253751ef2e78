"""What S3 asks for besides: few requests, parts, clear errors, and a garbage collector that may sleep."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from contract.blob_samples import MAX, chunks, put_times, sample, stream
from servers.s3 import S3Server, s3, s3_server
from veredus.blob import s3_bucket
from veredus.blob.names import CHUNK, Damaged, id_of
from veredus.blob.s3 import S3Blobs
from veredus.blob.s3_bucket import PART, S3Settings
from veredus.ports import Unavailable

# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]
DAY = timedelta(days=1)


class Hand:
    """The time of server and store, until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def store(s3: S3Server, clock: Hand) -> AsyncIterator[S3Blobs]:
    with s3.clock(clock):
        store = await S3Blobs.at(s3.settings(), now=clock)
        s3.requests.clear()
        yield store
        await store.close()


async def nothing(_: Collection[str]) -> set[str]:
    return set()


# ------------------------------------------------------------------ requests and keys


@pytest.mark.parametrize("size", [0, 10_000, PART])
async def test_what_fits_in_a_part_is_one_request(s3: S3Server, store: S3Blobs, size: int) -> None:
    data = sample(size)
    for body in (data, stream(data, 500_000)):
        id = (await store.put(body, max_size=MAX)).id
    await store.get(id)
    await chunks(store, id)
    await store.size(id)
    path = f"/mail/a/prefix/blobs/{id[1:3]}/{id}"
    assert s3.requests == [("PUT", path), ("PUT", path), ("GET", path), ("GET", path), ("HEAD", path)]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 12_000_000])
async def test_what_is_larger_is_sent_in_parts(
    s3: S3Server, store: S3Blobs, size: int, streamed: bool
) -> None:
    data = sample(size)
    id = (await store.put(stream(data) if streamed else data, max_size=MAX)).id
    parts = [path for method, path in s3.requests if method == "PUT" and "partNumber=" in path]
    assert len(parts) == -(-size // PART)
    assert id == id_of(data)
    assert await store.get(id) == data
    got = await chunks(store, id)
    assert b"".join(got) == data
    assert all(0 < len(chunk) <= CHUNK for chunk in got)


async def test_what_is_not_ours_is_left_alone(s3: S3Server, store: S3Blobs, clock: Hand) -> None:
    id = (await store.put(b"x", max_size=1)).id
    for name in ("blobs/readme.txt", f"blobs/{id}", "trash/notes", f"trash/x/{id[:-1]}/1", f"other/ab/{id}"):
        s3.put(f"a/prefix/{name}", b"not ours")
    before = set(s3.bucket().keys)
    clock.time += 10 * DAY
    assert set(await put_times(store)) == {id}
    assert await store.purge(clock.time, nothing) == 0
    assert set(s3.bucket().keys) == before


# ------------------------------------------------------------------ faults


async def test_damage_is_told_and_no_damaged_blob_looks_complete(s3: S3Server, store: S3Blobs) -> None:
    data = sample(1_000_000)
    id = (await store.put(data, max_size=MAX)).id
    s3.bucket().keys[f"a/prefix/blobs/{id[1:3]}/{id}"].value = b"?" + data[1:]
    with pytest.raises(Damaged, match=f"blob {id} is damaged"):
        await store.get(id)
    got = b""
    with suppress(Damaged):
        async for chunk in store.open(id, 0, len(data)):
            got += chunk
    assert 0 < len(got) < len(data)
    assert await store.get(id, 5, 10) == data[5:10]


async def test_wrong_credentials_are_told_without_the_secret(s3: S3Server, store: S3Blobs) -> None:
    id = (await store.put(b"x", max_size=1)).id
    with s3.strict():
        for call in (
            S3Blobs.at(s3.settings()), store.put(b"y", max_size=1), store.get(id), store.delete([id]),
            store.size(id), put_times(store), store.get(id_of(b"other")),
        ):  # fmt: skip
            with pytest.raises(Unavailable) as told:
                await call
            assert "s3://mail/a/prefix at http://127.0.0.1" in str(told.value)
            assert "the credentials were refused" in str(told.value)
            assert "the-secret" not in repr(told.value) + str(told.value.__cause__)


async def test_a_bucket_that_is_missing_is_told_and_is_no_missing_blob(s3: S3Server, store: S3Blobs) -> None:
    id = (await store.put(b"x", max_size=1)).id
    s3.forget()
    calls = (store.put(b"y", max_size=1), store.get(id), store.size(id), chunks(store, id), put_times(store))
    for call in (S3Blobs.at(s3.settings()), store.delete([id]), *calls):
        with pytest.raises(Unavailable, match=r"s3://mail/a/prefix at http.*there is no such bucket"):
            await call


async def test_an_endpoint_that_is_dead_or_silent_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_bucket, "_STALLED", timedelta(milliseconds=200))
    monkeypatch.setattr(s3_bucket, "_RETRIES", 1)
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        for sock, reason in ((silent, "no answer in time"), (closed, "cannot be reached")):
            endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
            settings = S3Settings("s3://mail/p", endpoint, access_key="id", secret_key="the-secret")
            async with asyncio.timeout(20):
                with pytest.raises(Unavailable, match=f"s3://mail/p at {endpoint}: {reason}"):
                    await S3Blobs.at(settings)


async def test_a_hiccup_of_the_server_is_waited_for(s3: S3Server, store: S3Blobs) -> None:
    answers = iter([True, True])
    with s3.refusing("503 Slow Down", lambda method, _: method == "PUT" and next(answers, False)):
        blob = await store.put(b"x", max_size=1)
    assert await store.get(blob.id) == b"x"


# ------------------------------------------------------------------ the garbage collector


def is_delete(method: str, path: str) -> bool:
    return method == "POST" and path.endswith("?delete")


def is_copy_to_trash(method: str, path: str) -> bool:
    return method == "PUT" and "/trash/" in path


async def test_a_put_between_the_look_and_the_delete_is_read_back(
    s3: S3Server, store: S3Blobs, clock: Hand
) -> None:
    data = sample(100)
    id = (await store.put(data, max_size=MAX)).id
    clock.time += 2 * DAY
    with s3.gate(is_delete) as gate:
        collecting = asyncio.create_task(store.delete([id], put_before=clock.time - DAY))
        await gate.wait()
        await store.put(data, max_size=MAX)
        gate.opened.set()
        await collecting
    assert await put_times(store) == {}
    assert await store.get(id) == data
    assert await put_times(store) == {id: clock.time}


@pytest.mark.parametrize("read", ["get", "range", "empty range", "open", "size"])
async def test_whoever_misses_it_brings_it_back(store: S3Blobs, clock: Hand, read: str) -> None:
    data = sample(100)
    id = (await store.put(data, max_size=MAX)).id
    clock.time += 2 * DAY
    await store.delete([id], put_before=clock.time)
    match read:
        case "get":
            assert await store.get(id) == data
        case "range":
            assert await store.get(id, 3, 9) == data[3:9]
        case "empty range":
            assert await store.get(id, 9, 9) == b""
        case "open":
            assert b"".join(await chunks(store, id)) == data
        case _:
            assert await store.size(id) == 100
    assert set(await put_times(store)) == {id}


async def test_a_collector_that_slept_while_it_deleted_deletes_nothing(
    s3: S3Server, store: S3Blobs, clock: Hand
) -> None:
    """Its copy may be purged by the time that it wakes up."""
    data = sample(100)
    id = (await store.put(data, max_size=MAX)).id
    clock.time += 2 * DAY
    with s3.gate(is_copy_to_trash) as gate:
        collecting = asyncio.create_task(store.delete([id], put_before=clock.time))
        await gate.wait()
        clock.time += 8 * DAY
        gate.opened.set()
        await collecting
    await store.purge(clock.time + DAY, nothing)
    assert await store.get(id) == data


async def test_a_collector_that_decided_long_ago_deletes_nothing_newer(store: S3Blobs, clock: Hand) -> None:
    data = sample(100)
    id = (await store.put(data, max_size=MAX)).id
    clock.time += 2 * DAY
    decided = clock.time - DAY
    clock.time += 8 * DAY
    await store.put(data, max_size=MAX)
    await store.delete([id], put_before=decided)
    assert await put_times(store) == {id: clock.time}


async def test_purge_waits_seven_days_and_restores_what_a_race_took(
    s3: S3Server, store: S3Blobs, clock: Hand
) -> None:
    """Nobody has read the blob in all that time; a record refers to it all the same."""
    data = sample(100)
    id, other = [(await store.put(one, max_size=MAX)).id for one in (data, sample(101))]
    clock.time += 2 * DAY
    await store.delete([id, other], put_before=clock.time)

    async def in_use(ids: Collection[str]) -> set[str]:
        return set(ids) & {id}

    clock.time += 6 * DAY
    assert await store.purge(clock.time - 7 * DAY, nothing) == 0
    clock.time += 2 * DAY
    assert await store.purge(clock.time - 7 * DAY, in_use) == 1
    assert set(await put_times(store)) == {id}
    assert not [key for key in s3.bucket().keys if "/trash/" in key]
    assert await store.get(id) == data
    assert await store.get(other) is None


async def test_a_round_brings_back_what_a_race_took_before_a_backup_goes_without(
    store: S3Blobs, clock: Hand
) -> None:
    id, other = [(await store.put(sample(size), max_size=MAX)).id for size in (100, 101)]
    clock.time += 2 * DAY
    await store.delete([id, other], put_before=clock.time)

    async def in_use(ids: Collection[str]) -> set[str]:
        return set(ids) & {id}

    assert await store.purge(clock.time - 7 * DAY, in_use) == 0
    assert set(await put_times(store)) == {id}


async def test_a_late_purge_leaves_a_newer_copy(s3: S3Server, store: S3Blobs, clock: Hand) -> None:
    data = sample(100)
    id = (await store.put(data, max_size=MAX)).id
    clock.time += 2 * DAY
    await store.delete([id], put_before=clock.time)
    clock.time += 8 * DAY
    first = iter([True])
    with s3.gate(lambda *request: is_delete(*request) and next(first, False)) as gate:
        purging = asyncio.create_task(store.purge(clock.time - 7 * DAY, nothing))
        await gate.wait()
        await store.put(data, max_size=MAX)
        clock.time += 2 * DAY
        await store.delete([id], put_before=clock.time)
        gate.opened.set()
        assert await purging == 1
    assert await store.get(id) == data
