"""What /readyz says of store and blobs, and how soon (``veredus.readiness``)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from contract import postgres
from veredus import readiness
from veredus.app import open_app
from veredus.config.settings import Blobs, Config, Storage
from veredus.ports import Unavailable
from veredus.readiness import Question
from waiting import until


async def test_one_asking_is_under_way_at_most() -> None:
    begun = 0
    answer = asyncio.Event()

    async def ask() -> None:
        nonlocal begun
        begun += 1
        await answer.wait()

    question = Question(ask)
    assert question.ask() is question.ask()
    await asyncio.sleep(0)
    assert begun == 1
    assert question.trouble(60) is None
    assert question.trouble(0) == "no answer for 0 s"
    answer.set()
    await question.ask()
    assert question.trouble(0) is None
    assert question.ask(every_s=60).done()
    assert not question.ask().done()
    await question.close()


async def test_what_is_raised_is_the_trouble_until_it_is_asked_again() -> None:
    errors: list[Exception] = [Unavailable("the disk is gone"), KeyError()]

    async def ask() -> None:
        if errors:
            raise errors.pop(0)

    question = Question(ask)
    for words in ("the disk is gone", "KeyError", None):
        await question.ask()
        assert question.trouble(0) == words
    await question.close()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    name = "readiness"
    dsn = postgres.server().create(name)
    yield Config(data_dir=tmp_path, storage=Storage(url=dsn, connections=2), blobs=Blobs(url="memory"))
    postgres.server().drop(name)


async def test_a_store_that_is_silent_makes_a_node_unready_and_takes_no_connections(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_STORE_S", 0.05)
    async with open_app(config, types=()) as app:
        connection = await asyncpg.connect(config.storage.url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE veredus.account IN ACCESS EXCLUSIVE MODE")
            for _ in range(2 * config.storage.connections):
                [problem] = await app.ready()
                assert problem.startswith("store: no answer for ")
        await connection.close()
        async with asyncio.timeout(20):
            while await app.ready():
                pass


async def test_a_table_that_a_newer_program_has_replaced_makes_a_node_unready(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_TABLES_EVERY_S", 0)
    async with open_app(config, types=()) as app:
        assert await app.ready() == []
        connection = await asyncpg.connect(config.storage.url)
        find = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'rec:Email:%'"
        name = await connection.fetchval(find)
        await connection.execute(f'ALTER TABLE veredus."{name}" RENAME TO replaced')
        await connection.close()
        for _ in range(2):
            [problem] = await app.ready()
            assert "a newer program has changed it" in problem


async def test_without_blobs_a_node_is_worse_and_stays_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_BLOBS_EVERY_S", 0)
    async with open_app(Config(data_dir=tmp_path), types=()) as app:
        assert app.degraded() == []
        await app.blobs.close()
        await until(lambda: app.degraded() != [])
        assert app.degraded()[0].startswith("blobs: ")
        assert await app.ready() == []
