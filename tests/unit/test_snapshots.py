"""The view that the calls of a request share: never of before a write, and never left open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest

from veredus.engine.snapshots import Snapshots
from veredus.ports import Snapshot, Table, Unavailable
from veredus.store.memory import MemoryStore

THING = Table("Thing")


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Store(MemoryStore):
    """Counts the views."""

    def __init__(self) -> None:
        super().__init__([THING], Clock())
        self.open = self.begun = 0
        self.is_down = False

    def read(self, account: str, *, optimistic: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        return self._counted(account)

    @asynccontextmanager
    async def _counted(self, account: str) -> AsyncIterator[Snapshot]:
        if self.is_down:
            raise Unavailable("down")
        self.begun += 1
        self.open += 1
        try:
            async with super().read(account) as snapshot:
                yield snapshot
        finally:
            self.open -= 1


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    yield store
    assert store.open == 0
    await store.close()


async def put(store: Store, account: str = "A") -> None:
    async with store.write(account) as tx:
        await tx.put("Thing", {"id": "x"})


async def test_calls_that_follow_one_another_see_the_same(store: Store) -> None:
    views = Snapshots(store)
    for _ in range(3):
        async with views.read("A") as snapshot:
            assert await snapshot.count("Thing") == 0
        await put(store)
    assert store.begun == 1
    await views.end()


async def test_what_was_written_is_seen_also_when_a_read_was_under_way(store: Store) -> None:
    views = Snapshots(store)
    async with views.read("A") as snapshot:
        await views.end()
        await put(store)
        assert await snapshot.count("Thing") == 0
        async with views.read("A") as later:
            assert await later.count("Thing") == 1
    async with views.read("A") as snapshot:
        assert await snapshot.count("Thing") == 1
    await views.end()


async def test_another_account_has_a_view_of_its_own(store: Store) -> None:
    views = Snapshots(store)
    await put(store, "B")
    async with views.read("A") as one, views.read("B") as other, views.read("A") as same:
        assert same is one
        assert (await one.count("Thing"), await other.count("Thing")) == (0, 1)
    async with views.read("B") as snapshot:
        assert await snapshot.count("Thing") == 1
    await views.end()


async def test_a_call_that_failed_leaves_no_view_to_the_next(store: Store) -> None:
    views = Snapshots(store)
    async with views.read("A"):
        with pytest.raises(KeyError):
            async with views.read("A") as snapshot:
                await snapshot.count("Nothing")
        async with views.read("A"):
            assert store.open == 2
    async with views.read("A"):
        assert store.open == 1
    await views.end()


async def test_a_view_that_cannot_be_had_is_tried_again(store: Store) -> None:
    views = Snapshots(store)
    store.is_down = True
    with pytest.raises(Unavailable):
        async with views.read("A"):
            pass
    store.is_down = False
    async with views.read("A"):
        assert store.open == 1
    await views.end()


async def test_a_request_that_was_cancelled_leaves_no_view(store: Store) -> None:
    begun = asyncio.Event()

    async def request() -> None:
        views = Snapshots(store)
        try:
            async with views.read("A"), views.read("B"):
                begun.set()
                await asyncio.Event().wait()
        finally:
            await views.end()

    task = asyncio.create_task(request())
    await begun.wait()
    assert store.open == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
