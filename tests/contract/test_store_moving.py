"""Moving an account from one store into another: every pair of stores (ADR 0023)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from contract.stores import BOX, CACHE, MESSAGE, NEWEST, STORES, FakeClock, message, put
from veredus.conditions import Eq, Has, Order, Text
from veredus.moving import Dump, Head, LogRow, LogRows, Moving, Piece, Row, Rows
from veredus.ports import Cursor, Table
from veredus.store import moving
from veredus.store.memory import MemoryStore

PAIRS = [(source, target) for source in STORES for target in STORES]
TYPES = ("Message", "Box", "Cache")


class Broken(Exception):
    """The connection, say."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def make(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Callable[[str], Any]]:
    """A new store by the name of its kind; what it holds is checked at the end."""
    async with AsyncExitStack() as stack:
        made = 0

        async def new(name: str) -> Moving:
            nonlocal made
            made += 1
            directory = tmp_path / str(made)
            directory.mkdir()
            store = await STORES[name](directory, clock)
            stack.push_async_callback(store.close)
            stack.push_async_callback(clean, store)
            return store

        yield new


async def clean(store: Moving) -> None:
    assert await store.check() == []


@pytest.fixture(params=PAIRS, ids="-".join)
async def pair(request: pytest.FixtureRequest, make: Callable[[str], Any]) -> tuple[Moving, Moving]:
    source, target = request.param
    return await make(source), await make(target)


async def fill(store: Moving, clock: FakeClock) -> None:
    """An account with everything that can be lost on the way."""
    async with store.write("A") as tx:
        for n in range(30):
            # Many of one second, in another order than that of their ids.
            record = message(f"m{n * 7 % 30:02}", minute=n // 10, size=n, seen=n % 2 == 0)
            await tx.put("Message", record, {"subject": f"about m{n}", "body": "some words"})
        await tx.put("Box", {"id": "b", "name": "In\0box \U0001f4e5", "huge": 2**60, "nothing": None})
        await tx.put("Cache", {"id": "c", "until": 1.5})
    clock.pass_by(days=1)
    async with store.write("A") as tx:
        for n in range(0, 30, 3):
            await tx.update("Message", f"m{n:02}", {"tags": {"$seen": True, "x": True}})
            await tx.state("Message")
        await tx.delete("Message", "m29")
        await tx.delete("Message", "m28")
    # Behind the deleted ones of the same second.
    await put(store, message("late", minute=2), message("early", minute=0, blobId="Bx"))
    await put(store, message("other"), account="B")
    await store.prune(clock.now() - timedelta(hours=1))


async def everything(store: Moving, account: str = "A") -> list[Any]:
    """What a dump says, without its division into pieces and without texts, which not every store can tell."""
    found: list[Any] = []
    async with aclosing(store.dump(account)) as pieces:
        async for piece in pieces:
            match piece:
                case Head():
                    found.append((piece.stamp, piece.modseq, piece.states, piece.tables, piece.counts))
                case Rows():
                    found += [row._replace(texts=None) for row in piece.rows]
                case LogRows():
                    found += piece.rows
    return found


async def told(store: Moving) -> list[Any]:
    """What readers can ask of the account."""
    questions: list[Any] = []
    async with store.read("A") as snapshot:
        states = await snapshot.states()
        questions += [states, await snapshot.owns_blob(["Bx", "Bm03", "Bm29"])]
        for type in TYPES:
            questions += [await snapshot.select(type), await snapshot.get(type, None)]
            if type != CACHE.name:
                for since in range(max(states.values()) + 1):
                    questions += [await snapshot.changes(type, since, 5)]
        for where in (Has("boxIds", "in"), Has("tags", "x"), Eq("seen", True), Eq("threadId", "tm03")):
            for order in (NEWEST, (Order("sentAt"),), (Order("size"),)):
                questions.append(await snapshot.select("Message", where, order))
    return questions


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


def broken(dump: Dump, after_pieces: int) -> Dump:
    """A dump that breaks off. ``asked``: from which places it was read."""

    async def pieces(place: str | None) -> AsyncGenerator[Piece, None]:
        left = after_pieces
        async with aclosing(dump(place)) as found:
            async for piece in found:
                if not left:
                    raise Broken
                left -= 1
                yield piece

    return pieces


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "LOG_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "RECORDS_AT_ONCE", 4)


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


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_records_of_an_unknown_type_are_refused(
    make: Callable[[str], Any], clock: FakeClock, kind: str
) -> None:
    source = MemoryStore((Table("Plugged"),), clock)
    await put(source, {"id": "x"}, type="Plugged")
    target = await make(kind)
    with pytest.raises(ValueError, match="no such data type"):
        await target.load("A", partial(source.dump, "A"))
    assert await target.accounts() == []
