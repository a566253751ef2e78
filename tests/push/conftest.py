"""What the tests of push share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from push.world import World
from veredus.app import App
from web_push import Client, PushService, push_service


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(stack, tmp_path)
        await world.start()
        yield world
        assert world.private.connections == 0


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as service:
        yield service


@pytest.fixture
async def client(app: App) -> Client:
    return await Client.of(app)
