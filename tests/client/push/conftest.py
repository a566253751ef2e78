"""What the tests of the client's push share."""

from collections.abc import AsyncIterator

import pytest

from client.push.peer import Peer
from client.push.peer import peer as new_peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with new_peer() as peer:
        yield peer
