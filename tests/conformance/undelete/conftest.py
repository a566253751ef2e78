"""Users who ask for what is kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import STORES, Jmap, new_user, open_server
from kept import use


@pytest.fixture
async def alice(jmap: Jmap) -> Jmap:
    return use(jmap)


@pytest.fixture(params=STORES)
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Jmap]:
    """A user of each store, the one in memory too."""
    async with open_server(request.param, tmp_path) as app:
        yield use(await new_user(app))
