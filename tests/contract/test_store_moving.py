"""Moving an account from one store into another: every pair of stores (ADR 0023)."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from contract.moved import Broken, broken, clock, everything, fill, kind, make, told
from contract.stores import BOX, CACHE, MESSAGE, STORES, FakeClock, message, put
from veredus.conditions import Text
from veredus.ports import Cursor, Table
from veredus.ports.moving import Head, LogRow, Moving, Piece, Row
from veredus.store import moving
from veredus.store.memory import MemoryStore
from veredus.wire.types import JsonObject

__all__ = ["clock", "kind", "make"]

PAIRS = [(source, target) for source in STORES for target in STORES]


@pytest.fixture(params=PAIRS, ids="-".join)
async def pair(request: pytest.FixtureRequest, make: Callable[[str], Any]) -> tuple[Moving, Moving]:
    source, target = request.param
    return await make(source), await make(target)


async def test_a_loaded_account_is_the_same(pair: tuple[Moving, Moving], clock: FakeClock) -> None:
    source, target = pair
    await fill(source, clock)
    await put(target, message("mine"), account="C")
    await target.load("A", partial(source.dump, "A"))
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)
    assert await target.accounts() == ["A", "C"]
    feed, _ = await target.feed(Cursor(), 1000)
    ours = [(change.type, change.id, change.modseq) for change in feed if change.account == "A"]
    log = [one for one in await everything(source) if isinstance(one, LogRow)]
    assert ours == [(row.type, row.id, row.modseq) for row in log]


async def test_a_loaded_account_goes_on(pair: tuple[Moving, Moving], clock: FakeClock) -> None:
    source, target = pair
    await fill(source, clock)
    await target.load("A", partial(source.dump, "A"))
    for store in pair:
        await put(store, message("new", minute=2))
        await put(store, {"id": "b2", "name": "later"}, type="Box")
        async with store.write("A") as tx:
            await tx.update("Message", "m03", {"boxIds": {"out": True}})
            await tx.delete("Message", "m06")
    assert await told(target) == await told(source)


async def test_words_are_found_at_once_or_after_they_were_indexed(
    pair: tuple[Moving, Moving], clock: FakeClock
) -> None:
    source, target = pair
    await fill(source, clock)
    await target.load("A", partial(source.dump, "A"))
    where = Text(("subject", "body"), (("about", "m5"),))
    async with source.read("A") as snapshot:
        expected = await snapshot.select("Message", where)
    assert len(expected) == 1
    missing = [id async for ids in target.unindexed("A", "Message") for id in ids]
    async with target.read("A") as snapshot:
        states = await snapshot.states()
        if missing:
            assert missing == (await snapshot.select("Message"))[::-1]
        assert await snapshot.select("Message", where) == ([] if missing else expected)
    for id in missing:
        texts = {id: {"subject": "about m5" if [id] == expected else "x", "body": "some words"}}
        assert not await target.index("A", "Message", texts, state=states["Message"] - 1)
        assert await target.index("A", "Message", texts, state=states["Message"])
    async with target.read("A") as snapshot:
        assert await snapshot.select("Message", where) == expected
        assert await snapshot.states() == states
    assert [ids async for ids in target.unindexed("A", "Message")] == []


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "LOG_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "RECORDS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "PIECES_AT_ONCE", 1)


@pytest.mark.usefixtures("small_pieces")
async def test_an_attempt_that_broke_off_is_not_seen_and_gone_on_with(
    pair: tuple[Moving, Moving], clock: FakeClock
) -> None:
    source, target = pair
    await fill(source, clock)
    total = len([piece async for piece in source.dump("A")])
    asked: list[str | None] = []

    def dump(place: str | None) -> AsyncGenerator[Piece, None]:
        asked.append(place)
        return source.dump("A", place)

    for after in (1, 2, 3):
        with pytest.raises(Broken):
            await target.load("A", broken(dump, after))
        assert await target.accounts() == []
        assert await target.loaded() == {"A": ""}
        async with target.read("A") as snapshot:
            assert await snapshot.get("Message", None) == []
        assert (await target.feed(Cursor(), 100))[0] == []
    with pytest.raises(Broken):
        await target.load("A", broken(dump, total - 5))
    await target.load("A", dump)
    # Nothing that was stored was asked for again.
    assert asked[0] is None
    places = [None if place is None else moving.place_of(place) for place in asked[2:]]
    assert all(place is not None and place[0] == "Message" for place in places[:2])
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)
    assert (await target.loaded())["A"] == (await everything(source))[0][0]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("change", ["logged", "unlogged"])
async def test_a_source_that_changed_meanwhile_is_loaded_anew(
    pair: tuple[Moving, Moving], clock: FakeClock, change: str
) -> None:
    source, target = pair
    await fill(source, clock)
    with pytest.raises(Broken):
        await target.load("A", broken(partial(source.dump, "A"), 4))
    if change == "logged":
        async with source.write("A") as tx:
            await tx.delete("Message", "m07")
    else:
        await put(source, {"id": "c", "until": 2}, type="Cache")
    await target.load("A", partial(source.dump, "A"))
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)


@pytest.mark.usefixtures("small_pieces")
async def test_what_was_there_is_replaced(pair: tuple[Moving, Moving], clock: FakeClock) -> None:
    source, target = pair
    await put(target, message("old", blobId="Bold"), message("m03"))
    await put(target, {"id": "old", "name": "old"}, type="Box")
    await fill(source, clock)
    for _ in range(2):
        await target.load("A", partial(source.dump, "A"))
        assert await everything(target) == await everything(source)
        assert await told(target) == await told(source)
        async with source.write("A") as tx:
            await tx.update("Message", "m00", {"boxIds": {"other": True}})
    assert await target.referenced_blobs(["Bold", "Bm03"]) == {"Bm03"}


async def change(store: Moving) -> None:
    """Everything that can become of records."""
    await put(store, message("new", minute=2), message("m03", minute=0, size=1000))
    await put(store, {"id": "b2", "name": "later"}, type="Box")
    await put(store, {"id": "c2", "until": 9}, type="Cache")
    async with store.write("A") as tx:
        await tx.update("Message", "m05", {"boxIds": {"out": True}})
        await tx.update("Message", "m10", {"blobId": "Bnew"})
        await tx.delete("Message", "m06")
        await tx.delete("Cache", "c")
    async with store.write("A") as tx:
        # Another record of the same id, at another place.
        await tx.delete("Message", "m07")
        await tx.put("Message", message("m07", minute=2))
        await tx.put("Message", message("gone"))
        await tx.delete("Message", "gone")


async def test_a_copy_catches_up_with_its_source(pair: tuple[Moving, Moving], clock: FakeClock) -> None:
    source, target = pair
    await fill(source, clock)
    await target.load("A", partial(source.dump, "A"))
    stamp = (await target.loaded())["A"]
    missing = [ids async for ids in target.unindexed("A", "Message")]
    await change(source)
    delta = await source.changed_since("A", stamp)
    assert delta is not None
    assert not await target.catch_up("A", stamp + "x", delta)
    assert await target.catch_up("A", stamp, delta)
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)
    assert (await target.loaded())["A"] == delta.head.stamp != stamp
    if not missing:
        where = Text(("subject",), (("about", "m5"),))
        async with target.read("A") as snapshot:
            assert await snapshot.select("Message", where) == ["m05"]
    assert not await target.catch_up("A", stamp, delta)
    await change_again(pair)
    assert await told(target) == await told(source)


async def test_a_log_that_is_pruned_on_one_side_is_a_change(
    pair: tuple[Moving, Moving], clock: FakeClock
) -> None:
    """Else the two would be taken for the same, and their logs would not be."""
    source, target = pair
    await fill(source, clock)
    await put(source, message("kept"), account="Z")
    await target.load("A", partial(source.dump, "A"))
    stamp = (await target.loaded())["A"]
    clock.pass_by(days=1)
    await put(source, message("kept"), account="Z")
    await source.prune(clock.now() - timedelta(hours=1))
    assert (await everything(source))[0][0] != stamp
    delta = await source.changed_since("A", stamp)
    assert delta is not None
    assert await target.catch_up("A", stamp, delta)
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)


@pytest.mark.usefixtures("small_pieces")
async def test_the_blobs_of_what_is_being_loaded_are_in_use(
    pair: tuple[Moving, Moving], clock: FakeClock
) -> None:
    source, target = pair
    await fill(source, clock)
    ids = {record["blobId"] for record in await _messages(source)}
    with pytest.raises(Broken):
        await target.load("A", broken(partial(source.dump, "A"), 3))
    assert await target.referenced_blobs(ids)
    await target.load("A", partial(source.dump, "A"))
    assert await target.referenced_blobs(ids) == ids


async def _messages(store: Moving) -> list[JsonObject]:
    async with store.read("A") as snapshot:
        return await snapshot.get("Message", None)


async def change_again(pair: tuple[Moving, Moving]) -> None:
    """Both go on alike."""
    for store in pair:
        await put(store, message("last", minute=2))


async def test_a_copy_that_was_written_does_not_catch_up(
    pair: tuple[Moving, Moving], clock: FakeClock
) -> None:
    source, target = pair
    await fill(source, clock)
    await target.load("A", partial(source.dump, "A"))
    stamp = (await target.loaded())["A"]
    await put(source, message("new"))
    delta = await source.changed_since("A", stamp)
    assert delta is not None
    await put(target, message("mine"))
    before = await told(target)
    assert not await target.catch_up("A", stamp, delta)
    assert await told(target) == before


async def test_a_log_that_does_not_reach_back_says_so(make: Callable[[str], Any], kind: str) -> None:
    source, clock = await make(kind), FakeClock()
    await put(source, message("a"))
    stamp = (await everything(source))[0][0]
    await put(source, message("b"), message("c"))
    await source.prune(clock.now() + timedelta(days=1))
    assert await source.changed_since("A", stamp) is None
    await put(source, message("d"))
    assert await source.changed_since("A", (await everything(source))[0][0]) is not None


async def test_a_dump_is_of_one_moment(pair: tuple[Moving, Moving], clock: FakeClock) -> None:
    source, target = pair
    await fill(source, clock)
    before = await everything(source)

    async def dump(place: str | None) -> AsyncGenerator[Piece, None]:
        async with aclosing(source.dump("A", place)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Head):
                    await put(source, message("meanwhile", minute=1))
                    async with source.write("A") as tx:
                        await tx.delete("Message", "m03")
                yield piece

    await target.load("A", dump)
    assert await everything(target) == before


async def test_records_are_divided_as_the_table_of_the_target_says(
    make: Callable[[str], Any], clock: FakeClock, kind: str
) -> None:
    """A dump of a version whose tables were others."""
    old = replace(MESSAGE, live=("note",), cold=(), members=("tags",), covers=())
    source = MemoryStore((old, BOX, CACHE), clock)
    target = await make(kind)
    await fill(source, clock)
    await target.load("A", partial(source.dump, "A"))
    assert await told(target) == await told(source)
    rows = [row for row in await everything(target) if isinstance(row, Row)]
    assert all(b"headers" in (row.cold or b"") for row in rows if row.id.startswith("m"))


async def test_records_of_an_unknown_type_are_refused(
    make: Callable[[str], Any], clock: FakeClock, kind: str
) -> None:
    source = MemoryStore((Table("Plugged"),), clock)
    await put(source, {"id": "x"}, type="Plugged")
    target = await make(kind)
    with pytest.raises(ValueError, match="no such data type"):
        await target.load("A", partial(source.dump, "A"))
    assert await target.accounts() == []
