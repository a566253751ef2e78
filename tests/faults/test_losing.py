"""The twelve ways in which jmap2nats 1.0 loses mail, each provoked: here nothing is lost."""

import asyncio
import random
from pathlib import Path

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from faults import checks
from faults.arena import Arena
from faults.bridge import KillPoint, KillSchedule
from faults.rules import HTML, Answer, Cut, Hold, MethodFails, Rule, Stall
from faults.seeding import with_attachment
from jmap import message
from waiting import until

pytestmark = pytest.mark.service
_YEARS_AGO = "2001-02-03T04:05:06Z"


def _minute(number: int) -> str:
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"


async def _attachment(arena: Arena, email: str) -> str:
    """The path, as a pattern, at which the attachment of an Email is downloaded."""
    [found] = (await arena.jmap.call("Email/get", ids=[email], properties=["attachments"]))["list"]
    return f"/jmap/download/{arena.jmap.account}/{found['attachments'][0]['blobId']}/*"


async def test_1_9_1_an_email_that_fails_is_tried_again(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        faults = [
            Rule(fault=MethodFails("serverFail", "Email/get"), method="Email/get", times=2),
            Rule(fault=MethodFails("serverUnavailable", "Email/get"), method="Email/get", nth=3, times=1),
            Rule(fault=Answer(500), path="/jmap/download/*", times=2),
        ]
        arena.proxy.add(*faults)
        for number in range(3):
            await arena.email(with_attachment(b"%d" % number))
        found = await arena.ends_well()
        assert len(found) == 3
        assert all(arena.proxy.applied[rule] for rule in faults)


async def test_1_9_1_an_email_that_always_fails_is_parked_and_the_next_ones_pass(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, "dlq = { max_attempts = 2 }\n") as arena:
        await arena.bridge.stop()
        ids = [await arena.email(with_attachment(b"%d" % number)) for number in range(3)]
        arena.proxy.add(Rule(fault=Answer(500), path=await _attachment(arena, ids[1])))
        await arena.bridge.start()
        found = await arena.ends_well(parked=[ids[1]])
        assert [one.email for one in found] == [ids[0], ids[2]]


@pytest.mark.parametrize("nth", [1, 2])
async def test_1_9_2_mail_that_arrives_while_the_first_list_is_read_is_not_lost(
    tmp_path: Path, nth: int
) -> None:
    """The answer to the query is made, the mail comes, and only then does the bridge see the answer."""
    async with Arena.open(tmp_path, more="snapshot = { limit = 2 }\n") as arena:
        for number in range(2):
            await arena.email(receivedAt=_minute(number))
        hold = Hold()
        arena.proxy.add(Rule(fault=hold, method="Email/query", nth=nth, times=1))
        await arena.bridge.start()
        await asyncio.wait_for(hold.reached.wait(), 30)
        await arena.email(receivedAt=_minute(30))
        hold.released.set()
        assert len(await arena.ends_well()) == 3


async def test_1_9_3_a_crash_in_the_middle_of_the_backfill_loses_nothing(tmp_path: Path) -> None:
    async with Arena.open(tmp_path, more='lease = "1s"\n') as arena:
        schedule = KillSchedule(arena.bridge)
        arena.observe(schedule.observe)

        async def mail() -> None:
            for number in range(40):
                await arena.email(receivedAt=_minute(number))

        await schedule.run([KillPoint("jmap.email.*", "arrived", nth=12)], arena.settled, mail)
        assert schedule.reached
        async with arena.connection() as nats:
            assert len(await checks.messages(nats, arena.names.stream)) < 40
        await arena.bridge.start()
        assert len(await arena.ends_well()) == 40


async def test_1_9_4_mail_with_an_old_date_that_comes_while_the_bridge_is_down_is_not_lost(
    tmp_path: Path,
) -> None:
    async with Arena.running(tmp_path, "snapshot = { limit = 3 }\n") as arena:
        await arena.bridge.stop()
        ids = [await arena.email(), await arena.email(receivedAt=_YEARS_AGO)]
        ids += [await arena.email() for _ in range(4)]
        await arena.bridge.start()
        assert [one.email for one in await arena.ends_well()] == ids


async def test_1_9_4_it_is_not_lost_either_when_the_server_cannot_calculate_changes(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, "snapshot = { limit = 3 }\n") as arena:
        await arena.bridge.stop()
        await arena.email(receivedAt=_YEARS_AGO)
        for _ in range(4):
            await arena.email()
        fault = MethodFails("cannotCalculateChanges", "Email/changes")
        arena.proxy.add(Rule(fault=fault, method="Email/changes", times=1))
        await arena.bridge.start()
        assert len(await arena.ends_well(in_order=False)) == 5


async def test_1_9_5_an_expired_cursor_costs_nothing_beyond_any_limit(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, "snapshot = { limit = 3 }\n") as arena:
        before = await arena.email()
        await arena.until_settled()
        await arena.bridge.stop()
        later = [await arena.email(receivedAt=_minute(number)) for number in range(12)]
        fault = MethodFails("cannotCalculateChanges", "Email/changes")
        arena.proxy.add(Rule(fault=fault, method="Email/changes", times=1))
        await arena.bridge.start()
        found = await arena.ends_well()
        assert [one.email for one in found] == [before, *later]


async def test_1_9_5_a_first_run_delivers_all_history_if_asked(tmp_path: Path) -> None:
    more = 'snapshot = { mode = "full", limit = 3 }\n'
    async with Arena.open(tmp_path, more=more) as arena:
        ids = [await arena.email(receivedAt=_minute(number)) for number in range(12)]
        await arena.bridge.start()
        assert [one.email for one in await arena.ends_well()] == ids


@pytest.mark.parametrize("fault", [Answer(500), Cut("body"), Cut("request"), HTML], ids=repr)
async def test_1_9_6_a_part_that_could_not_be_downloaded_is_downloaded_again(
    tmp_path: Path, fault: Answer | Cut
) -> None:
    async with Arena.running(tmp_path) as arena:
        rule = Rule(fault=fault, path="/jmap/download/*", times=3)
        arena.proxy.add(rule)
        chance = random.Random(3)
        for _ in range(3):
            await arena.email(with_attachment(chance.randbytes(200_000)))
        found = await arena.ends_well()
        assert arena.proxy.applied[rule] == 3
        assert all("objectKey" in one.body["attachments"][0] for one in found)


async def test_1_9_6_a_text_in_an_unknown_charset_is_there_as_it_is(tmp_path: Path) -> None:
    body = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\n\xe4\xf6\xfc\r\n"
    async with Arena.running(tmp_path) as arena:
        await arena.email(body)
        [found] = await arena.ends_well()
        part = found.body["textBody"][0]
        assert part["error"].startswith("body value encoding problem")
        key = f"{arena.jmap.account}/{found.email}/{part['blobId']}"
        async with arena.connection() as nats:
            assert (await checks.read_object(nats, arena.names.bucket, key))[1] == b"\xe4\xf6\xfc\r\n"


async def test_1_9_7_a_full_stream_that_refuses_what_is_new_loses_nothing(tmp_path: Path) -> None:
    """By default the stream drops the oldest, as that of jmap2nats does; whoever cannot afford it sets discard new."""
    async with Arena.open(tmp_path, more="stream = { externally_managed = true }\n") as arena:
        config = StreamConfig(
            name=arena.names.stream, subjects=["jmap.email.>"], max_msgs=5, discard=DiscardPolicy.NEW
        )
        async with arena.connection() as nats:
            await nats.jetstream().add_stream(config)
        await arena.bridge.start()
        await arena.until_settled()
        await arena.bridge.stop()
        for _ in range(12):
            await arena.email()
        await arena.bridge.start()
        async with arena.connection() as nats:
            before = await checks.cursor(nats, arena.names, arena.jmap.account)
            await arena.bridge.until_said("waiting")
            assert (await nats.jetstream().stream_info(arena.names.stream)).state.messages == 5
            assert await checks.cursor(nats, arena.names, arena.jmap.account) == before
            config.max_msgs = -1
            await nats.jetstream().update_stream(config)
        assert len(await arena.ends_well()) == 12


async def test_1_9_8_mail_that_comes_before_the_push_stream_is_open_does_not_wait_for_the_next(
    tmp_path: Path,
) -> None:
    """There is no poll for ten minutes, and no other mail."""
    hold = Hold("request")
    async with Arena.open(tmp_path) as arena:
        arena.proxy.add(Rule(fault=hold, path="/jmap/ws", times=1))
        await arena.bridge.start()
        await arena.until_settled()
        await asyncio.wait_for(hold.reached.wait(), 30)
        await arena.email()
        hold.released.set()
        assert len(await arena.ends_well()) == 1


async def test_1_9_8_a_state_change_that_is_never_pushed_is_found_by_a_poll(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        await until(lambda: arena.proxy.open_streams)
        arena.proxy.traffic.drop_state_changes = 5
        await arena.email()
        assert len(await arena.ends_well()) == 1


async def test_1_9_9_a_push_stream_that_falls_silent_stops_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        await until(lambda: arena.proxy.open_streams)
        assert arena.proxy.silence_streams() == 1
        for _ in range(3):
            await arena.email()
            await arena.until_settled()
        assert len(await arena.ends_well()) == 3


async def test_1_9_10_a_request_that_hangs_is_given_up(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, jmap='timeout = "1s"') as arena:
        rules = [
            Rule(fault=Stall(), method="Email/get", times=1),
            Rule(fault=Stall(at="body"), path="/jmap/download/*", times=1),
        ]
        arena.proxy.add(*rules)
        await arena.email(with_attachment(b"x" * 1000))
        assert len(await arena.ends_well()) == 1
        assert all(arena.proxy.applied[rule] for rule in rules)


async def test_1_9_10_a_request_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        hold = Hold()
        arena.proxy.add(Rule(fault=hold, method="Email/get"))
        await arena.email()
        await asyncio.wait_for(hold.reached.wait(), 30)
        async with asyncio.timeout(20):
            assert await arena.bridge.stop() == 0
        arena.proxy.clear()
        hold.released.set()
        await arena.bridge.start()
        assert len(await arena.ends_well()) == 1


async def test_1_9_11_a_token_that_is_rotated_is_taken_up(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        await arena.email()
        await arena.until_settled()
        pid = arena.bridge.pid
        await arena.revoke_tokens()
        await arena.email()
        await arena.bridge.until_said("waiting")
        arena.token_file.write_text(await arena.new_token())
        assert len(await arena.ends_well()) == 2
        assert arena.bridge.pid == pid


async def test_1_9_12_a_huge_text_is_no_poison_pill(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'parts = { max_per_part = "64KiB" }\n') as arena:
        calm = arena.bridge.most_memory
        await arena.email(message("huge", "0123456789abcdef" * 64 * 1024 * 16))
        await arena.email(with_attachment(bytes(16 * 1024 * 1024)))
        await arena.email()
        found = await arena.ends_well()
        assert len(found) == 3
        assert found[1].body["attachments"][0]["skipped"]
        assert arena.bridge.most_memory - calm < 16 * 1024 * 1024
        assert await arena.bridge.stop() == 0
