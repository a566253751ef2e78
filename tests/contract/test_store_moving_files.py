"""Dumps as files, as a backup of PostgreSQL has them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.moved import Broken, broken, clock, everything, fill, kind, make, told
from contract.stores import STORES, TABLES, FakeClock, message, put
from veredus.ports import Unavailable
from veredus.store import dump_files, moving
from veredus.store.memory import MemoryStore

__all__ = ["clock", "kind", "make"]


async def test_an_account_goes_through_a_file(
    make: Callable[[str], Any], clock: FakeClock, kind: str, tmp_path: Path
) -> None:
    source, target = await make(kind), await make(kind)
    await fill(source, clock)
    await dump_files.write(str(tmp_path), "A", source.dump("A"))
    files = dump_files.DumpFiles(tmp_path)
    assert await files.accounts() == ["A"]
    with pytest.raises(Broken):
        await target.load("A", broken(partial(files.dump, "A"), 2))
    await target.load("A", partial(files.dump, "A"))
    assert await everything(target) == await everything(source)
    assert await told(target) == await told(source)


@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda data: data[:50] + b"xx" + data[52:]])
async def test_a_damaged_file_is_noticed(tmp_path: Path, clock: FakeClock, damage: Any) -> None:
    source, target = MemoryStore(TABLES, clock), MemoryStore(TABLES, clock)
    await fill(source, clock)
    await dump_files.write(str(tmp_path), "A", source.dump("A"))
    path = tmp_path / "accounts" / "A.dump"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Unavailable, match="damaged"):
        await target.load("A", partial(dump_files.DumpFiles(tmp_path).dump, "A"))
    assert await target.accounts() == []


async def _killed(*args: object) -> bool:
    """Whether the process was; else it has done its work."""
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "contract.loader", *map(str, args)),
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"},
    )
    code = await process.wait()
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_process_that_is_killed_again_and_again_gets_there(
    tmp_path: Path, clock: FakeClock, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there stays until all is; nothing of an attempt is ever seen."""
    source, files, place = MemoryStore(TABLES, clock), tmp_path / "files", tmp_path / "target"
    for directory in (files, place):
        directory.mkdir()
    target: Any = await STORES[kind](place, clock)
    await put(target, message("before"))
    before = await everything(target)
    await target.close()
    await fill(source, clock)
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 12)
    await dump_files.write(str(files), "A", source.dump("A"))
    expected = await everything(source)

    async def found() -> tuple[list[Any], list[str], list[str]]:
        store: Any = await STORES[kind](place, clock)
        try:
            return await everything(store), await store.accounts(), await store.check()
        finally:
            await store.close()

    # Three times with one piece more stored, then before the log.
    for pieces in (2, 2, 2, 3):
        assert await _killed(kind, place, files, pieces)
        assert await found() == (before, ["A"], [])
    assert await _killed(kind, place, files, "purge")
    assert await found() == (expected, ["A"], [])
    assert not await _killed(kind, place, files, -1)
    assert await found() == (expected, ["A"], [])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_two_that_load_an_account_at_once_do_no_harm(
    tmp_path: Path, clock: FakeClock, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(moving, "PIECES_AT_ONCE", 1)
    source = MemoryStore(TABLES, clock)
    await fill(source, clock)
    stores: list[Any] = [await STORES[kind](tmp_path, clock) for _ in range(2)]
    dump = partial(source.dump, "A")
    ends = await asyncio.gather(*(store.load("A", dump) for store in stores), return_exceptions=True)
    assert [end for end in ends if end is not None and not isinstance(end, Unavailable)] == []
    await stores[0].load("A", dump)
    for store in stores:
        assert await everything(store) == await everything(source)
        assert await store.check() == []
        await store.close()
