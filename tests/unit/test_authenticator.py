"""Many who come at once with one password: it is checked once, and nobody is turned away."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import open_server
from veredus.app import App

USER = "alice@example.com"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        await app.add_account(USER, "secret")
        yield app


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()


async def test_hundreds_with_one_password_share_one_check(app: App) -> None:
    found = await asyncio.gather(*(app.authenticator.authenticate(basic("secret")) for _ in range(300)))
    assert {identity.user for identity in found if identity} == {USER}
    assert None not in found


async def test_who_gives_up_does_not_end_the_check_of_the_others(app: App) -> None:
    first = asyncio.create_task(app.authenticator.authenticate(basic("secret")))
    await asyncio.sleep(0)
    second = asyncio.create_task(app.authenticator.authenticate(basic("secret")))
    await asyncio.sleep(0)
    first.cancel()
    identity = await second
    assert identity is not None
    assert identity.user == USER


async def test_a_wrong_password_is_shared_by_nobody_with_the_right_one(app: App) -> None:
    wrong, right = await asyncio.gather(
        app.authenticator.authenticate(basic("guess")), app.authenticator.authenticate(basic("secret"))
    )
    assert wrong is None
    assert right is not None


async def test_a_changed_password_has_another_name_and_the_old_identity_is_void(app: App) -> None:
    old = await app.authenticator.authenticate(basic("secret"))
    assert old is not None
    assert await app.authenticator.is_valid(old)
    await app.accounts.set_password(USER, "another")
    app.directory.drop()
    new = await app.authenticator.authenticate(basic("another"))
    assert new is not None
    assert not await app.authenticator.is_valid(old)
    assert old.credential != new.credential
