"""What was saved is there after a kill, and what others saved, too."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from veredus.client.cursors import Cursor, CursorError, FileCursor, MemoryCursor, SqliteCursor

KINDS = {"file": FileCursor, "sqlite": SqliteCursor}

# Saves 0, 1, 2 … under its own key, and says so of each when it is durable.
WRITER = """
import asyncio, sys
from veredus.client import cursors
async def main(kind, path, key, count):
    cursor = getattr(cursors, kind)(path)
    for number in range(int(count)):
        await cursor.save(key, str(number))
        print(number, flush=True)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(params=["memory", *KINDS])
def cursor(request: pytest.FixtureRequest, tmp_path: Path) -> Cursor:
    return MemoryCursor() if request.param == "memory" else KINDS[request.param](tmp_path / "cursor")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> type[FileCursor] | type[SqliteCursor]:
    return KINDS[request.param]


async def writer(kind: type, path: Path, key: str, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, kind.__name__, path, key, str(count), stdout=asyncio.subprocess.PIPE
    )


async def test_what_was_saved_is_loaded(cursor: Cursor) -> None:
    assert await cursor.load("a") is None
    await cursor.save("a", "1")
    await cursor.save("b/ä \n\"'", "{}\0 ✓")
    await cursor.save("a", "2")
    assert await cursor.load("a") == "2"
    assert await cursor.load("b/ä \n\"'") == "{}\0 ✓"
    assert await cursor.load("c") is None


async def test_another_instance_loads_it(kind: type, tmp_path: Path) -> None:
    first, second = kind(tmp_path / "cursor"), kind(tmp_path / "cursor")
    assert await second.load("a") is None
    await first.save("a", "1")
    assert await second.load("a") == "1"
    await second.save("a", "2")
    assert await first.load("a") == "2"


async def test_saves_take_effect_in_order_even_when_they_are_given_up(kind: type, tmp_path: Path) -> None:
    cursor = kind(tmp_path / "cursor")
    for number in range(50):
        task = asyncio.ensure_future(cursor.save("a", f"given up {number}"))
        await asyncio.sleep(0)
        task.cancel()
        await cursor.save("a", str(number))
        assert await cursor.load("a") == str(number)


async def test_a_killed_process_has_saved_what_it_said_it_had(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    for round in range(3):
        process = await writer(kind, path, "a", 1_000_000)
        assert process.stdout is not None
        said = -1
        for _ in range(5 + 3 * round):
            said = int(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).split()
        assert await process.wait() == -signal.SIGKILL
        said = max([said, *map(int, rest)])
        # One more may have become durable before it could be said.
        assert int(await kind(path).load("a")) in (said, said + 1)


async def test_processes_with_keys_of_their_own_lose_nothing(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    processes = [await writer(kind, path, f"key{n}", 60) for n in range(4)]
    for process in processes:
        await process.communicate()
        assert process.returncode == 0
    cursor = kind(path)
    assert [await cursor.load(f"key{n}") for n in range(4)] == ["59"] * 4


async def test_one_of_the_processes_killed_does_not_stop_the_other(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    victim, other = await writer(kind, path, "a", 1_000_000), await writer(kind, path, "b", 40)
    assert victim.stdout is not None
    await victim.stdout.readline()
    victim.kill()
    await victim.communicate()
    await other.communicate()
    assert other.returncode == 0
    assert await kind(path).load("b") == "39"


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "{", "\xff"])
async def test_a_file_that_is_no_cursor_is_an_error_and_stays(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    path.write_bytes(content.encode("latin-1"))
    cursor = FileCursor(path)
    with pytest.raises(CursorError, match=str(path)):
        await cursor.load("a")
    with pytest.raises(CursorError, match=str(path)):
        await cursor.save("a", "1")
    assert path.read_bytes() == content.encode("latin-1")


async def test_a_database_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(CursorError, match=str(path)):
        await SqliteCursor(path).load("a")


async def test_a_folder_that_is_not_there_is_an_error(kind: type, tmp_path: Path) -> None:
    with pytest.raises(CursorError, match="missing/cursor"):
        await kind(tmp_path / "missing" / "cursor").save("a", "1")


async def test_the_file_is_for_people_to_read_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    await FileCursor(path).save("a", "ü")
    assert json.loads(path.read_text("utf-8")) == {"a": "ü"}
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cursor", "cursor.lock"]


async def test_each_commit_is_synced(tmp_path: Path) -> None:
    async with SqliteCursor(tmp_path / "cursor") as cursor:
        await cursor.save("a", "1")
        await cursor.close()
        assert await cursor.load("a") == "1"
        db = cursor._db()
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
