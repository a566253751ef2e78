"""A host that takes mail, and a server that sends to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sending.peer import Peer, peer
from sending.world import World, world


@pytest.fixture
async def smtp() -> AsyncIterator[Peer]:
    async with peer() as it:
        yield it


@pytest.fixture
async def sender(tmp_path: Path, smtp: Peer) -> AsyncIterator[World]:
    async with world(tmp_path, smtp.url, connections=1) as it:
        yield it
