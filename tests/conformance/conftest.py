"""What the conformance tests share: a server over each store, and users of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import DURABLE, Jmap, new_user, open_server
from veredus.app import App


@pytest.fixture(params=DURABLE)
def store(request: pytest.FixtureRequest) -> str:
    """The name of a store that people keep mail in; what uses it runs once over each.

    That the store in memory does the same is what the contract suites say.
    """
    name: str = request.param
    return name


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    """A server with the default limits."""
    async with open_server(store, tmp_path) as app:
        yield app


@pytest.fixture
async def jmap(app: App) -> Jmap:
    """A user of it; the account has the mailboxes with roles."""
    return await new_user(app)


@pytest.fixture
async def reader(app: App, jmap: Jmap) -> Jmap:
    """Another user, who may read the account of ``jmap`` and no more."""
    other = await new_user(app, "reader@example.com")
    await app.accounts.grant("reader@example.com", jmap.account, "read")
    app.directory.drop()
    return Jmap(app, other.identity.user, jmap.account)


@pytest.fixture
async def second(app: App, jmap: Jmap) -> Jmap:
    """The same user in a second account that may be written."""
    other = await new_user(app, "team@example.com")
    await app.accounts.grant(jmap.identity.user, other.account, "write")
    app.directory.drop()
    return Jmap(app, jmap.identity.user, other.account)
