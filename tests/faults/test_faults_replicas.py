"""Two bridges for one account: one reads, the other takes over; and two at once, by accident, are harmless."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from faults import checks, replay
from faults.arena import Arena
from faults.steps import Step

pytestmark = pytest.mark.service
_LEASE = 'lease = "1s"\n'


async def test_a_standby_takes_over_within_15_s_of_a_kill(tmp_path: Path) -> None:
    """With the lease that everybody has who sets none. The bound here is generous; the time is printed."""
    async with Arena.open(tmp_path) as arena:
        await arena.bridge.start()
        await arena.until_settled()
        (tmp_path / "second").mkdir()
        async with await arena.another(tmp_path / "second") as second:
            await second.until_said("nats_connected")
            await arena.email()
            await arena.until_settled()
            await arena.bridge.kill()
            begun = time.monotonic()
            await arena.email()
            arena.bridge = second
            await arena.ends_well()
            print(f"the standby had published {time.monotonic() - begun:.1f} s after the kill")
            assert time.monotonic() - begun < 25


async def test_a_bridge_that_ends_in_good_order_hands_over_at_once(tmp_path: Path) -> None:
    async with Arena.open(tmp_path) as arena:
        await arena.bridge.start()
        await arena.until_settled()
        (tmp_path / "second").mkdir()
        async with await arena.another(tmp_path / "second") as second:
            await second.until_said("nats_connected")
            begun = time.monotonic()
            assert await arena.bridge.stop() == 0
            await arena.email()
            arena.bridge = second
            await arena.ends_well()
            assert time.monotonic() - begun < 9, "it has waited for the lease to run out"


async def test_two_that_take_over_from_each_other_lose_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, replay.table()) as arena:
        (tmp_path / "second").mkdir()
        first, chance = arena.bridge, random.Random(2)
        second = await arena.another(tmp_path / "second", _LEASE + replay.table())
        async with second:
            for holder, other in ((first, second), (second, first), (first, second)):
                load = asyncio.create_task(arena.seed(15, chance))
                await asyncio.sleep(chance.uniform(0, 0.1))
                await holder.kill()
                await load
                arena.bridge = other
                await arena.until_settled()
                await holder.start()
            await arena.ends_well()
            await first.kill()


async def test_two_at_once_with_a_lease_that_is_useless_are_harmless(tmp_path: Path) -> None:
    """Another state bucket is another lease: both read, publish and move the same cursor."""
    async with Arena.running(tmp_path) as arena:
        (tmp_path / "second").mkdir()
        more = 'state_bucket = "OTHER"\n' + _LEASE
        async with await arena.another(tmp_path / "second", more) as second:
            await second.until_said("reading")
            chance = random.Random(3)
            for _ in range(6):
                await arena.seed(8, chance)
            found = await arena.ends_well()
            assert len(found) == len({one.email for one in found})
            assert any("reading" in str(line.get("event")) for line in second.log)
            assert not second.errors


async def test_a_holder_that_was_stopped_and_wakes_up_late_is_harmless(tmp_path: Path) -> None:
    """It stands (SIGSTOP) in the middle of a page; when it goes on, another has done its work long since."""
    async with Arena.running(tmp_path) as arena:
        first, stopped = arena.bridge, asyncio.Event()
        (tmp_path / "second").mkdir()
        second = await arena.another(tmp_path / "second", _LEASE)

        def stop(step: Step) -> bool:
            if step.kind.startswith("jmap.email.") and step.stage == "arrived" and not stopped.is_set():
                first.pause()
                stopped.set()
            return False

        arena.observe(stop)
        async with second:
            await second.until_said("nats_connected")
            load = asyncio.create_task(arena.seed(30, random.Random(5)))
            await asyncio.wait_for(stopped.wait(), 30)
            await load
            await second.until_said("reading")
            arena.bridge = second
            await arena.until_settled()
            first.resume()
            await arena.seed(10, random.Random(6))
            await arena.ends_well()
            assert not first.errors
            await first.kill()


async def test_a_cursor_that_somebody_else_moves_back_is_harmless(tmp_path: Path) -> None:
    """jmap2nats, still running, writes the cursor without looking what is there."""
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        chance = random.Random(9)
        for _ in range(5):
            await arena.seed(5, chance)
            await _write_cursor(arena, arena.start)
        await arena.email()
        found = await arena.ends_well()
        assert len(found) == len({one.email for one in found})


async def test_a_cursor_that_somebody_else_moves_forward_is_obeyed(tmp_path: Path) -> None:
    """Whoever wrote it says that it has published; what comes afterwards is there."""
    async with Arena.running(tmp_path) as arena:
        before = await arena.email()
        await arena.until_settled()
        await arena.bridge.stop()
        await arena.email()
        await _write_cursor(arena, (await arena.jmap.call("Email/get", ids=[]))["state"])
        await arena.bridge.start()
        await arena.until_settled()
        after = await arena.email()
        await arena.until_settled()
        async with arena.connection() as nats:
            found = await checks.messages(nats, arena.names.stream)
        assert [one.email for one in found] == [before, after]


async def _write_cursor(arena: Arena, state: str) -> None:
    async with arena.connection() as nats:
        kv = await nats.jetstream().key_value(arena.names.cursor_bucket)
        await kv.put(checks.cursor_key(arena.jmap.account), state.encode())
