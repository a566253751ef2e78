"""Statements that fail, answers that are lost, and connections that nobody gives back in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contract import postgres
from contract.postgres_proxy import proxied
from contract.stores import TABLES, FakeClock, ids, message, put
from veredus.conditions import Eq, Same, Text
from veredus.ports import Cursor, Hint, Overtaken, Unavailable
from veredus.store.memory import MemoryStore
from veredus.store.postgres import status
from veredus.store.postgres.database import Database
from veredus.store.postgres.link import Link
from veredus.store.postgres.store import PostgresStore, Servers
from veredus.store.refused import Refused

_SLOW = "SELECT pg_sleep(20)"


@pytest.fixture
def announced() -> list[Hint]:
    return []


async def _opened(directory: Path, announced: list[Hint], port: int | None = None) -> PostgresStore:
    port = port or postgres.server().port
    url = f"postgresql://veredus@127.0.0.1:{port}/postgres?sslmode=disable"
    servers = Servers(url, connections=3, schema=postgres.schema_of(directory))
    return await PostgresStore.open(servers, TABLES, FakeClock(), announced.append)


@pytest.fixture
async def store(tmp_path: Path, announced: list[Hint]) -> AsyncIterator[PostgresStore]:
    store = await _opened(tmp_path, announced)
    yield store
    assert await store.check() == []
    await store.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[PostgresStore]:
    store = await _opened(tmp_path, [])
    yield store
    await store.close()


async def asked(directory: Path, sql: str, *values: object) -> list[Any]:
    schema = postgres.schema_of(directory)
    connection = await asyncpg.connect(postgres.server().dsn(), server_settings={"search_path": schema})
    try:
        return list(await connection.fetch(sql, *values)) if values else [await connection.execute(sql)]
    finally:
        await connection.close()


@pytest.mark.parametrize("fault", [_SLOW, "SELECT 1/0"])
async def test_a_transaction_with_a_failed_statement_is_not_committed(
    store: PostgresStore, announced: list[Hint], fault: str
) -> None:
    """PostgreSQL answers such a commit with a rollback, and reports no error."""

    async def write() -> None:
        async with store.write("A") as tx:
            await tx.put("Message", message("a"))
            assert await tx.changes("Message", 0, 10) is not None
            with suppress(asyncpg.DivisionByZeroError, TimeoutError):
                async with asyncio.timeout(0.05):
                    await tx._link.fetch(fault)  # type: ignore[attr-defined]

    with pytest.raises(Unavailable):
        await write()
    assert await ids(store) == []
    assert announced == []


@pytest.mark.parametrize(
    "after", ["SELECT 1/0", "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)"]
)
async def test_what_fails_behind_a_commit_is_no_failure_of_it(
    store: PostgresStore, announced: list[Hint], monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """The next transaction begins in the same message, while the server may be told to end."""
    await put(store, message("a"))
    writers = store._writers

    async def commit(connection: Any) -> None:
        await connection.execute(f"COMMIT; {after}")

    with monkeypatch.context() as patched:
        patched.setattr(writers, "commit", commit)
        await put(store, message("b", 1))
    assert await ids(store) == ["a", "b"]
    assert [hint.states["Message"] for hint in announced] == [1, 2]
    await put(store, message("c", 2))


async def test_a_server_that_waits_for_a_lost_writer_is_told_that_it_is_lost(
    store: PostgresStore, tmp_path: Path
) -> None:
    """It would wait for the commit, and keep the account locked, until the transaction is too old."""
    await put(store, message("a"))
    async with proxied("127.0.0.1", postgres.server().port) as proxy:
        behind = await _opened(tmp_path, [], proxy.port)
        turns = iter([True])
        proxy.swallow = lambda asked: asked.startswith(b"COMMIT") and next(turns, False)
        try:
            async with asyncio.timeout(15):
                with pytest.raises(Unavailable, match="nothing was changed"):
                    await put(behind, message("b", 1))
                await put(behind, message("c", 2))
        finally:
            await behind.close()
    assert await ids(store) == ["a", "c"]


async def test_a_first_statement_that_fails_keeps_no_connection(store: PostgresStore) -> None:
    link = Link(store._readers)
    for _ in range(10):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await link.first("SELECT 1/0")
    assert [row[0] for row in await link.first("SELECT 1")] == [1]
    link.close()


async def test_readers_that_are_cancelled_leave_every_connection_usable(store: PostgresStore) -> None:
    await put(store, message("a"))

    async def slow() -> None:
        async with store.read("A") as view:
            await view.state("Message")
            await view._link.fetch(_SLOW)  # type: ignore[attr-defined]

    for turn in range(12):
        task = asyncio.create_task(slow())
        await asyncio.sleep(turn * 0.001)
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(15):
        assert await asyncio.gather(*(ids(store) for _ in range(6))) == [["a"]] * 6


async def test_who_reads_while_the_store_is_closed_leaves_nothing_open(tmp_path: Path) -> None:
    store = await _opened(tmp_path, [])
    async with store.read("A") as view:
        await view.states()
        connection = view._link._connection  # type: ignore[attr-defined]
        await store.close()
    assert connection.is_closed()
    assert store._readers.in_use == 0
    with pytest.raises(Unavailable, match="closed"):
        await ids(store)


async def test_a_connection_that_an_error_of_files_passes_is_not_blamed(store: PostgresStore) -> None:
    with pytest.raises(FileNotFoundError):
        async with store._readers.connection():
            raise FileNotFoundError("backup")


async def test_statements_of_another_schema_are_prepared_anew(store: PostgresStore, tmp_path: Path) -> None:
    await put(store, message("a"))
    await asyncio.gather(*(ids(store) for _ in range(3)))
    await asked(tmp_path, "ALTER TABLE account ALTER states TYPE json USING states::json")
    try:
        for _ in range(3):
            assert await ids(store) == ["a"]
    finally:
        await asked(tmp_path, "ALTER TABLE account ALTER states TYPE jsonb USING states::jsonb")
    await put(store, message("b", 1))


async def test_pruning_does_not_let_an_older_transaction_write_again(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Its changes would come before those that were fed already."""
    await put(store, message("a"))
    first, second = await store._writers.take(), await store._writers.take()
    for connection in (second, first):
        await connection.fetch("SELECT pg_current_xact_id()::text")
    await put(other, message("b", 1), message("c", 2))
    # The next to be taken is ``first``: it has a number that is lower than the last writer's.
    for connection in (second, first):
        store._writers.give_back(connection, done=True)
    await store.prune(datetime(2027, 1, 1, tzinfo=UTC))
    await put(store, message("d", 3))
    changes, _ = await store.feed(Cursor(), 100)
    assert [change.modseq for change in changes] == sorted(change.modseq for change in changes)
    assert await store.check() == []


async def test_words_that_another_node_indexes_are_found_at_once(
    store: PostgresStore, other: PostgresStore
) -> None:
    """No state changes with them, so nothing may be remembered of what they find."""
    found = Text(("subject",), (("later",),))
    await put(store, message("a"))
    for _ in range(3):
        assert await ids(store, found) == []
    assert await other.index("A", "Message", {"a": {"subject": "comes later"}})
    assert await ids(store, found) == ["a"]


async def test_a_transaction_that_keeps_the_feed_waiting_is_told_of(
    store: PostgresStore, tmp_path: Path
) -> None:
    """Of any database of the server, and of a program that has nothing to do with this one."""
    servers = Servers(postgres.server().dsn(), schema=postgres.schema_of(tmp_path))
    holder = await asyncpg.connect(postgres.server().dsn(), server_settings={"application_name": "batch"})
    try:
        async with holder.transaction():
            await holder.fetch("SELECT pg_current_xact_id()::text")
            await put(store, message("a"))
            assert (await store.feed(Cursor(), 10))[0] == []
            held = (await status.status(servers, TABLES)).server
        free = (await status.status(servers, TABLES)).server
    finally:
        await holder.close()
    assert held is not None
    assert held.held_s > 0
    assert "(batch)" in held.held_by
    assert free is not None
    assert free.held_s == 0
    assert len((await store.feed(Cursor(), 10))[0]) == 1


async def test_a_view_of_an_account_that_is_replaced_is_overtaken(store: PostgresStore) -> None:
    """What it has begun to read is being removed."""
    source = MemoryStore(TABLES, FakeClock())
    await put(source, message("new"))
    await put(store, message("old"))
    async with store.read("A", optimistic=True) as view:
        await view.states()
        await store.load("A", lambda after: source.dump("A", after))
        with pytest.raises(Overtaken):
            await view.get("Message", ["old"])
    assert await ids(store) == ["new"]


async def test_conditions_within_one_another_are_no_longer_the_longer_they_are(store: PostgresStore) -> None:
    await put(store, message("a"), message("b", 1, size=1))
    where: Any = Eq("size", 100)
    for _ in range(20):
        where = Same("threadId", where)
    assert await ids(store, where) == ["a"]


async def test_long_statements_are_not_kept(store: PostgresStore) -> None:
    """A client decides how many there are and how long; the server keeps a plan of each."""
    link = Link(store._readers)
    for number in range(250):
        await link.fetch(f"SELECT {number} AS n")
    await link.fetch("SELECT 1 AS n" + " " * 10_000)
    (kept,) = await link.fetch("SELECT count(*), max(length(statement)) FROM pg_prepared_statements")
    assert kept[0] <= 201
    assert kept[1] < 10_000
    link.close()


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@127.0.0.1:1/db", "postgresql://127.0.0.1:1,127.0.0.1:2/db?password=s3cret"]
)
async def test_a_password_is_in_no_message(url: str) -> None:
    with pytest.raises(Unavailable, match="PostgreSQL at") as raised:
        await Database(url, "x").connect()
    assert "s3cret" not in repr(raised.value) + str(raised.value.__cause__)


async def test_a_parameter_of_the_url_that_cannot_be_is_refused() -> None:
    with pytest.raises(Refused, match="sslmode"):
        await Database("postgresql://127.0.0.1:1/db?sslmode=bogus", "x").connect()
