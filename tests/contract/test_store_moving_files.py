"""Dumps as files, as a backup of PostgreSQL has them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.moved import Broken, broken, clock, everything, fill, kind, make, told
from contract.stores import TABLES, FakeClock
from veredus.ports import Unavailable
from veredus.store import dump_files
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
