"""What only a PostgreSQL store does: round trips, several nodes, lost connections and lost answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import postgres
from contract.postgres_proxy import Proxy, proxied
from contract.stores import NEWEST, TABLES, FakeClock, ids, message, put
from veredus.conditions import Has
from veredus.ports import Change, Cursor, Hint, Unavailable
from veredus.store.postgres.store import PostgresStore, Servers

LIST = ("threadId", "size", "boxIds", "tags", "subject")


@asynccontextmanager
async def node(
    directory: Path, port: int | None = None, announced: list[Hint] | None = None
) -> AsyncIterator[PostgresStore]:
    server = postgres.server()
    url = f"postgresql://veredus@127.0.0.1:{port or server.port}/postgres?sslmode=disable"
    servers = Servers(url, connections=4, schema=postgres.schema_of(directory))
    hints = announced if announced is not None else []
    store = await PostgresStore.open(servers, TABLES, FakeClock(), hints.append)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxied("127.0.0.1", postgres.server().port) as running:
        yield running


async def list_view(store: PostgresStore) -> list[str]:
    async with store.read("A") as snapshot:
        await snapshot.state("Message")
        found = await snapshot.select("Message", Has("boxIds", "in"), NEWEST, limit=50)
        records = await snapshot.project("Message", found, LIST)
        assert len(records) == len(found)
        await snapshot.state("Message")
    return found


async def resting(proxy: Proxy) -> None:
    """Connections are made ready for the next one in the background."""
    await asyncio.sleep(0.05)
    proxy.asked.clear()


async def test_a_list_view_takes_two_round_trips_at_most(tmp_path: Path, proxy: Proxy) -> None:
    async with node(tmp_path) as other, node(tmp_path, proxy.port) as store:
        await put(other, *(message(f"m{n}", n) for n in range(60)))
        for rounds in (range(1, 3), range(1, 3), range(1, 2)):
            # Statements are prepared once for each connection, which is another round trip each; and a new
            # connection asks for the timeline.
            await resting(proxy)
            assert (await list_view(store))[0] == "m59"
            assert [b"BEGIN" in asked for asked in proxy.asked].count(False) in (*rounds, 4, 5)
        await resting(proxy)
        await list_view(store)
        assert len([asked for asked in proxy.asked if b"BEGIN" not in asked]) == 1
        await put(other, message("new", 100))
        await resting(proxy)
        assert (await list_view(store))[0] == "new"
        assert len([asked for asked in proxy.asked if b"BEGIN" not in asked]) == 2
        await put(other, message("newer", 200), account="B")


async def test_a_node_sees_at_once_what_another_wrote(tmp_path: Path) -> None:
    async with node(tmp_path) as one, node(tmp_path) as two:
        for round in range(20):
            writer, reader = (one, two) if round % 2 else (two, one)
            await put(writer, message(f"m{round}", round))
            async with writer.write("A") as tx:
                await tx.update("Message", "m0", {"tags": {f"t{round}": True}})
            assert (await ids(reader, order=NEWEST, limit=50))[0] == f"m{round}"
            async with reader.read("A") as snapshot:
                (record,) = await snapshot.get("Message", ["m0"], {"tags"})
                (projected,) = await snapshot.project("Message", ["m0"], ["tags"])
            assert record["tags"] == {f"t{round}": True}
            assert bytes(projected.tags) == b'{"t%d":true}' % round


async def test_nodes_that_write_one_account_lose_nothing(tmp_path: Path) -> None:
    async def add(store: PostgresStore, name: str) -> None:
        async with store.write("A") as tx:
            (box,) = await tx.get("Box", ["n"])
            await tx.update("Box", "n", {"name": box["name"] + 1})
            await tx.put("Message", message(name))

    async with node(tmp_path) as one, node(tmp_path) as two:
        await put(one, {"id": "n", "name": 0}, type="Box")
        await asyncio.gather(*(add((one, two)[n % 2], f"m{n:02}") for n in range(40)))
        async with two.read("A") as snapshot:
            assert await snapshot.get("Box", ["n"]) == [{"id": "n", "name": 40}]
            assert sorted(await snapshot.select("Message")) == [f"m{n:02}" for n in range(40)]
        assert await one.check() == []


async def followed(store: PostgresStore, after: Cursor) -> tuple[list[Change], Cursor]:
    found: list[Change] = []
    while True:
        changes, after = await store.feed(after, 7)
        if not changes:
            return found, after
        found += changes


async def test_the_feed_skips_nothing_of_transactions_that_overlap(tmp_path: Path) -> None:
    """A cursor must not pass a transaction that was begun before others and is committed after them."""
    async with node(tmp_path) as store, node(tmp_path) as other:
        await put(store, message("first"), account="A")
        _, cursor = await followed(store, Cursor())
        async with store.write("slow") as tx:
            await tx.put("Box", {"id": "slow", "name": "s"})
            await put(other, message("quick"), account="B")
            some, cursor = await followed(store, cursor)
        await put(other, message("last"), account="B")
        rest, cursor = await followed(store, cursor)
        assert sorted(change.id for change in [*some, *rest]) == ["last", "quick", "slow"]
        assert await followed(store, await store.head()) == ([], await store.head())


async def test_the_changes_of_an_account_are_fed_in_their_order(tmp_path: Path) -> None:
    async def write(store: PostgresStore, account: str, number: int) -> None:
        async with store.write(account) as tx:
            await tx.put("Box", {"id": f"{number}", "name": "x"})
            await tx.put("Message", message(f"{number}"))

    async with node(tmp_path) as one, node(tmp_path) as two:
        stop = False
        seen: list[Change] = []

        async def follow() -> None:
            cursor = Cursor()
            while True:
                ended = stop
                changes, cursor = await one.feed(cursor, 5)
                seen.extend(changes)
                if ended and not changes:
                    return

        following = asyncio.create_task(follow())
        await asyncio.gather(*(write((one, two)[n % 2], f"a{n % 3}", n) for n in range(90)))
        stop = True
        await following
        for account in ("a0", "a1", "a2"):
            assert [change.modseq for change in seen if change.account == account] == list(range(1, 61))


async def test_connections_that_died_while_idle_are_replaced(tmp_path: Path) -> None:
    async with node(tmp_path) as store:
        await put(store, message("a"))
        await asyncio.gather(*(ids(store) for _ in range(4)))
        postgres.server().restart()
        assert await ids(store) == ["a"]
        await put(store, message("b", 1))
        assert await ids(store) == ["a", "b"]


@pytest.mark.parametrize("is_logged", [True, False])
async def test_a_commit_whose_answer_is_lost_is_found_out_about(
    tmp_path: Path, proxy: Proxy, is_logged: bool
) -> None:
    """Told of a failure, a mail transfer agent would deliver a second time."""
    announced: list[Hint] = []
    async with node(tmp_path, proxy.port, announced) as store:
        await put(store, message("a"))
        cuts = iter([True])
        proxy.cut = lambda asked: asked.startswith(b"COMMIT") and next(cuts, False)
        if is_logged:
            await put(store, message("b", 1))
            assert await ids(store) == ["a", "b"]
            assert [hint.states for hint in announced] == [
                {"Message": 1, "Delivery": 1},
                {"Message": 2, "Delivery": 2},
            ]
        else:
            await put(store, {"id": "c", "x": 1}, type="Cache")
            async with store.read("A") as snapshot:
                assert await snapshot.get("Cache", ["c"]) == [{"id": "c", "x": 1}]
        assert next(cuts, None) is None


async def test_a_connection_lost_before_the_commit_changes_nothing(tmp_path: Path, proxy: Proxy) -> None:
    announced: list[Hint] = []
    async with node(tmp_path) as other, node(tmp_path, proxy.port, announced) as store:
        await put(other, message("a"))
        proxy.cut = lambda asked: b"INSERT INTO log" in asked
        with pytest.raises(Unavailable):
            await put(store, message("b"))
        proxy.cut = lambda asked: False
        assert await ids(store) == ["a"]
        assert announced == []


async def test_a_writer_that_slept_too_long_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its account is free for others meanwhile."""
    from veredus.store.postgres import lock as module

    monkeypatch.setattr(module, "_LOCK", module._LOCK.replace("'20000'", "'200'"))

    async def sleepy(store: PostgresStore) -> None:
        async with store.write("A") as tx:
            await tx.put("Message", message("late"))
            await asyncio.sleep(1)

    async with node(tmp_path) as store:
        await put(store, message("a"))
        sleeping = asyncio.create_task(sleepy(store))
        await asyncio.sleep(0.1)
        await put(store, message("b", 1))
        with pytest.raises(Unavailable):
            await sleeping
        assert await ids(store) == ["a", "b"]


async def test_a_cancelled_writer_is_done_or_not_begun(tmp_path: Path) -> None:
    announced: list[Hint] = []
    async with node(tmp_path, announced=announced) as store:
        await put(store, message("base"))
        for turn in range(25):
            task = asyncio.create_task(put(store, message(f"m{turn:02}", turn)))
            await asyncio.sleep(turn * 0.0004)
            task.cancel()
            await asyncio.wait([task])
        await put(store, message("end", 99))
        there = await ids(store)
        async with store.read("A") as snapshot:
            assert await snapshot.state("Message") == len(there) == len(announced)
        assert await store.check() == []


async def test_more_readers_than_connections_wait_for_their_turn(tmp_path: Path) -> None:
    async with node(tmp_path) as store:
        await put(store, message("a"))
        assert await asyncio.gather(*(ids(store, Has("tags", f"{n}")) for n in range(50))) == [[]] * 50


async def test_pruning_leaves_a_log_that_checks(tmp_path: Path) -> None:
    async with node(tmp_path) as store:
        for n in range(10):
            await put(store, message(f"m{n}", n), account="AB"[n % 2])
        await store.prune(datetime(2027, 1, 1, tzinfo=UTC))
        async with store.read("A") as snapshot:
            assert await snapshot.changes("Message", 0, 10) is None
            changes = await snapshot.changes("Message", 5, 10)
            assert changes is not None
        assert await store.check() == []
