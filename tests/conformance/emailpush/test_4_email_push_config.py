"""draft-ietf-jmap-emailpush §2, §4: the capability, and what may be asked for. What is pushed: tests/push."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from veredus.app import App
from web_push import EMAIL_PUSH, Client, Keys, push_app

must = pytest.mark.must

URL = "https://push.example.com/a-secret"


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    async with push_app(store, tmp_path) as app:
        yield app


@pytest.fixture
async def client(app: App) -> Client:
    return await Client.of(app)


@must
async def test_the_session_and_the_accounts_have_the_capability(app: App, client: Client) -> None:
    session = json.loads((await app.engine.session(client.identity, "http://test"))[0])
    assert session["capabilities"][EMAIL_PUSH] == {}
    assert session["accounts"][client.account]["accountCapabilities"][EMAIL_PUSH] == {}


@must
async def test_the_example(client: Client) -> None:
    config = {
        "filter": {
            "operator": "OR",
            "conditions": [{"inMailbox": await client.mailbox("inbox")}, {"hasKeyword": "$notify"}],
        },
        "properties": ["from", "subject", "id"],
    }
    await client.register(URL, keys=Keys().given, types=[], emailPush={client.account: config})
    (found,) = await client.listed()
    assert found["emailPush"] == {client.account: {**config, "urgency": "normal"}}
    assert found["types"] == []


@must
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"properties": None},
        {"properties": ["colour"]},
        {"properties": ["header:"]},
        {"properties": ["header:Subject:asDate"]},
        {"properties": ["id"], "filter": {"colour": "red"}},
        {"properties": ["id"], "filter": {"operator": "XOR", "conditions": []}},
        {"properties": ["id"], "filter": {"hasKeyword": 3}},
        {"properties": ["id"], "urgency": "now"},
        {"properties": ["id"], "urgency": None},
        {"properties": ["id"], "sort": []},
        {"properties": ["id"] * 101},
        [],
        None,
    ],
)
async def test_what_cannot_be_pushed_is_refused_at_once(client: Client, config: Any) -> None:
    given = {"deviceClientId": "d", "url": URL, "keys": Keys().given, "emailPush": {client.account: config}}
    error = await client.refused("PushSubscription", "create", given)
    assert (error["type"], error["properties"]) == ("invalidProperties", ["emailPush"])
    assert error["description"]


@must
async def test_only_accounts_of_the_user_can_be_named(app: App, client: Client) -> None:
    other = await Client.of(app, "bob@example.com")
    for account in (other.account, "nothing"):
        given = {
            "deviceClientId": "d",
            "url": URL,
            "keys": Keys().given,
            "emailPush": {account: {"properties": ["id"]}},
        }
        error = await client.refused("PushSubscription", "create", given)
        assert error["properties"] == ["emailPush"]


@must
async def test_without_keys_no_email_is_pushed(client: Client) -> None:
    given = {"deviceClientId": "d", "url": URL, "emailPush": {client.account: {"properties": ["id"]}}}
    error = await client.refused("PushSubscription", "create", given)
    assert error["properties"] == ["emailPush"]
    id = await client.register(URL)
    change = {"emailPush": given["emailPush"]}
    assert (await client.refused("PushSubscription", "update", (id, change)))["properties"] == ["emailPush"]


@must
async def test_the_property_is_there_for_those_who_use_the_capability(client: Client) -> None:
    config = {client.account: {"properties": ["id"]}}
    id = await client.register(URL, keys=Keys().given, emailPush=config)
    client.using.remove(EMAIL_PUSH)
    assert "emailPush" not in (await client.listed())[0]
    for change in ({"emailPush": None}, {f"emailPush/{client.account}/urgency": "low"}):
        error = await client.refused("PushSubscription", "update", (id, change))
        assert error["properties"] == [next(iter(change))] or error["properties"] == ["emailPush"]
    assert await client.update("PushSubscription", id, types=["Email"]) is None
    client.using.append(EMAIL_PUSH)
    assert (await client.listed())[0]["emailPush"] is not None


@must
async def test_it_can_be_patched_and_ended(client: Client) -> None:
    id = await client.register(URL, keys=Keys().given)
    await client.update("PushSubscription", id, emailPush={client.account: {"properties": ["id"]}})
    await client.update("PushSubscription", id, **{f"emailPush/{client.account}/urgency": "low"})
    (found,) = await client.listed()
    assert found["emailPush"][client.account] == {"filter": None, "properties": ["id"], "urgency": "low"}
    await client.update("PushSubscription", id, emailPush=None)
    assert (await client.listed())[0]["emailPush"] is None
