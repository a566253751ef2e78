"""The server of these tests has the Todo data type, too: the generic methods beyond what mail uses of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import Jmap
from todo import CAPABILITY, todo_server, todo_user
from veredus.app import App


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    async with todo_server(store, tmp_path) as app:
        yield app


@pytest.fixture
async def jmap(app: App) -> Jmap:
    return await todo_user(app)


@pytest.fixture
async def second(app: App, jmap: Jmap) -> Jmap:
    """The same user in a second account that may be written."""
    other = await todo_user(app, "team@example.com")
    await app.accounts.grant(jmap.identity.user, other.account, "write")
    app.directory.drop()
    found = Jmap(app, jmap.identity.user, other.account)
    found.using.append(CAPABILITY)
    return found


@pytest.fixture
async def reader(app: App, jmap: Jmap) -> Jmap:
    """Another user, who may read the account of ``jmap`` and no more."""
    other = await todo_user(app, "reader@example.com")
    await app.accounts.grant("reader@example.com", jmap.account, "read")
    app.directory.drop()
    found = Jmap(app, other.identity.user, jmap.account)
    found.using.append(CAPABILITY)
    return found
