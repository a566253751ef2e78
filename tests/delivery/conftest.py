"""A world for each test, on both stores that need no server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from delivery.world import World, opened


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world
