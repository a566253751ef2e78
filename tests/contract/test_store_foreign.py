"""A PostgreSQL database that pg_restore has brought into another cluster: its transactions are yet to come."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from contract import postgres
from contract.stores import STORES, FakeClock, message, put
from veredus.ports import Cursor

AHEAD = 10**9


@pytest.fixture
async def database(tmp_path: Path) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(
        postgres.server().dsn(), server_settings={"search_path": postgres.schema_of(tmp_path)}
    )
    yield connection
    await connection.close()


async def test_a_database_of_another_cluster_goes_on(tmp_path: Path, database: "asyncpg.Connection") -> None:
    store = await STORES["postgres"](tmp_path, FakeClock())
    await put(store, message("a"), message("b"))
    await put(store, message("c"), account="B")
    await store.close()
    # Those of one account alone: some transactions of the other cluster may have low numbers here, too.
    await database.execute(f"UPDATE log SET writer = writer + {AHEAD} WHERE id <> 'a'")
    await database.execute(f"UPDATE account SET writer = writer + {AHEAD}")

    store = await STORES["postgres"](tmp_path, FakeClock())
    try:
        changes, cursor = await store.feed(Cursor(), 100)
        assert {(change.account, change.id) for change in changes} == {("A", "a"), ("A", "b"), ("B", "c")}
        await put(store, message("d"))
        changes, _ = await store.feed(cursor, 100)
        assert [change.id for change in changes] == ["d"]
        assert await store.check() == []
    finally:
        await store.close()
