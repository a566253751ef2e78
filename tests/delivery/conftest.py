"""A world for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract import postgres
from delivery.world import World, opened
from veredus.config.settings import Storage


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """In memory, for what no store can change."""
    async with opened(Storage(url="memory"), tmp_path) as world:
        yield world


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def every(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """On each store, for what is remembered, repeated or undone."""
    if request.param != "postgres":
        async with opened(Storage(url=request.param), tmp_path) as world:
            yield world
        return
    schema = postgres.borrow(tmp_path, "delivery")
    async with opened(Storage(url=postgres.url(), schema=schema), tmp_path) as world:
        yield world
    await postgres.give_back(tmp_path, "delivery")
