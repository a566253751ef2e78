"""What the periodic work forgets, and what it must not."""

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from veredus import leases, maintenance
from veredus.blob.file import FileBlobs
from veredus.engine.blobs import UPLOADS, note_upload
from veredus.maintenance import LEASE, Maintenance, nothing_deleted
from veredus.ports import Blob, Lease, LeaseLost, Table
from veredus.store.memory import MemoryStore

RECORDS = Table("Thing", blobs=("blobId",))


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class World:
    """A server's stores."""

    def __init__(self, directory: Path, blobs: FileBlobs, clock: Clock) -> None:
        self.clock, self.blobs = clock, blobs
        self.store = MemoryStore([RECORDS, UPLOADS], clock)
        self.maintenance = Maintenance(self.store, blobs, clock)

    @classmethod
    async def make(cls, directory: Path) -> "World":
        clock = Clock()

        def now() -> float:
            return clock.time.timestamp()

        return cls(directory, await FileBlobs.at(directory / "blobs", now=now), clock)

    async def upload(self, data: bytes) -> Blob:
        blob = await self.blobs.put(data, max_size=len(data))
        await note_upload(self.store, "a1", "alice", blob, "x/y", self.clock.now())
        return blob

    async def refer(self, id: str, blob: Blob) -> None:
        async with self.store.write("a1") as tx:
            await tx.put("Thing", {"id": id, "blobId": blob.id})

    async def round(self, hours: float) -> None:
        self.clock.time += timedelta(hours=hours)
        await self.maintenance.round()


async def test_an_upload_nobody_used_is_forgotten_after_a_day(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    unused, used = await world.upload(b"unused"), await world.upload(b"used")
    await world.refer("t1", used)
    await world.round(23)
    async with world.store.read("a1") as snapshot:
        assert await snapshot.count("Upload") == 2
    for _ in range(3):
        await world.round(2)
    async with world.store.read("a1") as snapshot:
        assert await snapshot.count("Upload") == 0
    assert await world.blobs.size(unused.id) is None
    assert await world.blobs.size(used.id) == 4
    await world.blobs.close()


async def test_a_blob_that_came_into_use_between_two_rounds_stays(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    blob = await world.upload(b"late")
    await world.round(30)
    assert await world.blobs.size(blob.id) == 4  # one round alone deletes nothing
    await world.refer("t1", blob)
    await world.round(1)
    await world.round(1)
    assert await world.blobs.size(blob.id) == 4
    await world.blobs.close()


async def test_a_blob_that_was_put_again_stays(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    blob = await world.upload(b"again")
    await world.round(30)
    await world.upload(b"again")
    await world.round(1)
    await world.round(1)
    assert await world.blobs.size(blob.id) == 5
    await world.blobs.close()


async def test_nothing_is_deleted_during_a_backup(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    blob = await world.upload(b"x")
    await world.round(30)
    async with nothing_deleted(world.store):
        await world.round(1)
        assert await world.blobs.size(blob.id) == 1
    await world.round(1)
    assert await world.blobs.size(blob.id) is None
    await world.blobs.close()


async def test_a_backup_waits_for_the_round_under_way(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    held = await world.store.acquire(LEASE, "another node", 60)
    assert held is not None
    waits, begun = asyncio.Event(), asyncio.Event()

    async def backup() -> None:
        async with nothing_deleted(world.store, waits.set):
            begun.set()

    task = asyncio.create_task(backup())
    await waits.wait()
    assert not begun.is_set()
    await world.store.release(held)
    await task
    assert begun.is_set()
    await world.blobs.close()


async def test_a_backup_that_could_not_keep_the_lease_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_RENEW", 0.01)
    world = await World.make(tmp_path)

    async def backup() -> None:
        async with nothing_deleted(world.store):
            _steal(world.store)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await backup()
    await world.blobs.close()


def _steal(store: MemoryStore) -> None:
    """As if the holder had slept for long."""
    lease, _ = store._leases[LEASE]
    store._leases[LEASE] = (Lease(LEASE, "thief", lease.token + 1), time.monotonic() + 60)


async def test_a_node_that_slept_in_a_round_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await World.make(tmp_path)
    blob = await world.upload(b"x")
    await world.round(30)
    asked = world.store.referenced_blobs

    async def sleep_then_answer(ids: Collection[str]) -> set[str]:
        _steal(world.store)
        return await asked(ids)

    monkeypatch.setattr(world.store, "referenced_blobs", sleep_then_answer)
    with pytest.raises(LeaseLost):
        await world.round(1)
    assert await world.blobs.size(blob.id) == 1
    await world.blobs.close()


async def test_of_many_nodes_one_does_every_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each would go through all blobs, and need two rounds of its own to delete one."""
    world = await World.make(tmp_path)
    monkeypatch.setattr(maintenance, "INTERVAL_S", 0.02)
    nodes = [Maintenance(world.store, world.blobs, world.clock) for _ in range(3)]
    rounds = [0, 0, 0]
    enough = asyncio.Event()

    def counted(number: int) -> None:
        do = nodes[number].round

        async def round() -> None:
            rounds[number] += 1
            if rounds[number] == 3:
                enough.set()
            await do()

        monkeypatch.setattr(nodes[number], "round", round)

    for number in range(3):
        counted(number)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(node.run(stop)) for node in nodes]
    await enough.wait()
    assert sorted(rounds)[:2] == [0, 0]
    # Its turn passes to another when it ends.
    first = rounds.index(3)
    tasks[first].cancel()
    await asyncio.wait([tasks[first]])
    enough.clear()
    await enough.wait()
    assert sorted(rounds)[:2] == [0, 3]
    stop.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await world.blobs.close()


async def test_the_loop_survives_a_failure_and_ends_when_told(tmp_path: Path) -> None:
    world = await World.make(tmp_path)
    await world.blobs.put(b"x", max_size=1)
    world.clock.time += timedelta(hours=48)
    await world.blobs.close()  # every round fails from now on
    stop = asyncio.Event()
    task = asyncio.create_task(world.maintenance.run(stop))
    await asyncio.sleep(0.05)
    assert not task.done()
    stop.set()
    await asyncio.wait_for(task, 5)
