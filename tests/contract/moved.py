"""An account to move, what can be told of it, and stores to move it between."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contract import postgres
from contract.stores import CACHE, NEWEST, STORES, FakeClock, message, put
from veredus.conditions import Eq, Has, Order
from veredus.ports.moving import Dump, Head, LogRows, Moving, Piece, Rows

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
            if name == "postgres":
                postgres.borrow(directory)
                stack.push_async_callback(postgres.give_back, directory)
            store = await STORES[name](directory, clock)
            stack.push_async_callback(store.close)
            stack.push_async_callback(clean, store)
            return store

        yield new


async def clean(store: Moving) -> None:
    assert await store.check() == []


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


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
