"""The object store: what other clients write and read, full buckets, and what fails half way."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
from nats.js.api import ObjectMeta
from nats.js.client import JetStreamContext

from bridge.nats.servers import Server, linked
from veredus.bridge.nats import eviction
from veredus.bridge.nats.errors import BucketFull, Corrupt, Missing, NatsLost, TimedOut
from veredus.bridge.nats.eviction import Evicted, evict_oldest
from veredus.bridge.nats.jetstream import last_message, purge, stream_info
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.objects import CHUNK, About, ObjectStore
from veredus.bridge.nats.resources import ensure, object_store
from veredus.bridge.nats.window import Window

SIZES = (0, 1, 5000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK + 77)


@pytest.fixture
async def store(link: Link) -> ObjectStore:
    return await made(link)


async def made(link: Link, max_bytes: int = 64 << 20) -> ObjectStore:
    await ensure(link, object_store("parts", ttl_s=3600, max_bytes=max_bytes))
    return ObjectStore(link, "parts")


@asynccontextmanager
async def other_client(server: Server) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(server.url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def messages(store: ObjectStore) -> int:
    return (await stream_info(store.link, store.stream)).messages


@pytest.mark.parametrize("size", SIZES)
async def test_what_we_write_another_client_reads(server: Server, store: ObjectStore, size: int) -> None:
    data = os.urandom(size)
    name = "acct/mail/blob ü"
    about = About({"Content-Type": "text/plain; charset=utf-8", "Filename": "a\r\nb"}, {"k": "v"}, "a part")
    put = await store.put(name, data, about)
    assert put.stored
    assert await store.get(name) == data
    async with other_client(server) as js:
        theirs = await js.object_store("parts")
        found = await theirs.get(name)
        assert found.data == data
        assert (found.info.name, found.info.size, found.info.description) == (name, size, "a part")
        assert found.info.headers == {"Content-Type": ["text/plain; charset=utf-8"], "Filename": ["a  b"]}
        assert found.info.digest == put.info.digest
        assert [info.name for info in await theirs.list()] == [name]


@pytest.mark.parametrize("size", SIZES)
async def test_what_another_client_writes_we_read(server: Server, store: ObjectStore, size: int) -> None:
    data = os.urandom(size)
    async with other_client(server) as js:
        theirs = await js.object_store("parts")
        await theirs.put("x", data, ObjectMeta(headers={"Content-Type": ["a/b"]}))
        assert await store.get("x") == data
        info = await store.info("x")
        assert info is not None
        assert info.headers == {"Content-Type": ["a/b"]}
        assert not (await store.put("x", b"other")).stored
        await theirs.delete("x")
        assert await store.info("x") is None
        with pytest.raises(Missing, match="no 'x'"):
            await store.get("x")
        assert (await store.put("x", b"again")).stored
        assert (await theirs.get("x")).data == b"again"
        assert await store.delete("x")
        assert not await store.delete("x")
        assert (await theirs.get_info("x", show_deleted=True)).deleted


async def test_the_octets_on_the_wire_are_those_of_nats_go(store: ObjectStore) -> None:
    await store.put("a/b", b"hello")
    meta = await last_message(store.link, "OBJ_parts", "$O.parts.M.YS9i")
    assert meta is not None
    assert meta.headers["Nats-Rollup"] == "sub"
    info = await store.info("a/b")
    assert info is not None
    assert meta.data.startswith(
        b'{"name":"a/b","options":{"max_chunk_size":131072},"bucket":"parts","nuid":"%s","size":5,"mtime":"'
        % info.nuid.encode()
    )
    assert meta.data.endswith(b'"chunks":1,"digest":"SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}')
    assert (await last_message(store.link, "OBJ_parts", f"$O.parts.C.{info.nuid}")).data == b"hello"  # type: ignore[union-attr]


async def test_an_object_is_stored_once_and_leaves_no_orphans(server: Server, store: ObjectStore) -> None:
    data = os.urandom(3 * CHUNK)
    async with linked(server) as second:
        stores = [store, ObjectStore(second, "parts")] * 4
        puts = await asyncio.gather(*(one.put("same", data) for one in stores))
    assert sum(put.stored for put in puts) == 1
    assert {put.info.nuid for put in puts} == {next(put.info.nuid for put in puts if put.stored)}
    assert await messages(store) == 4
    replaced = await store.put("same", b"new", replace=True)
    assert replaced.stored
    assert await store.get("same") == b"new"
    assert await messages(store) == 2


async def test_an_object_may_come_in_pieces_of_any_size(store: ObjectStore) -> None:
    pieces = [os.urandom(size) for size in (1, 0, 300_000, 5, CHUNK, 77)]

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    put = await store.put("x", source())
    assert put.info.chunks == 4
    assert await store.get("x") == b"".join(pieces)


async def test_a_source_that_fails_leaves_nothing(store: ObjectStore) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield bytes(5 * CHUNK)
        raise ConnectionError("the JMAP server is gone")

    with pytest.raises(ConnectionError):
        await store.put("x", source())
    assert await messages(store) == 0
    assert await store.info("x") is None


async def test_a_put_that_is_cancelled_leaves_nothing(store: ObjectStore) -> None:
    started = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield bytes(5 * CHUNK)
        started.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put("x", source()))
    await started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await messages(store) == 0


async def test_a_full_bucket_says_so_and_keeps_what_it_has(link: Link) -> None:
    store = await made(link, 20 * CHUNK)
    await store.put("first", bytes(10 * CHUNK))
    with pytest.raises(BucketFull, match="object store parts is full"):
        await store.put("second", bytes(15 * CHUNK))
    assert await messages(store) == 11
    assert (await store.put("third", bytes(5 * CHUNK))).stored


async def test_the_oldest_make_room(link: Link) -> None:
    store = await made(link, 1 << 20)
    for number in range(9):
        await store.put(f"{number}", bytes(100_000))
    await store.delete("0")
    assert await evict_oldest(store, 1000) == Evicted()
    with pytest.raises(BucketFull):
        await store.put("large", bytes(500_000))
    evicted = await evict_oldest(store, 500_000)
    assert evicted == Evicted(objects=3, octets=300_000)
    assert (await store.put("large", bytes(500_000))).stored
    assert [number for number in range(9) if await store.info(f"{number}") is not None] == [4, 5, 6, 7, 8]
    with pytest.raises(BucketFull, match="over max_bytes 1048576"):
        await evict_oldest(store, 1 << 20)


async def test_many_at_once_make_room_for_themselves(server: Server, link: Link) -> None:
    store = await made(link, 1 << 20)
    for number in range(10):
        await store.put(f"old{number}", bytes(90_000))

    async def put(one: ObjectStore, name: str) -> None:
        for _ in range(20):
            try:
                await one.put(name, name.encode() * 10_000)
            except BucketFull:
                await evict_oldest(one, 100_000)
            else:
                return
        raise AssertionError(name)

    async with linked(server) as second:
        other = ObjectStore(second, "parts")
        await asyncio.gather(*(put(one, f"new{n}") for n in range(4) for one in (store, other)))
    assert [await store.get(f"new{n}") for n in range(4)] == [b"new%d" % n * 10_000 for n in range(4)]
    assert await store.info("old0") is None


async def test_a_put_that_takes_too_long_leaves_nothing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veredus.bridge.nats.objects.LONGEST_PUT_S", 0.2)

    async def source() -> AsyncIterator[bytes]:
        yield bytes(5 * CHUNK)
        await asyncio.Event().wait()

    with pytest.raises(TimedOut, match=r"'x' took over 0\.2 s"):
        await store.put("x", source())
    assert await messages(store) == 0


async def test_chunks_of_the_dead_make_room_first(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await made(link, 1 << 20)
    await store.put("living", bytes(200_000))
    window = Window(link)
    for _ in range(3):
        await (await window.send("$O.parts.C.dead", bytes(100_000)))
    for number in range(4):
        await store.put(f"{number}", bytes(100_000))
    monkeypatch.setattr(eviction, "LONGEST_PUT_S", -60.0)
    assert await evict_oldest(store, 350_000) == Evicted(objects=1, octets=200_000, orphans=3)
    assert await store.info("0") is not None


async def test_chunks_under_way_are_no_orphans(link: Link) -> None:
    store = await made(link, 1 << 20)
    window = Window(link)
    for _ in range(3):
        await (await window.send("$O.parts.C.alive", bytes(100_000)))
    for number in range(6):
        await store.put(f"{number}", bytes(100_000))
    assert await evict_oldest(store, 350_000) == Evicted(objects=3, octets=300_000)


async def test_octets_that_do_not_fit_the_digest_are_not_given(store: ObjectStore) -> None:
    for size in (1000, 3 * CHUNK):
        name = f"of {size}"
        put = await store.put(name, bytes(size))
        await purge(store.link, store.stream, store.chunks_of(put.info.nuid))
        with pytest.raises(Corrupt, match="does not fit its digest"):
            await store.get(name)


async def test_an_object_that_goes_while_it_is_read_is_missing(store: ObjectStore) -> None:
    await store.put("x", bytes(200 * CHUNK))
    reading = store.chunks("x")
    await anext(reading)
    await store.delete("x")
    with pytest.raises(Missing, match="removed while it was read"):
        async for _ in reading:
            pass


async def test_a_killed_server_fails_puts_and_gets_with_one_exception(server: Server, link: Link) -> None:
    store = await made(link)
    await store.put("x", bytes(50 * CHUNK))
    reading = store.chunks("x")
    await anext(reading)
    putting = asyncio.create_task(store.put("y", _endless()))
    await asyncio.sleep(0)
    await server.kill()
    with pytest.raises(NatsLost):
        await asyncio.wait_for(putting, 20)
    with pytest.raises(NatsLost):
        async for _ in reading:
            pass
    await server.start()
    async with linked(server) as again:
        assert await ObjectStore(again, "parts").get("x") == bytes(50 * CHUNK)
        assert await ObjectStore(again, "parts").info("y") is None


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(300):
        yield bytes(CHUNK)
    await asyncio.sleep(0.01)
    yield b"x"
    await asyncio.Event().wait()
