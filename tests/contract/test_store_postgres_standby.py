"""Standbys: read when they are current, and taking over."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from contract.postgres_standby import Standby, ask, has_replayed
from contract.stores import TABLES, FakeClock, ids, message, put
from tools.cluster.postgres import PostgresServer
from veredus.ports import Snapshot, Unavailable
from veredus.store.postgres.replicated import Replicated
from veredus.store.postgres.store import PostgresStore, Servers


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[Standby]:
    with Standby(primary) as server:
        yield server


@asynccontextmanager
async def node(url: str, *replicas: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Servers(url, replicas, connections=3), TABLES, FakeClock())
    try:
        yield store
    finally:
        await store.close()


def is_replicated(view: Snapshot) -> bool:
    """Whether its last statement was answered by the standby."""
    link = view._link  # type: ignore[attr-defined]
    assert isinstance(link, Replicated)
    return link._replica is not None and link._replica._begun


async def looked(store: PostgresStore) -> tuple[list[object], bool]:
    """What is never remembered, and whether the standby told it."""
    async with store.read("A") as view:
        found = await view.get("Cache", None)
        return [record["x"] for record in found], is_replicated(view)


async def keep(store: PostgresStore, x: int) -> None:
    """Nothing is logged, and it is all written before the end."""
    async with store.write("A") as tx:
        await tx.put("Cache", {"id": "c", "x": x})
        assert await tx.select("Cache") == ["c"]


async def test_a_standby_is_read_only_while_it_is_current(primary: PostgresServer, standby: Standby) -> None:
    standby.start()
    async with node(primary.dsn(), standby.dsn()) as store:
        await keep(store, 1)
        await has_replayed(standby, primary)
        assert await looked(store) == ([1], True)
        await ask(standby, "SELECT pg_wal_replay_pause()")
        await keep(store, 2)
        assert await looked(store) == ([2], False)
        async with store.write("A") as tx:
            await tx.delete("Cache", "c")
            assert await tx.select("Cache") == []
        assert await looked(store) == ([], False)
        await ask(standby, "SELECT pg_wal_replay_resume()")
        await has_replayed(standby, primary)
        assert await looked(store) == ([], True)


@pytest.mark.parametrize("is_changed", [False, True])
async def test_a_view_outlives_its_standby_unless_the_account_has_changed(
    primary: PostgresServer, standby: Standby, is_changed: bool
) -> None:
    standby.start()
    async with node(primary.dsn(), standby.dsn()) as store:
        await keep(store, 1)
        await has_replayed(standby, primary)
        async with store.read("A") as view:
            await view.get("Cache", ["c"])
            assert is_replicated(view)
            if is_changed:
                await keep(store, 2)
            await ask(
                standby,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'veredus'",
            )
            if is_changed:
                for _ in range(2):
                    with pytest.raises(Unavailable):
                        await view.get("Cache", None)
            else:
                assert await view.get("Cache", None) == [{"id": "c", "x": 1}]


async def test_a_standby_that_is_away_is_not_waited_for(primary: PostgresServer, standby: Standby) -> None:
    standby.start()
    async with node(primary.dsn(), standby.dsn()) as store:
        await keep(store, 1)
        standby.stop()
        for _ in range(3):
            assert await looked(store) == ([1], False)


async def test_a_standby_takes_over_and_what_was_lost_is_not_remembered(
    primary: PostgresServer, standby: Standby
) -> None:
    """States are given out again, and mean something else then."""
    standby.start()
    hosts = f"{primary.address}:{primary.port},{standby.address}:{standby.port}"
    async with node(f"postgresql://veredus@{hosts}/postgres") as store:
        await put(store, message("a"), account="B")
        await has_replayed(standby, primary)
        standby.stop()
        await put(store, message("lost", 1), account="B")
        for _ in range(2):
            assert await ids(store, account="B") == ["a", "lost"]
        primary.stop("immediate")
        standby.start()
        standby.promote()
        await put(store, message("new", 1), account="B")
        async with store.read("B") as view:
            assert await view.state("Message") == 2
        for _ in range(2):
            assert await ids(store, account="B") == ["a", "new"]
        # What was the primary comes back as a standby of nobody: it shows the past, and is not asked.
        (primary._data / "standby.signal").touch()
        primary.start()
        assert await ids(store, account="B") == ["a", "new"]
        assert await store.check() == []
    async with node(f"postgresql://veredus@{hosts}/postgres") as store:
        assert await ids(store, account="B") == ["a", "new"]
    with pytest.raises(Unavailable, match="match the target"):
        async with node(primary.dsn()):
            pass
