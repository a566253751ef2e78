"""A bridge that writes events, between a real server and a real nats-server, all of a test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.nats.servers import Server
from client.world import World
from veredus.bridge.bridge import Bridge
from veredus.bridge.nats.connect import connect
from veredus.bridge.nats.jetstream import Stored
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.settings import (
    BridgeSettings,
    EventStreamSettings,
    JmapSettings,
    NatsSettings,
    Secret,
)
from veredus.bridge.status import AccountStatus
from veredus.bridge.tasks import stop
from waiting import until


class Stage:
    """The two servers, the settings of the bridge between them, and a look at what it has written."""

    def __init__(self, world: World, nats: Server, link: Link, directory: Path) -> None:
        token = directory / "token"
        token.write_text(world.token)
        token.chmod(0o600)
        self.world, self.nats, self.link = world, nats, link
        self.settings = BridgeSettings(
            name="test",
            jmap=JmapSettings(url=f"{world.url}/.well-known/jmap", token=Secret(file=token)),
            nats=NatsSettings(url=nats.url),
            events=EventStreamSettings(enabled=True),
            poll_s=0.3,
            lease_s=2.0,
        )

    def change(self, **settings: Any) -> None:
        self.settings = replace(self.settings, **settings)

    def change_events(self, **settings: Any) -> None:
        self.change(events=replace(self.settings.events, **settings))

    @asynccontextmanager
    async def bridge(self) -> AsyncIterator[Bridge]:
        """Running, and the lease is its own."""
        bridge = Bridge(self.settings, "instance")
        running = asyncio.create_task(bridge.run())
        try:
            await until(lambda: running.done() or (bool(bridge.status.accounts) and account(bridge).active))
            yield bridge
        finally:
            if running.done():
                running.result()
            await stop([running])

    async def caught_up(self, bridge: Bridge, *types: str) -> None:
        """Everything that happened so far is in the stream."""
        states = {type: await self.world.alice.state(type) for type in types}

        def there() -> bool:
            reached = {type: account(bridge).track("events", type).state or "" for type in types}
            return all(
                reached[type].isdigit() and int(reached[type]) >= int(state) for type, state in states.items()
            )

        await until(there)

    async def run_until_caught_up(self, *types: str) -> None:
        async with self.bridge() as bridge:
            await self.caught_up(bridge, *types)

    async def messages(self, subject: str = "jmap.event.>", stream: str = "JMAP_EVENTS") -> list[Stored]:
        """All there are, oldest first."""
        async with aclosing(read(self.link, Reading(stream, subject))) as found:
            return [message async for message in found if message is not None]

    async def events(self, subject: str = "jmap.event.>") -> list[dict[str, Any]]:
        return [msgspec.json.decode(message.data) for message in await self.messages(subject)]


@asynccontextmanager
async def stage(world: World, nats: Server, directory: Path) -> AsyncIterator[Stage]:
    link = await connect(NatsSettings(url=nats.url), lambda secret: "")
    try:
        yield Stage(world, nats, link, directory)
    finally:
        await link.close()


def account(bridge: Bridge) -> AccountStatus:
    """Of the only one there is."""
    return next(iter(bridge.status.accounts.values()))
