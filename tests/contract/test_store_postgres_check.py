"""Every kind of damage to a PostgreSQL database is told, and none hides another one."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from contract import postgres
from contract.stores import MESSAGE, TABLES, FakeClock, message, put
from veredus.store.postgres import check
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.store import PostgresStore, Servers

LAYOUT = Layout(MESSAGE)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAMAGE = [
    (f"DELETE FROM {LAYOUT.members['boxIds']} WHERE id = 'm1'", "m1: entry in the index of boxIds missing: in"),
    (f"UPDATE {LAYOUT.members['tags']} SET key = 'y' WHERE id = 'm1'", "that the record does not say: y m1"),
    (f"UPDATE {LAYOUT.members['tags']} SET id = 'other' WHERE id = 'm1'", "that the record does not say: x other"),
    (f"UPDATE {LAYOUT.members['tags']} SET \"p_threadId\" = ''", "entry in the index of tags missing: x m1"),
    (f"INSERT INTO {LAYOUT.members['tags']} VALUES(1, 'z', 5, 'm5', NULL)", "tags of no record: account 1, row 5"),
    (f"UPDATE {LAYOUT.records} SET p_size = '\\x07'", "column size is"),
    (f"UPDATE {LAYOUT.records} SET id = id || 'x'", "the record says id m1"),
    (f"UPDATE {LAYOUT.records} SET rid = rid + (1 << 30) WHERE id = 'm1'", "is not of second"),
    (f"UPDATE {LAYOUT.records} SET rid = rid + 1000 WHERE id = 'm1'", "is behind the last of its account"),
    (f"UPDATE {LAYOUT.records} SET a = 77 WHERE id = 'm1'", "m1: account 77 is not there"),
    (f"UPDATE {LAYOUT.records} SET live = '{{\"id' WHERE id = 'm1'", "m1: its live part is damaged"),
    (f"UPDATE {LAYOUT.records} SET fixed = '\\xff' WHERE id = 'm1'", "m1: its fixed part is damaged"),
    (f"UPDATE {LAYOUT.records} SET fixed = '[]' WHERE id = 'm1'", "m1: its fixed part is damaged"),
    (f"UPDATE {LAYOUT.records} SET fixed = '{{\"sentAt\":\"x\"}}' WHERE id = 'm1'", "m1: sentAt is no date: x"),
    (f"UPDATE {LAYOUT.records} SET live = '{{\"id\":\"m1\",\"size\":100}}'", "m1: size should not be in its live part"),
    (f"DELETE FROM {LAYOUT.records} WHERE id = 'm1'", "blob reference of no record"),
    (f"DELETE FROM {LAYOUT.records} WHERE id = 'm1'", "Message: m1 of account 1 is not there, but its last"),
    (f"UPDATE {LAYOUT.cold} SET json = '{{' ", "m1: its cold part is damaged"),
    (f"DELETE FROM {LAYOUT.cold}", "m1: cold part missing"),
    (f"INSERT INTO {LAYOUT.cold} VALUES(1, 5, '{{}}')", "cold part of no record: account 1, row 5"),
    (f"DELETE FROM {LAYOUT.txt}", "m1: full text missing"),
    (f"INSERT INTO {LAYOUT.txt} VALUES(1, 5)", "full text of no record: account 1, row 5"),
    (f"UPDATE {LAYOUT.records} SET texts = false", "m1: full text that the record does not say"),
    ("DELETE FROM blob", "m1: blob reference missing: Bm1"),
    ("UPDATE blob SET blob = 'B'", "m1: blob reference that the record does not say: B"),
    ("INSERT INTO blob VALUES(1, 'B', 'Message', 5)", "blob reference of no record: account 1, row 5 (B)"),
    ("INSERT INTO blob VALUES(1, 'B', 'Gone', 5)", "blob reference of no type: Gone"),
    ("DELETE FROM account", "m1: account 1 is not there"),
    ("DELETE FROM account", "account 1: change 1 of Message, but no account"),
    ("UPDATE account SET modseq = 99", "modseq 99, its last change 3"),
    ("UPDATE account SET arrivals = 0", "arrival 1 of row"),
    ("UPDATE account SET writer = 1", "its last transaction is 1, that of a change"),
    ("UPDATE account SET states = '{}'", "changes of Message, but no state"),
    ("UPDATE account SET states = '[]'", "its states are damaged"),
    ("UPDATE account SET states = '{\"Message\":[99,0],\"Delivery\":[3,0]}'", "the state of Message is 99"),
    ("UPDATE account SET states = '{\"Message\":[3,0],\"Delivery\":[2,0]}'", "the state of Delivery is 2"),
    ("UPDATE account SET states = '{\"Message\":[3,0]}'", "creations of Message, but no state of Delivery"),
    ("UPDATE account SET states = '{\"Message\":[3,2],\"Delivery\":[3,0]}'", "up to 2 are forgotten, but 1 is"),
    ("DELETE FROM log WHERE modseq = 2", "change 3 of Message m3 does not follow"),
    ("DELETE FROM log WHERE modseq = 3", "modseq 3, its last change 2"),
    ("DELETE FROM log", "the state of Message is 3, its last change 0"),
    ("UPDATE log SET kind = 'x' WHERE modseq = 2", "is of no kind: x"),
    ("UPDATE log SET names = '[' WHERE modseq = 2", "its names are damaged"),
    ("UPDATE log SET kind = 'destroyed' WHERE modseq = 2", "m2 of account 1 is there, but its last change says"),
    ("UPDATE log SET writer = writer + 1000000 WHERE modseq = 3", "has not been yet"),
    ("UPDATE log SET writer = writer + 100 WHERE modseq = 1", "is older than that of the change before"),
    ("UPDATE log SET a = 77", "account 77: change 1 of Message, but no account"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def healthy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A connection to a database with three messages in account number 1, and nothing wrong with it."""
    schema = postgres.schema_of(tmp_path_factory.mktemp("healthy"))
    dsn = postgres.server().dsn()
    store = await PostgresStore.open(Servers(dsn, connections=2, schema=schema), TABLES, FakeClock())
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    await connection.execute("ALTER TABLE account ALTER a RESTART")
    for number in (1, 2, 3):
        await put(store, message(f"m{number}", number, tags={"x": True}))
    yield connection
    await connection.close()
    await store.close()


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
async def test_check_tells_of_damage(healthy: Any, damage: str, told: str) -> None:
    layouts = [Layout(table) for table in TABLES]
    damaging = healthy.transaction()
    await damaging.start()
    try:
        assert await check.check(healthy, layouts) == []
        await healthy.execute(damage)
        assert told in "\n".join(await check.check(healthy, layouts))
    finally:
        await damaging.rollback()


async def test_check_tells_of_everything_at_once(healthy: Any) -> None:
    """One damage does not hide another one; each record is named."""
    damaging = healthy.transaction()
    await damaging.start()
    try:
        await healthy.execute(
            f"UPDATE {LAYOUT.records} SET fixed = '{{' WHERE id = 'm1';"
            f"UPDATE {LAYOUT.records} SET p_size = NULL WHERE id = 'm2';"
            f"DELETE FROM {LAYOUT.cold} WHERE rid = (SELECT max(rid) FROM {LAYOUT.cold});"
            "DELETE FROM log WHERE modseq = 2;"
        )
        problems = await check.check(healthy, [Layout(table) for table in TABLES])
        for told in ("m1: its fixed", "m2: column size", "m3: cold part missing", "does not follow"):
            assert any(told in problem for problem in problems), problems
        assert len(problems) == 4
    finally:
        await damaging.rollback()
