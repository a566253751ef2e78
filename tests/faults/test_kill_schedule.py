"""kill -9 at a step that the proxies see: exactly there, and nothing of the dead process goes further."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from e2e.clients import HttpJmap
from faults.bridge import BridgeProcess, KillPoint, KillSchedule, Recording
from faults.checks import created_since
from faults.nats import NatsProcess
from faults.nats_tap import NatsTap
from faults.proxy import Proxy
from jmap import message, open_server
from sockets import http

pytestmark = pytest.mark.service
USER = ("alice@example.com", "secret")
_ROOT = Path(__file__).parent.parent.parent


class World:
    """A server and a NATS behind their proxies, and the stand-in between these."""

    def __init__(self, jmap: HttpJmap, client: Client, proxy: Proxy, tap: NatsTap, directory: Path) -> None:
        self.jmap, self.client, self.proxy, self.tap = jmap, client, proxy, tap
        self.js = client.jetstream()
        paths = ":".join(str(_ROOT / name) for name in ("src", "tests"))
        program = f"import sys; sys.path[:0] = {paths.split(':')!r}; from faults.stand_in import run; run()"
        command = (sys.executable, "-c", program, proxy.url, tap.url, *USER)
        self.bridge = BridgeProcess(directory / "unused.toml", command)

    def observe(self, observer: Any) -> None:
        self.proxy.traffic.observers.append(observer)
        self.tap.observers.append(observer)

    async def email(self) -> None:
        blob = await self.jmap.upload(message("x" * 200))
        [inbox] = (await self.jmap.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
        await self.jmap.call("Email/import", emails={"e": {"blobId": blob, "mailboxIds": {inbox: True}}})

    async def published(self) -> list[str]:
        info = await self.js.stream_info("MAIL")
        numbers = range(1, info.state.messages + 1)
        return [((await self.js.get_msg("MAIL", number)).data or b"").decode() for number in numbers]

    async def settled(self) -> bool:
        try:
            cursor = ((await (await self.js.key_value("CURSOR")).get("account.a")).value or b"").decode()
        except nats.js.errors.NotFoundError:
            return False
        return bool(cursor == (await self.jmap.call("Email/get", ids=[]))["state"])

    async def until_settled(self) -> None:
        async with asyncio.timeout(60):
            while not await self.settled():
                assert self.bridge.is_running, list(self.bridge.log)
                await asyncio.sleep(0.02)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with NatsProcess.started(tmp_path) as server, open_server("memory", tmp_path / "data") as app:
        await app.add_account(*USER)
        async with http(app) as url, Proxy.open(url) as proxy, NatsTap.open(server.port) as tap:
            jmap, client = HttpJmap(url, USER), await server.connect()
            try:
                await jmap.session()
                world = World(jmap, client, proxy, tap, tmp_path)
                await world.js.add_stream(StreamConfig(name="MAIL", subjects=["mail.>"]))
                await world.js.create_object_store("parts")
                await world.js.create_key_value(bucket="CURSOR")
                yield world
                await world.bridge.kill()
            finally:
                await jmap.close()
                await client.close()


async def test_a_calm_run_shows_every_kind_of_step(world: World) -> None:
    recording = Recording()
    world.observe(recording)
    await world.email()
    async with world.bridge:
        await world.until_settled()
    kinds = {step.kind for step in recording.steps}
    assert kinds >= {
        "Email/changes", "Email/get", "/jmap/download/*", "$O.parts.C.*", "$O.parts.M.*", "mail.a", "$KV.CURSOR.account.*",
    }  # fmt: skip
    stages = [step.stage for step in recording.steps if step.what == "mail.a"]
    assert stages == ["arrived", "forwarded", "answered"]
    points = recording.points(200, random.Random(1))
    assert len(points) == 200
    assert {(point.what, point.stage) for point in points} >= {
        ("mail.a", "answered"),
        ("$O.parts.C.*", "arrived"),
    }


@pytest.mark.parametrize(
    ("stage", "is_stored"), [("arrived", False), ("forwarded", True), ("answered", True)]
)
async def test_a_publisher_dies_exactly_at_its_point(world: World, stage: Any, is_stored: bool) -> None:
    schedule = KillSchedule(world.bridge)
    world.observe(schedule.observe)
    point = KillPoint("mail.*", stage, nth=2)

    async def three() -> None:
        for _ in range(3):
            await world.email()

    await schedule.run([point], world.settled, three)
    assert schedule.reached == [point]
    assert schedule.missed == []
    assert not world.bridge.is_running
    async with asyncio.timeout(20):  # what was forwarded may still be on its way into the stream
        while len(await world.published()) < 1 + is_stored:
            await asyncio.sleep(0.01)
    assert len(await world.published()) == 1 + is_stored


async def test_a_point_that_is_not_reached_is_missed(world: World) -> None:
    schedule = KillSchedule(world.bridge)
    world.observe(schedule.observe)
    point = KillPoint("no.such.subject", "arrived")
    await schedule.run([point], world.settled, world.email)
    assert schedule.missed == [point]
    assert not world.bridge.is_running


async def test_a_loop_that_is_right_survives_a_kill_at_each_of_its_steps(world: World) -> None:
    start = (await world.jmap.call("Email/get", ids=[]))["state"]
    recording = Recording()
    world.observe(recording)
    await world.email()
    async with world.bridge:
        await world.until_settled()
    kinds = ("$O.parts.C.*", "mail.a", "$KV.CURSOR.account.*")
    points = [point for point in recording.points(0, random.Random(1)) if point.what in kinds]
    schedule = KillSchedule(world.bridge)
    world.observe(schedule.observe)
    await schedule.run(points, world.settled, world.email)
    assert len(schedule.reached) >= len(kinds) * 3 - 2
    async with world.bridge:
        await world.until_settled()
    assert await world.published() == await created_since(world.jmap, start)


async def test_a_silent_nats_speaks_again_with_nothing_lost(world: World) -> None:
    client = await nats.connect(world.tap.url, allow_reconnect=False)
    world.tap.silence()
    publishing = asyncio.create_task(client.jetstream(timeout=30).publish("mail.b", b"1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(publishing), 0.3)
    world.tap.speak()
    assert (await publishing).seq == 1
    lost = asyncio.Event()

    async def closed() -> None:
        lost.set()

    client.options["closed_cb"] = client._closed_cb = closed
    await world.tap.cut_all()
    async with asyncio.timeout(20):
        await lost.wait()
    assert client.is_closed
