"""Key-value buckets: compare-and-swap, many at once, and what other clients see."""

import asyncio
from contextlib import aclosing

import nats
import pytest

from bridge.nats.servers import Server, linked
from veredus.bridge.nats.errors import BadName, Conflict, NatsLost
from veredus.bridge.nats.kv import Entry, KeyValue
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.resources import ensure, key_value


@pytest.fixture
async def kv(link: Link) -> KeyValue:
    await ensure(link, key_value("STATE"))
    return KeyValue(link, "STATE")


async def test_a_value_has_a_revision(kv: KeyValue) -> None:
    assert await kv.get("a.b") is None
    first = await kv.put("a.b", b"1")
    assert await kv.get("a.b") == (b"1", first)
    second = await kv.update("a.b", b"2", first)
    assert second > first
    with pytest.raises(Conflict):
        await kv.update("a.b", b"3", first)
    assert await kv.get("a.b") == (b"2", second)


async def test_only_one_creates(kv: KeyValue) -> None:
    revision = await kv.create("a", b"1")
    with pytest.raises(Conflict):
        await kv.create("a", b"2")
    with pytest.raises(Conflict):
        await kv.delete("a", revision + 1)
    await kv.delete("a", revision)
    assert await kv.get("a") is None
    assert await kv.create("a", b"3") > revision
    assert (await kv.get("a") or (b"",))[0] == b"3"
    await kv.delete("a")


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "ü"])
async def test_a_key_that_is_none_is_refused(kv: KeyValue, key: str) -> None:
    for call in (kv.get(key), kv.put(key, b""), kv.delete(key), kv.put_many({key: b""})):
        with pytest.raises(BadName):
            await call


async def test_thousands_at_once(kv: KeyValue) -> None:
    values: dict[str, bytes | None] = {f"acct.Email.m{number}": b"%d" % number for number in range(3000)}
    await kv.put_many({**values, "other.x": b"y"})
    assert {entry.key: entry.value async for entry in kv.entries("acct.Email")} == values
    await kv.put_many(dict.fromkeys(list(values)[10:]))
    assert await kv.keys("acct") == sorted(list(values)[:10])
    assert await kv.keys() == [*sorted(list(values)[:10]), "other.x"]
    assert await kv.keys("nobody") == []


async def test_changes_are_seen_as_they_come(server: Server, kv: KeyValue) -> None:
    one = await kv.put("a.1", b"1")
    two = await kv.put("a.2", b"2")
    await kv.delete("a.2", two)
    async with aclosing(kv.watch("a")) as watching:
        assert await anext(watching) == Entry("a.1", b"1", one)
        assert await anext(watching) is None
        coming = asyncio.ensure_future(anext(watching))
        async with linked(server) as other:
            three = await KeyValue(other, "STATE").put("a.3", b"3")
            assert await coming == Entry("a.3", b"3", three)
            await KeyValue(other, "STATE").delete("a.1")
        gone = await anext(watching)
        assert gone is not None
        assert (gone.key, gone.value) == ("a.1", None)
        await server.kill()
        with pytest.raises(NatsLost):
            await asyncio.wait_for(anext(watching), 20)


async def test_a_watch_outlives_silence(kv: KeyValue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("veredus.bridge.nats.reader.ANSWER_S", 0.3)
    async with aclosing(kv.watch()) as watching:
        assert await anext(watching) is None
        coming = asyncio.ensure_future(anext(watching))
        await asyncio.wait([coming], timeout=1.5)
        assert not coming.done()
        revision = await kv.put("late", b"1")
        assert await coming == Entry("late", b"1", revision)


async def test_other_clients_see_the_same(server: Server, kv: KeyValue) -> None:
    theirs = await nats.connect(server.url)
    bucket = await theirs.jetstream().key_value("STATE")
    revision = await kv.put("a", b"ours")
    entry = await bucket.get("a")
    assert (entry.value, entry.revision) == (b"ours", revision)
    revision = await bucket.update("a", b"theirs", revision)
    assert await kv.get("a") == (b"theirs", revision)
    await bucket.delete("a")
    assert await kv.get("a") is None
    await kv.create("a", b"new")
    await bucket.purge("a")
    assert await kv.keys() == []
    await theirs.close()


async def test_the_revision_of_hundreds_who_swap_is_never_lost(server: Server, kv: KeyValue) -> None:
    """Each adds one, many times, at once: nothing is counted twice and nothing is lost."""
    await kv.put("count", b"0")
    async with linked(server) as other:

        async def add(bucket: KeyValue) -> None:
            while True:
                value, revision = await bucket.get("count") or (b"", 0)
                try:
                    await bucket.update("count", b"%d" % (int(value) + 1), revision)
                except Conflict:
                    continue
                return

        second = KeyValue(other, "STATE")
        await asyncio.gather(*(add(bucket) for bucket in (kv, second) for _ in range(20)))
    assert (await kv.get("count") or (b"",))[0] == b"40"
