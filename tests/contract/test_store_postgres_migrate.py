"""A PostgreSQL database of another version, or whose tables are declared otherwise, and many nodes at it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from contract import postgres
from contract.stores import MESSAGE, TABLES, FakeClock, message, put
from veredus.conditions import EVERYTHING, Condition, Eq, Has, Text
from veredus.ports import Store, Table, Unavailable
from veredus.store.postgres import migrate, rebuild
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.store import PostgresStore, Servers

LAYOUT = Layout(MESSAGE)


def servers(directory: Path, **more: Any) -> Servers:
    return Servers(postgres.server().dsn(), connections=3, schema=postgres.schema_of(directory), **more)


@asynccontextmanager
async def opened(directory: Path, tables: Sequence[Table] = TABLES) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(servers(directory), tables, FakeClock())
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def connected(directory: Path) -> AsyncIterator[Any]:
    settings = {"search_path": postgres.schema_of(directory)}
    connection = await asyncpg.connect(postgres.server().dsn(), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


def changed(**properties: Any) -> tuple[Table, ...]:
    """The tables, with another declaration of Message."""
    return (msgspec.structs.replace(MESSAGE, **properties), *TABLES[1:])


async def selected(store: Store, where: Condition = EVERYTHING, **how: Any) -> list[str]:
    async with store.read("A") as snapshot:
        return await snapshot.select("Message", where, **how)


async def fill(store: Store) -> None:
    for account in ("A", "B"):
        messages = (message(f"m{n}", n, origin=f"o{n % 2}") for n in range(6))
        await put(store, *messages, account=account)


@pytest.mark.parametrize(
    "properties",
    [
        {"scalars": (*MESSAGE.scalars, "origin")},
        {"scalars": ("threadId",)},
        {"members": ("boxIds", "tags", "headers")},
        {"members": ("boxIds",)},
        {"covers": ("threadId", "size")},
        {"covers": ()},
        {"live": ("boxIds", "subject")},
        {"cold": ()},
        {"cold": ("subject",)},
        {"texts": ("body", "subject", "origin")},
        {"texts": ("body",)},
        {"texts": ()},
        {"blobs": ("blobId", "threadId")},
        {"blobs": ()},
        {"logged": False},
    ],
    ids=repr,
)
async def test_a_changed_declaration_indexes_anew(
    tmp_path: Path, properties: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "RECORDS", 5)
    async with opened(tmp_path) as store:
        await fill(store)
    tables = changed(**properties)
    async with opened(tmp_path, tables) as store:
        assert await store.check() == []
        async with store.read("A") as snapshot:
            assert await snapshot.get("Message", ["m3"]) == [message("m3", 3, origin="o1")]
            assert await snapshot.select("Message", Eq("origin", "o1")) == ["m1", "m3", "m5"]
            assert await snapshot.select("Message", Has("boxIds", "in"), distinct="origin") == ["m0", "m1"]
            assert await snapshot.owns_blob(["Bm1", "tm1"]) == {
                blob for name, blob in (("blobId", "Bm1"), ("threadId", "tm1")) if name in tables[0].blobs
            }
            for field, words in (("subject", ("about", "m4")), ("body", ("some", "words"))):
                if field in tables[0].texts:
                    found = await snapshot.select("Message", Text((field,), (words,)))
                    assert found == (["m4"] if field == "subject" else [f"m{n}" for n in range(6)])
            if tables[0].logged:
                assert await snapshot.state("Message") == 6
        await put(store, message("m9", 9))
        assert len(await selected(store)) == 7
        assert await store.check() == []


async def leftovers(directory: Path) -> set[str]:
    """Names of tables and functions that belong to no declaration that holds."""
    async with connected(directory) as connection:
        names = {row[0] for row in await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::text::regnamespace"
            " AND relkind = 'r' UNION SELECT proname FROM pg_proc"
            " WHERE pronamespace = current_schema()::text::regnamespace"
        )}  # fmt: skip
    return {name for name in names if ":" in name}


async def test_an_old_declaration_leaves_nothing_behind(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    before = await leftovers(tmp_path)
    async with opened(tmp_path, changed(covers=(), texts=("body",))):
        assert await leftovers(tmp_path) & before == {name for name in before if ":Message:" not in name}
    async with connected(tmp_path) as connection:
        await migrate.migrate(
            connection, postgres.schema_of(tmp_path), [Layout(table) for table in TABLES], back=True
        )
    assert await leftovers(tmp_path) == before
    # The update that was taken back can be made again.
    async with opened(tmp_path, changed(covers=(), texts=("body",))) as store:
        assert await store.check() == []


async def test_an_older_node_goes_on_until_the_switch_and_is_then_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes while its records are indexed anew; nothing of that is lost or wrong afterwards."""
    monkeypatch.setattr(rebuild, "RECORDS", 3)
    real, turns = rebuild._Rebuild.go_on, iter(range(1000))
    async with opened(tmp_path) as old:
        await fill(old)

        async def go_on(self: Any) -> None:
            turn = next(turns)
            if turn < 12:
                await put(old, message(f"new{turn}", turn))
                async with old.write("B") as tx:
                    await tx.update("Message", "m3", {"tags": {f"t{turn}": True}, "origin": f"o{turn}"})
                    if turn < 3:
                        await tx.delete("Message", f"m{turn}")
            await real(self)

        monkeypatch.setattr(rebuild._Rebuild, "go_on", go_on)
        async with opened(tmp_path, changed(scalars=("origin",), covers=("origin",))) as new:
            assert next(turns) > 12
            assert await new.check() == []
            assert await selected(new, Eq("origin", "here")) == [f"new{n}" for n in range(12)]
            async with new.read("B") as snapshot:
                assert await snapshot.select("Message", Eq("origin", "o11")) == ["m3"]
                assert await snapshot.select("Message", Has("tags", "t11")) == ["m3"]
                assert len(await snapshot.select("Message")) == 3
            for attempt in (put(old, message("late")), selected(old, Eq("size", 100))):
                with pytest.raises(Unavailable):
                    await attempt
            await put(new, message("last"))
            assert await new.check() == []
        # It cannot come back either, and does not turn the tables back.
        with pytest.raises(Unavailable, match="--back"):
            async with opened(tmp_path):
                pass


async def test_a_reader_that_stays_long_delays_the_switch_and_nobody_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as old:
        await fill(old)
        async with connected(tmp_path) as reader:
            reading = reader.transaction()
            await reading.start()
            await reader.fetch(f"SELECT count(*) FROM {LAYOUT.records}")
            tables = changed(scalars=(*MESSAGE.scalars, "origin"))
            opening = asyncio.create_task(PostgresStore.open(servers(tmp_path), tables, FakeClock()))
            for number in range(3):
                await put(old, message(f"while{number}"))
                await asyncio.sleep(rebuild.LOCK_MS / 1000)
            assert not opening.done()
            await reading.commit()
        async with asyncio.timeout(20):
            new = await opening
        assert len(await selected(new, Eq("origin", "here"))) == 3
        assert await new.check() == []
        await new.close()


async def test_many_nodes_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "RECORDS", 2)
    stores = await asyncio.gather(
        *(PostgresStore.open(servers(tmp_path), TABLES, FakeClock()) for _ in range(4))
    )
    await fill(stores[0])
    for tables in (TABLES, changed(scalars=(*MESSAGE.scalars, "origin"))):
        more = await asyncio.gather(
            *(PostgresStore.open(servers(tmp_path), tables, FakeClock()) for _ in range(4))
        )
        assert len(await selected(more[3], Eq("origin", "o0"))) == 3
        assert await more[0].check() == []
        stores += more
    for store in stores:
        await store.close()


async def test_what_a_dead_node_began_another_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "RECORDS", 2)
    async with opened(tmp_path) as store:
        await fill(store)
    real = rebuild._Rebuild.go_on
    turns = iter(range(4))

    async def die(self: Any) -> None:
        if next(turns, None) is None:
            raise ConnectionResetError
        await real(self)

    tables = changed(covers=())
    with monkeypatch.context() as patched:
        patched.setattr(rebuild._Rebuild, "go_on", die)
        with pytest.raises(Unavailable):
            await PostgresStore.open(servers(tmp_path), tables, FakeClock())
    async with connected(tmp_path) as connection:
        assert await connection.fetchval("SELECT records FROM rebuild") > 0
        told = await migrate.pending(
            connection, postgres.schema_of(tmp_path), [Layout(table) for table in tables]
        )
    assert "covers threadId -> none, begun: " in told[0]
    # A third program puts its own declaration in the place of the second one's.
    async with opened(tmp_path, changed(members=("tags",))) as store:
        assert await store.check() == []
    with pytest.raises(Unavailable, match="is older"):
        await PostgresStore.open(servers(tmp_path), tables, FakeClock())


async def test_a_record_that_cannot_be_read_is_kept_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    async with connected(tmp_path) as connection:
        await connection.execute(f"UPDATE {LAYOUT.records} SET fixed = '{{\"x' WHERE id = 'm2'")
    tables = changed(covers=())
    async with opened(tmp_path, tables) as store:
        problems = await store.check()
        assert len(problems) == 2
        assert all("m2: its fixed part is damaged" in problem for problem in problems)
        assert len(await selected(store)) == 6


async def test_the_order_of_a_table_cannot_change(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    with pytest.raises(Unavailable, match="order of Message cannot change from sentAt"):
        await PostgresStore.open(servers(tmp_path), changed(order=None), FakeClock())


async def test_versions_go_forward_and_newer_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as old:
        await fill(old)
        layouts = [Layout(table) for table in TABLES]
        schema = postgres.schema_of(tmp_path)
        steps = {
            1: migrate.Migration("a note for each account", "ALTER TABLE account ADD COLUMN note text", 1),
            2: migrate.Migration("no more notes", "ALTER TABLE account DROP COLUMN note", 3),
        }
        for newest in (2, 3):
            with monkeypatch.context() as patched:
                patched.setattr(migrate, "MIGRATIONS", steps)
                patched.setattr(migrate, "VERSION", newest)
                async with connected(tmp_path) as connection:
                    told = await migrate.pending(connection, schema, layouts)
                    assert told == [f"version {newest - 1} to {newest}: {steps[newest - 1].text}"]
                    await migrate.migrate(connection, schema, layouts)
                    assert await migrate.pending(connection, schema, layouts) == []
            if newest == 2:  # which has only added something
                async with opened(tmp_path) as again:
                    await put(again, message("again"))
        await put(old, message("late"))
        with pytest.raises(Unavailable, match=r"newer version \(3, for programs from 3 on\).*run the newer"):
            await PostgresStore.open(servers(tmp_path), TABLES, FakeClock())


async def test_lacking_rights_are_said_with_the_statement_that_gives_them(tmp_path: Path) -> None:
    dsn, schema = postgres.server().create("poor"), "poor"
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE ROLE pauper LOGIN")
    theirs = Servers(dsn.replace("veredus@", "pauper@"), connections=2, schema=schema)
    try:
        with pytest.raises(Unavailable, match='GRANT CREATE ON DATABASE "poor" TO "pauper"'):
            await PostgresStore.open(theirs, TABLES, FakeClock())
        await admin.execute(f"CREATE SCHEMA {schema}")
        with pytest.raises(Unavailable, match='GRANT USAGE, CREATE ON SCHEMA "poor" TO "pauper"'):
            await PostgresStore.open(theirs, TABLES, FakeClock())
        await admin.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO pauper")
        store = await PostgresStore.open(theirs, TABLES, FakeClock())
        await put(store, message("a"))
        await store.close()
        # Whoever finds everything done needs no right to create.
        await admin.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM pauper")
        store = await PostgresStore.open(theirs, TABLES, FakeClock())
        assert await selected(store) == ["a"]
        await store.close()
        with pytest.raises(Unavailable, match="GRANT"):
            await PostgresStore.open(theirs, changed(covers=()), FakeClock())
    finally:
        await admin.close()
        postgres.server().drop("poor")
