"""Work under a lease: it stops in time, and another takes over soon."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from veredus import leases
from veredus.leases import confirm, hold, hold_if_free
from veredus.ports import Lease, LeaseLost, Table, Unavailable
from veredus.store.memory import MemoryStore
from veredus.store.process import is_dead, this_process
from veredus.store.sqlite import SQLiteStore

THING = Table("Thing")
TTL_S = 0.6
NEVER_S = 30.0


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Store(MemoryStore):
    """Counts, and fails or hangs when it is told to."""

    def __init__(self) -> None:
        super().__init__([THING], Clock())
        self.asked = 0
        self.is_down = self.is_stuck = False

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        self.asked += 1
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.is_down:
            raise Unavailable("down")
        return await super().acquire(name, holder, ttl_s)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    yield store
    await store.close()


async def test_it_is_kept_for_as_long_as_the_work_takes(store: Store) -> None:
    async with hold(store, "work", TTL_S) as lease:
        for _ in range(6):
            await asyncio.sleep(TTL_S / 3)
            await confirm(store, lease)
            async with hold_if_free(store, "work") as other:
                assert other is None
    async with hold_if_free(store, "work") as other:
        assert other is not None
        assert other.token == lease.token + 1


async def test_two_of_one_process_do_not_have_it_at_once(store: Store) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with hold(store, "work", TTL_S):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    assert most == 1


async def test_who_waits_says_so_once_and_takes_over_when_the_holder_vanishes(store: Store) -> None:
    said: list[None] = []
    assert await store.acquire("work", "one that dies", TTL_S)
    async with asyncio.timeout(NEVER_S):
        async with hold(store, "work", TTL_S, lambda: said.append(None)) as lease:
            await confirm(store, lease)
    assert said == [None]


@pytest.mark.parametrize("trouble", ["is_down", "is_stuck"])
async def test_the_work_ends_before_another_may_begin(store: Store, trouble: str) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        async with hold(store, "work", TTL_S):
            setattr(store, trouble, True)
            try:
                await asyncio.sleep(NEVER_S)
            finally:
                assert await MemoryStore.acquire(store, "work", "another", TTL_S) is None
                ended.set()

    with pytest.raises(LeaseLost):
        await work()
    assert ended.is_set()


async def test_a_short_failure_costs_nothing(store: Store) -> None:
    async with hold(store, "work", TTL_S) as lease:
        store.is_down = True
        before = store.asked
        while store.asked == before:
            await asyncio.sleep(0.01)
        store.is_down = False
        await asyncio.sleep(TTL_S * 1.5)
        await confirm(store, lease)


async def test_a_lease_that_another_has_ends_the_work_with_the_next_renewal(store: Store) -> None:
    async def work() -> None:
        async with hold(store, "work", TTL_S) as lease:
            await store.release(lease)
            assert await store.acquire("work", "another", NEVER_S)
            await asyncio.sleep(NEVER_S)

    with pytest.raises(LeaseLost):
        await work()
    assert await store.acquire("work", "a third", 1) is None


async def test_work_that_takes_no_notice_of_the_loss_is_told_at_its_end(store: Store) -> None:
    async def work() -> None:
        async with hold(store, "work", TTL_S):
            store.is_down = True
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(NEVER_S)

    with pytest.raises(LeaseLost):
        await work()


async def test_work_that_kept_the_event_loop_for_too_long_is_told_at_its_end(store: Store) -> None:
    with pytest.raises(LeaseLost):
        async with hold(store, "work", TTL_S):
            time.sleep(TTL_S)


async def test_a_lease_that_was_taken_anew_by_a_late_renewal_is_given_back(store: Store) -> None:
    """The event loop was held up for longer than the lease runs; then timer and renewal come at once."""

    async def work() -> None:
        async with hold(store, "work", TTL_S):
            asked = store.asked
            time.sleep(TTL_S * 1.1)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(NEVER_S)
            while store.asked == asked:
                await asyncio.sleep(0)

    with pytest.raises(LeaseLost):
        await work()
    assert await store.acquire("work", "another", 1) is not None


async def test_a_timeout_of_the_work_stays_a_timeout(store: Store) -> None:
    async def work() -> None:
        async with hold(store, "work", TTL_S):
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await work()
    assert await store.acquire("work", "another", 1) is not None


async def test_a_cancelled_holder_gives_it_back(store: Store) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with hold(store, "work", TTL_S):
            begun.set()
            await asyncio.sleep(NEVER_S)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.acquire("work", "another", 1) is not None


async def test_a_store_that_cannot_be_asked_is_unavailable_before_the_work(store: Store) -> None:
    store.is_down = True
    with pytest.raises(Unavailable):
        async with hold_if_free(store, "work"):
            pass


def test_holders_have_names_of_their_own() -> None:
    assert len({leases.holder_name() for _ in range(100)}) == 100


# ---------------------------------------------------------------- SQLite alone


async def _opened(directory: Path) -> SQLiteStore:
    return await SQLiteStore.open(directory / "records.db", [THING], Clock())


async def _ended_process() -> str:
    """The name of a process that was there."""
    process = await asyncio.create_subprocess_exec("sleep", "60")
    name = this_process().split(":")
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    named = ":".join([name[0], str(process.pid), fields[19]])
    assert not is_dead(named)
    process.kill()
    await process.wait()
    return named


async def test_a_process_that_died_has_its_lease_no_longer(tmp_path: Path) -> None:
    store = await _opened(tmp_path)
    held = await store.acquire("work", "a", NEVER_S)
    assert held is not None
    store._writer._db.run("UPDATE lease SET process = ?", (await _ended_process(),))
    taken = await store.acquire("work", "b", NEVER_S)
    assert taken == Lease("work", "b", held.token + 1)
    await store.close()


def test_only_what_certainly_ended_is_dead() -> None:
    namespace, pid, started = this_process().split(":")
    assert not is_dead(this_process())
    assert is_dead(f"{namespace}:{pid}:{int(started) + 1}"), "its number is another's now"
    assert not is_dead(f"{namespace}:{pid}:"), "there was no /proc then"
    for unknown in (f"other:{2**22 + 1}:1", "", "x", f"{namespace}:x:1", f"{namespace}:{2**70}:1"):
        assert not is_dead(unknown)


async def test_a_restart_of_the_machine_frees_leases(tmp_path: Path) -> None:
    """Its clock begins anew, behind the time at which the lease was taken."""
    store = await _opened(tmp_path)
    held = await store.acquire("work", "a", NEVER_S)
    assert held is not None
    store._writer._db.run("UPDATE lease SET at = at + 1000000")
    with pytest.raises(LeaseLost):
        await confirm(store, held)
    assert await store.acquire("work", "b", NEVER_S) == Lease("work", "b", held.token + 1)
    await store.close()


async def test_the_machines_clock_may_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await _opened(tmp_path)
    held = await store.acquire("work", "a", NEVER_S)
    assert held is not None
    for jump in (-1e9, 1e9):
        with monkeypatch.context() as patched:
            patched.setattr("time.time", lambda jump=jump: 1.8e9 + jump)
            assert await store.acquire("work", "b", NEVER_S) is None
            await confirm(store, held)
    await store.close()


async def test_who_asks_in_vain_writes_nothing(tmp_path: Path) -> None:
    """Nor waits for those who write: others look every few seconds, on a machine that may be idle."""
    one, two = await _opened(tmp_path), await _opened(tmp_path)
    assert await one.acquire("work", "a", NEVER_S)
    async with one.write("A") as tx:
        await tx.put("Thing", {"id": "x"})
        assert await two.acquire("work", "b", NEVER_S) is None
    before = (tmp_path / "records.db-wal").stat()
    assert await two.acquire("work", "b", NEVER_S) is None
    after = (tmp_path / "records.db-wal").stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    await one.close()
    await two.close()


async def test_a_file_of_version_1_opens(tmp_path: Path) -> None:
    store = await _opened(tmp_path)
    async with store.write("A") as tx:
        await tx.put("Thing", {"id": "x"})
    store._writer._db.run("DROP TABLE lease; DROP TABLE loading")
    store._writer._db.run("PRAGMA user_version = 1")
    await store.close()
    for _ in range(2):
        store = await _opened(tmp_path)
        assert store._writer._db.number("PRAGMA user_version") == 2
        async with store.read("A") as snapshot:
            assert await snapshot.get("Thing", None) == [{"id": "x"}]
        async with hold(store, "work") as lease, store.write("A", lease) as tx:
            await tx.put("Thing", {"id": "x"})
        assert await store.check() == []
        await store.close()
