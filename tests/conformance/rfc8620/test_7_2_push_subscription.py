"""RFC 8620 §7.2: PushSubscription/get and /set. What is sent to the URLs is in tests/push."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from veredus.app import App
from veredus.wire.dates import utc_date
from web_push import Client, Keys, PushService, push_app, push_service, pushing

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8620", "7.2")

URL = "https://push.example.com/a-secret"


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    async with push_app(store, tmp_path, max_subscriptions=5) as app:
        yield app


@pytest.fixture
async def client(app: App) -> Client:
    return await Client.of(app)


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as service:
        yield service


def later(**span: float) -> str:
    return utc_date(datetime.now(UTC) + timedelta(**span))


async def refused(client: Client, **properties: Any) -> Any:
    given = {"deviceClientId": "device", "url": URL, **properties}
    error = await client.refused("PushSubscription", "create", given)
    assert await client.listed() == []
    return error


# ------------------------------------------------------------ create


@must
async def test_the_example(client: Client) -> None:
    given = {"deviceClientId": "a889-ffea-910", "url": URL, "types": None}
    response = await client.call("PushSubscription/set", create={"4f29": given})
    assert not response.keys() & {"accountId", "oldState", "newState"}
    made = response["created"]["4f29"]
    # §5.3 asks for more than the example shows: each default of what the client left out.
    assert made.keys() == {"id", "keys", "expires", "verificationCode", "emailPush"}
    assert made["keys"] is made["verificationCode"] is None
    listed = await client.call("PushSubscription/get", ids=None)
    assert listed == {
        "list": [
            {
                "id": made["id"],
                "deviceClientId": "a889-ffea-910",
                "verificationCode": None,
                "expires": made["expires"],
                "types": None,
                "emailPush": None,
            }
        ],
        "notFound": [],
    }


@must
@pytest.mark.parametrize(
    ("properties", "wrong"),
    [
        ({"url": "http://192.0.2.1/"}, ["url"]),
        ({"url": "ftp://push.example.com/"}, ["url"]),
        ({"url": "https://10.0.0.1/"}, ["url"]),
        ({"url": None}, ["url"]),
        ({"deviceClientId": ""}, ["deviceClientId"]),
        ({"deviceClientId": 7}, ["deviceClientId"]),
        ({"verificationCode": "a code"}, ["verificationCode"]),
        ({"keys": {}}, ["keys"]),
        ({"keys": {"p256dh": "AAAA", "auth": "AAAA"}}, ["keys"]),
        ({"keys": {**Keys().given, "more": "x"}}, ["keys"]),
        ({"keys": {**Keys().given, "auth": 7}}, ["keys"]),
        ({"expires": "tomorrow"}, ["expires"]),
        ({"expires": "2026-02-30T00:00:00Z"}, ["expires"]),
        ({"expires": "2020-01-01T00:00:00Z"}, ["expires"]),
        ({"types": "Email"}, ["types"]),
        ({"types": [1]}, ["types"]),
        ({"id": "P1"}, ["id"]),
        ({"colour": "red"}, ["colour"]),
        ({"url": "x", "types": 3, "keys": 3}, ["keys", "types", "url"]),
    ],
)
async def test_what_is_wrong_is_named(client: Client, properties: Any, wrong: list[str]) -> None:
    error = await refused(client, **properties)
    assert (error["type"], sorted(error["properties"])) == ("invalidProperties", wrong)


@must
async def test_the_url_must_begin_with_https(store: str, tmp_path: Path) -> None:
    async with push_app(store, tmp_path, allow=()) as app:
        error = await refused(await Client.of(app), url="http://push.example.com/")
    assert error["properties"] == ["url"]


@must
async def test_both_properties_without_a_default_are_needed(client: Client) -> None:
    error = await client.refused("PushSubscription", "create", {})
    assert sorted(error["properties"]) == ["deviceClientId", "url"]


@should
async def test_the_server_sets_an_expiry_and_bounds_it(client: Client) -> None:
    made = await client.create("PushSubscription", deviceClientId="d", url=URL)
    assert later(days=7, minutes=-1) <= made["expires"] <= later(days=7)
    two_days = later(days=2)
    made = await client.create("PushSubscription", deviceClientId="d", url=URL, expires=two_days)
    assert "expires" not in made
    made = await client.create("PushSubscription", deviceClientId="d", url=URL, expires=later(days=900))
    assert later(days=30, minutes=-1) <= made["expires"] <= later(days=30)


@must
async def test_a_user_has_a_limited_number(client: Client) -> None:
    for _ in range(5):
        await client.register(URL)
    error = await client.refused("PushSubscription", "create", {"deviceClientId": "d", "url": URL})
    assert error["type"] == "overQuota"


@must
async def test_nobody_can_make_the_server_call_strangers_without_end(client: Client) -> None:
    for _ in range(20):
        await client.set("PushSubscription", destroy=[await client.register(URL)])
    error = await client.refused("PushSubscription", "create", {"deviceClientId": "d", "url": URL})
    assert error["type"] == "rateLimit"


# ------------------------------------------------------------ get


@must
async def test_url_and_keys_are_told_to_nobody(client: Client) -> None:
    id = await client.register(URL, keys=Keys().given)
    for name in ("url", "keys"):
        for ids in (None, [id], []):
            error = await client.error("PushSubscription/get", ids=ids, properties=["id", name])
            assert error["type"] == "forbidden"
    assert not {"url", "keys"} & (await client.listed())[0].keys()
    assert await client.listed(properties=["types", "types"]) == [{"id": id, "types": None}]
    error = await client.error("PushSubscription/get", properties=["code"])
    assert error["type"] == "invalidArguments"


@must
async def test_only_the_same_credentials_see_and_change_it(app: App, client: Client) -> None:
    id = await client.register(URL)
    for other in (await Client.of(app), await Client.of(app, "bob@example.com")):
        assert await other.listed() == []
        answer = await other.call("PushSubscription/get", ids=[id])
        assert (answer["list"], answer["notFound"]) == ([], [id])
        for verb, what in (("update", (id, {"types": []})), ("destroy", id)):
            assert (await other.refused("PushSubscription", verb, what))["type"] == "notFound"
    assert len(await client.listed()) == 1


@must
async def test_there_is_neither_account_nor_state(client: Client) -> None:
    for method, arguments in (
        ("get", {"accountId": client.account}),
        ("set", {"accountId": client.account}),
        ("set", {"ifInState": "1"}),
    ):
        error = await client.error(f"PushSubscription/{method}", **arguments)
        assert error["type"] == "invalidArguments"


@must
async def test_credentials_for_reading_may_subscribe(app: App) -> None:
    reader = await Client.of(app, scope="read")
    id = await reader.register(URL)
    assert [found["id"] for found in await reader.listed()] == [id]


# ------------------------------------------------------------ update


@must
async def test_only_the_code_that_was_pushed_is_accepted(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        id = await client.register(service.url + "/a")
        code = (await service.wait("/a")).object["verificationCode"]
    assert len(code) >= 22
    for wrong in ("", code[:-1], code + "x", code.swapcase(), 7, "é"):
        error = await client.refused("PushSubscription", "update", (id, {"verificationCode": wrong}))
        assert (error["type"], error["properties"]) == ("invalidProperties", ["verificationCode"])
        assert code not in str(error)
    # Nothing of a refused update is done, and the code is told to nobody.
    error = await client.refused(
        "PushSubscription", "update", (id, {"verificationCode": "x", "types": ["Email"]})
    )
    assert [(one["verificationCode"], one["types"]) for one in await client.listed()] == [(None, None)]
    assert await client.update("PushSubscription", id, verificationCode=code) is None
    assert (await client.listed())[0]["verificationCode"] == code
    # Verified once, it remains so.
    error = await client.refused("PushSubscription", "update", (id, {"verificationCode": None}))
    assert error["properties"] == ["verificationCode"]
    assert await client.update("PushSubscription", id, verificationCode=code, types=["Email"]) is None


@must
async def test_url_keys_and_device_never_change(client: Client) -> None:
    keys = Keys().given
    id = await client.register(URL, keys=keys)
    for change in (
        {"url": URL + "b"},
        {"keys": None},
        {"keys/auth": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"deviceClientId": "other"},
        {"id": "P1"},
    ):
        error = await client.refused("PushSubscription", "update", (id, change))
        assert error["properties"] == [next(iter(change)).partition("/")[0]]
    # §5.3: what stays as it is may be sent along.
    assert await client.update("PushSubscription", id, url=URL, keys=keys, types=["Email"]) is None
    error = await client.refused("PushSubscription", "update", (id, {"colour": "red"}))
    assert error["properties"] == ["colour"]


@must
async def test_the_lifetime_can_be_extended_and_is_bounded(client: Client) -> None:
    id = await client.register(URL, expires=later(days=2))
    ten = later(days=10)
    assert await client.update("PushSubscription", id, expires=ten) is None
    assert (await client.listed())[0]["expires"] == ten
    granted = (await client.update("PushSubscription", id, expires=later(days=100)))["expires"]
    assert later(days=30, minutes=-1) <= granted <= later(days=30)
    granted = (await client.update("PushSubscription", id, expires=None))["expires"]
    assert later(days=7, minutes=-1) <= granted <= later(days=7)
    assert await client.update("PushSubscription", id, types=["Email"]) is None
    error = await client.refused("PushSubscription", "update", (id, {"expires": later(hours=-1)}))
    assert error["properties"] == ["expires"]


# ------------------------------------------------------------ destroy, creation ids


@must
@rfc("8620", "5.3")
async def test_creation_ids_hold_in_the_call_and_after_it(client: Client) -> None:
    given = {"deviceClientId": "d", "url": URL}
    responses = await client.responses(
        (
            "PushSubscription/set",
            {"create": {"a": given, "b": given}, "update": {"#a": {"types": ["Email"]}}, "destroy": ["#b"]},
        ),
        ("PushSubscription/get", {"ids": ["#a", "#b"]}),
        ("PushSubscription/set", {"update": {"#a": {"types": []}}, "destroy": ["#b", "#c"]}),
    )
    (_, first, _), (_, got, _), (_, second, _) = responses
    a, b = (first["created"][name]["id"] for name in "ab")
    assert (first["updated"], first["destroyed"]) == ({a: None}, [b])
    assert [found["types"] for found in got["list"]] == [["Email"]]
    assert got["notFound"] == [b]
    assert second["updated"] == {a: None}
    assert {key: error["type"] for key, error in second["notDestroyed"].items()} == {
        "#b": "notFound",
        "#c": "notFound",
    }


@must
@rfc("8620", "5.3")
async def test_what_is_to_be_destroyed_is_not_updated(client: Client) -> None:
    id = await client.register(URL)
    response = await client.call("PushSubscription/set", update={id: {"types": []}}, destroy=[id])
    assert response["notUpdated"][id]["type"] == "willDestroy"
    assert response["destroyed"] == [id]


@must
async def test_a_destroyed_url_is_erased_from_storage(store: str, tmp_path: Path) -> None:
    if store != "sqlite":  # PostgreSQL erases what is gone when it vacuums
        return
    async with push_app(store, tmp_path) as app:
        client = await Client.of(app)
        ids = [await client.register(f"{URL}-erase-{n}", keys=Keys().given) for n in range(3)]
        await client.set("PushSubscription", destroy=ids)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("veredus.db*"))
    assert not re.findall(rb"-erase-\d", kept)
