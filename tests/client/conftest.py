"""A server for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.world import World, new_world
from veredus.client import http
from veredus.client.push import websocket
from veredus.client.watch import patience


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts, and for a peer that is no real server to close a WebSocket."""
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(patience, "_FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(websocket, "_CLOSE_S", 0.1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with new_world(tmp_path) as made:
        yield made
