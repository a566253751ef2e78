"""A host that takes mail, a server that sends to it, and one to which programs submit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import Jmap
from push.peers import Authority
from sending.peer import Peer, peer
from sending.submitter import Submitter, submitting
from sending.world import World, world
from veredus.app import App


@pytest.fixture
async def smtp() -> AsyncIterator[Peer]:
    async with peer() as it:
        yield it


@pytest.fixture
async def sender(tmp_path: Path, smtp: Peer) -> AsyncIterator[World]:
    async with world(tmp_path, smtp.url, connections=1) as it:
        yield it


@pytest.fixture
async def submitter(tmp_path: Path) -> AsyncIterator[Submitter]:
    async with submitting(tmp_path) as submitter:
        yield submitter


@pytest.fixture
def app(submitter: Submitter) -> App:
    return submitter.app


@pytest.fixture
def alice(submitter: Submitter) -> Jmap:
    return submitter.alice


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the relay believes."""
    return Authority(tmp_path_factory.mktemp("authority"))
