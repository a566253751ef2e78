"""Every implementation of EventBus, and receivers that remember what they were told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from veredus.bus.local import LocalBus
from veredus.bus.nats import NatsBus
from veredus.bus.nats_server import NatsServer, NatsServerError, binary
from veredus.ports import EventBus, Hint

PREFIX = "test"


@asynccontextmanager
async def nats_server(directory: Path) -> AsyncIterator[NatsServer]:
    """A server of the test's own; without the program the test is skipped."""
    try:
        binary()
    except NatsServerError as error:
        pytest.skip(str(error))
    server = NatsServer(directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def _local(directory: Path) -> AsyncIterator[EventBus]:
    yield LocalBus()


@asynccontextmanager
async def _nats(directory: Path) -> AsyncIterator[EventBus]:
    async with nats_server(directory) as server:
        yield await NatsBus.open(server.url, PREFIX)


@asynccontextmanager
async def _nats_unreachable(directory: Path) -> AsyncIterator[EventBus]:
    """Within its process a bus works without its server."""
    yield await NatsBus.open("nats://127.0.0.1:1", PREFIX)


BUSES = {"local": _local, "nats": _nats, "nats-unreachable": _nats_unreachable}


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.service if name == "nats" else ()) for name in BUSES]
)
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventBus]:
    async with BUSES[request.param](tmp_path) as bus:
        try:
            yield bus
        finally:
            await bus.close()


class Receiver:
    """Remembers all hints; ``lost`` counts how often some may have been missing."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.lost = 0

    def __call__(self, hint: Hint | None) -> None:
        assert asyncio.get_running_loop()
        if hint is None:
            self.lost += 1
        else:
            self.hints.append(hint)

    def of(self, account: str) -> list[int]:
        """The modseqs of one account, in the order they came."""
        return [max(hint.states.values()) for hint in self.hints if hint.account == account]


def hint(account: str, modseq: int, type: str = "Email") -> Hint:
    return Hint(account, modseq - 1, {type: modseq})
