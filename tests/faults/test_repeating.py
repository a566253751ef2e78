"""The four ways in which jmap2nats repeats mail, each provoked: here each Email is in the stream once.

Where the stream's own memory of ids must not help, it is set to the least that NATS takes (100 ms), which is
over before a new process has begun.
"""

import asyncio
from pathlib import Path

import pytest

from faults import checks
from faults.arena import Arena
from faults.bridge import KillPoint, KillSchedule
from faults.rules import Hold, Rule
from faults.seeding import with_attachment
from jmap import message

pytestmark = pytest.mark.service
_FORGETFUL = 'stream = { dedup_window = "100ms" }\n'


async def _forget_cursor(arena: Arena) -> None:
    async with arena.connection() as nats:
        await nats.jetstream().purge_stream(f"KV_{arena.names.cursor_bucket}")


def _once(found: list[checks.Published], count: int) -> bool:
    return len(found) == len({one.email for one in found}) == count


async def test_1_10_1_a_cursor_that_was_never_saved_repeats_nothing_after_the_dedup_window(
    tmp_path: Path,
) -> None:
    async with Arena.running(tmp_path, _FORGETFUL) as arena:
        await arena.bridge.stop()
        schedule = KillSchedule(arena.bridge)
        arena.observe(schedule.observe)

        async def mail() -> None:
            for _ in range(10):
                await arena.email()

        point = KillPoint("$KV.JMAP_EMAILS_CURSOR.*", "arrived")
        await schedule.run([point], arena.settled, mail)
        assert schedule.reached == [point]
        async with arena.connection() as nats:
            assert len(await checks.messages(nats, arena.names.stream)) == 10
        await arena.bridge.start()
        assert _once(await arena.ends_well(), 10)


async def test_1_10_1_a_last_email_that_was_destroyed_repeats_nothing(tmp_path: Path) -> None:
    """It is the mark of jmap2nats for where it was."""
    async with Arena.running(tmp_path, _FORGETFUL) as arena:
        ids = [await arena.email() for _ in range(5)]
        await arena.until_settled()
        await arena.bridge.stop()
        await arena.jmap.call("Email/set", destroy=ids[-1:])
        await _forget_cursor(arena)
        await arena.bridge.start()
        await arena.email()
        assert _once(await arena.ends_well(in_order=False), 6)


async def test_1_10_2_restarts_without_a_cursor_repeat_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, _FORGETFUL) as arena:
        for _ in range(10):
            await arena.email()
        await arena.until_settled()
        for _ in range(3):
            await arena.bridge.stop()
            await _forget_cursor(arena)
            await arena.bridge.start()
            await arena.until_settled()
        assert _once(await arena.ends_well(), 10)


async def test_1_10_3_ids_that_nats_forgot_with_their_messages_repeat_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'stream = { max_bytes = "64KiB" }\n') as arena:
        for number in range(12):
            await arena.email(message(f"{number}", "x" * 50, X_Filler="y" * 900))
        await arena.email(
            message("long", "z", References=" ".join(f"<{n}@example.org>" for n in range(1800)))
        )
        await arena.until_settled()
        async with arena.connection() as nats:
            state = (await nats.jetstream().stream_info(arena.names.stream)).state
        assert state.first_seq > 1, "nothing was evicted"
        await arena.nats.restart()
        await arena.bridge.until_said("reading", 2)
        await arena.bridge.stop()
        await arena.bridge.start()
        await arena.email()
        await arena.until_settled()
        async with arena.connection() as nats:
            assert (
                await nats.jetstream().stream_info(arena.names.stream)
            ).state.last_seq == state.last_seq + 1


async def test_1_10_4_of_two_replicas_only_one_downloads_and_publishes(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        (tmp_path / "second").mkdir()
        async with await arena.another(tmp_path / "second", 'lease = "1s"\n') as second:
            await second.until_said("nats_connected")
            for number in range(10):
                await arena.email(with_attachment(b"%d" % number))
            found = await arena.ends_well()
            # An attachment for each; that the texts come with Email/get is the way of all generations.
            assert sum(n for path, n in arena.proxy.requests.items() if "/download/" in path) == 10
            assert arena.tap.published[found[0].subject] == 10
            assert not any(line.get("event") == "reading" for line in second.log)


async def test_1_10_4_a_replica_that_moves_the_cursor_back_repeats_nothing(tmp_path: Path) -> None:
    """jmap2nats puts it without looking."""
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        for _ in range(5):
            await arena.email()
        await arena.until_settled()
        key = checks.cursor_key(arena.jmap.account)
        async with arena.connection() as nats:
            await (await nats.jetstream().key_value(arena.names.cursor_bucket)).put(key, arena.start.encode())
        await arena.email()
        assert _once(await arena.ends_well(), 6)


async def test_1_10_4_a_replica_that_moves_the_cursor_while_a_page_is_read_is_noticed(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        await arena.email()
        await arena.until_settled()
        hold = Hold()
        arena.proxy.add(Rule(fault=hold, method="Email/get", nth=2, times=1))
        for _ in range(5):
            await arena.email()
        await asyncio.wait_for(hold.reached.wait(), 30)
        async with arena.connection() as nats:
            kv = await nats.jetstream().key_value(arena.names.cursor_bucket)
            await kv.put(checks.cursor_key(arena.jmap.account), arena.start.encode())
        hold.released.set()
        await arena.bridge.until_said("cursor_moved_by_another")
        assert _once(await arena.ends_well(), 6)
