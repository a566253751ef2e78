"""NATS killed, restarted, paused, silent, cut, small or full, under load: nothing is lost and the order stays."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from faults import checks, replay
from faults.arena import Arena
from faults.seeding import big_header, with_attachment

pytestmark = pytest.mark.service


async def _restarted(arena: Arena) -> None:
    await arena.nats.restart()


async def _stopped_and_started(arena: Arena) -> None:
    await arena.nats.stop()
    await arena.nats.start()


async def _cut(arena: Arena) -> None:
    await arena.tap.cut_all()


async def _paused(arena: Arena) -> None:
    await arena.nats.pause()
    await asyncio.sleep(0.3)
    arena.nats.resume()


async def _silent(arena: Arena) -> None:
    arena.tap.silence()
    await asyncio.sleep(0.3)
    arena.tap.speak()


_TROUBLES: dict[str, Callable[[Arena], Awaitable[None]]] = {
    "restarted": _restarted,
    "stopped": _stopped_and_started,
    "cut": _cut,
    "paused": _paused,
    "silent": _silent,
}


@pytest.mark.parametrize("trouble", _TROUBLES)
async def test_nats_in_trouble_under_load_loses_nothing(tmp_path: Path, trouble: str) -> None:
    async with Arena.running(tmp_path, replay.table()) as arena:
        chance = random.Random(7)
        for _ in range(3):
            load = asyncio.create_task(arena.seed(12, chance))
            await asyncio.sleep(chance.uniform(0, 0.15))
            await _TROUBLES[trouble](arena)
            await load
        await arena.ends_well()


async def test_a_nats_that_is_silent_for_longer_than_anybody_waits_loses_nothing(tmp_path: Path) -> None:
    """The connection is given up, and the lease with it; the answers come when nobody waits for them any more."""
    async with Arena.running(tmp_path) as arena:
        arena.tap.silence()
        load = asyncio.create_task(arena.seed(10, random.Random(7)))
        await arena.bridge.until_said("nats_lost")
        arena.tap.speak()
        await load
        await arena.ends_well()


async def test_a_nats_that_is_away_when_the_bridge_starts_is_waited_for(tmp_path: Path) -> None:
    async with Arena.open(tmp_path) as arena:
        await arena.nats.kill()
        await arena.email()
        await arena.bridge.start()
        await arena.bridge.until_said("nats_unreachable")
        await arena.nats.start()
        assert len(await arena.ends_well()) == 1


async def test_a_small_max_payload_is_kept_with_headers_counted(tmp_path: Path) -> None:
    """Of 20 KiB the headers alone may take more: what does not fit goes by reference."""
    async with Arena.open(tmp_path, more='lease = "1s"\n', max_payload=20_000) as arena:
        await arena.bridge.start()
        await arena.until_settled()
        await arena.seed(25, random.Random(5), big=True)
        await arena.email(with_attachment(bytes(range(256)) * 400))
        found = await arena.ends_well()
        assert any(one.body.get("truncated") for one in found)
        assert not all(one.body.get("truncated") for one in found)


async def test_a_stream_with_a_small_max_msg_size_is_respected(tmp_path: Path) -> None:
    more = 'stream = { externally_managed = true }\nlease = "1s"\n'
    async with Arena.open(tmp_path, more=more) as arena:
        await _managed(arena, max_msg_size=20_000)
        await arena.bridge.start()
        await arena.until_settled()
        await arena.seed(15, random.Random(6), big=True)
        found = await arena.ends_well()
        assert any(one.body.get("truncated") for one in found)


async def _managed(arena: Arena, **config: object) -> StreamConfig:
    """The operator makes the stream."""
    made = StreamConfig(name=arena.names.stream, subjects=["jmap.email.>"], **config)
    async with arena.connection() as nats:
        await nats.jetstream().add_stream(made)
    return made


async def test_2_mb_of_header_arrive_by_reference(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        await arena.email()
        await arena.email(big_header(random.Random(1), "big"))
        await arena.email()
        found = await arena.ends_well()
        assert [bool(one.body.get("truncated")) for one in found] == [False, True, False]
        assert found[1].headers["Jmap-Payload"] == "ref"


async def test_a_subject_cannot_write_headers_nor_frames(tmp_path: Path) -> None:
    """CR, LF and NUL, alone and together, and what else ends a line somewhere."""
    async with Arena.running(tmp_path) as arena:
        ids = [await arena.email()]
        for octets in ("=0D=0A", "=0A", "=0D", "=00", "=0D=0A=0D=0A", "=E2=80=A8", "=1B=07"):
            attack = f"x{octets}Nats-Msg-Id:_stolen{octets}Nats-Rollup:_all{octets}Jmap-Email-Id:_other"
            ids += [await arena.email(b"Subject: =?utf-8?q?%b?=\r\n\r\nText\r\n" % attack.encode())]
        ids += [await arena.email()]
        found = await arena.ends_well()
        assert [one.email for one in found] == ids
        assert [one.message_id for one in found] == [f"{arena.jmap.account}/{id}" for id in ids]
        for one in found[1:-1]:
            assert "Nats-Rollup: all" in one.headers["Jmap-Subject"]
            assert not {"Nats-Rollup", "nats-rollup"} & one.headers.keys()


@pytest.mark.parametrize("limit", ["max_msgs", "max_bytes"])
async def test_a_managed_stream_that_refuses_what_is_new_is_waited_for(tmp_path: Path, limit: str) -> None:
    """Whoever consumes makes room; meanwhile the cursor stands, and nothing overtakes."""
    more = 'stream = { externally_managed = true }\nlease = "1s"\n'
    async with Arena.open(tmp_path, more=more) as arena:
        size = {"max_msgs": 4, "max_bytes": 16384}[limit]
        config = await _managed(arena, discard=DiscardPolicy.NEW, **{limit: size})
        await arena.bridge.start()
        await arena.until_settled()
        await arena.seed(12, random.Random(6))
        await arena.bridge.until_said("waiting")
        setattr(config, limit, -1)
        async with arena.connection() as nats:
            await nats.jetstream().update_stream(config)
        await arena.ends_well()


async def test_a_managed_stream_that_drops_the_oldest_keeps_the_newest(tmp_path: Path) -> None:
    more = 'stream = { externally_managed = true }\nlease = "1s"\n'
    async with Arena.open(tmp_path, more=more) as arena:
        await _managed(arena, discard=DiscardPolicy.OLD, max_msgs=5)
        await arena.bridge.start()
        await arena.until_settled()
        ids = [await arena.email() for _ in range(12)]
        await arena.until_settled()
        async with arena.connection() as nats:
            assert [one.email for one in await checks.messages(nats, arena.names.stream)] == ids[-5:]


async def test_streams_and_buckets_that_somebody_deletes_come_back(tmp_path: Path) -> None:
    """With the cursor gone it is a first start: what is there is published again, and no more than once."""
    async with Arena.running(tmp_path, 'snapshot = { mode = "full" }\n') as arena:
        for _ in range(3):
            await arena.email()
        await arena.until_settled()
        async with arena.connection() as nats:
            js = nats.jetstream()
            for stream in await js.streams_info():
                await js.delete_stream(str(stream.config.name))
        await arena.email()
        found = await arena.ends_well(in_order=False)
        assert len(found) == len({one.email for one in found}) == 4
