"""The Session object (RFC 8620 §2)."""

import json
from typing import Any

import pytest

from jmap import Jmap
from todo import CAPABILITY
from veredus.app import App

pytestmark = pytest.mark.rfc("8620", "2")

CORE = "urn:ietf:params:jmap:core"
MAIL = "urn:ietf:params:jmap:mail"


async def session(user: Jmap) -> dict[str, Any]:
    body, state = await user.app.engine.session(user.identity, "http://test")
    found: dict[str, Any] = json.loads(body)
    assert found["state"] == state
    return found


@pytest.mark.must
async def test_it_has_every_property(jmap: Jmap) -> None:
    found = await session(jmap)
    assert set(found) == {
        "capabilities",
        "accounts",
        "primaryAccounts",
        "username",
        "apiUrl",
        "downloadUrl",
        "uploadUrl",
        "eventSourceUrl",
        "state",
    }
    assert found["username"] == "alice@example.com"
    assert found["apiUrl"] == "http://test/jmap"
    for url, variables in {
        "downloadUrl": ["accountId", "blobId", "type", "name"],
        "uploadUrl": ["accountId"],
        "eventSourceUrl": ["types", "closeafter", "ping"],
    }.items():
        assert all(f"{{{name}}}" in found[url] for name in variables), url


@pytest.mark.must
async def test_the_core_capability_has_every_limit(jmap: Jmap) -> None:
    core = (await session(jmap))["capabilities"][CORE]
    assert core["maxSizeUpload"] >= 50_000_000
    assert core["maxConcurrentUpload"] >= 4
    assert core["maxSizeRequest"] >= 10_000_000
    assert core["maxConcurrentRequests"] >= 4
    assert core["maxCallsInRequest"] >= 16
    assert core["maxObjectsInGet"] >= 500
    assert core["maxObjectsInSet"] >= 500
    assert "i;unicode-casemap" in core["collationAlgorithms"]
    assert len(core) == 8


async def test_accounts_say_what_can_be_done_with_them(jmap: Jmap) -> None:
    found = await session(jmap)
    account = found["accounts"][jmap.account]
    assert account["name"] == "alice@example.com"
    assert account["isPersonal"] is True
    assert account["isReadOnly"] is False
    assert CORE not in account["accountCapabilities"]
    # Those of the server as a whole have nothing to say of an account.
    of_the_server = {
        CORE,
        "urn:ietf:params:jmap:websocket",
        "urn:ietf:params:jmap:webpush-vapid",
        "urn:veredus:jmap:ticket",
    }
    assert set(account["accountCapabilities"]) == set(found["capabilities"]) - of_the_server
    assert account["accountCapabilities"][CAPABILITY] == {"maxTodos": None}
    assert found["capabilities"][CAPABILITY] == {}
    assert set(found["primaryAccounts"]) == set(account["accountCapabilities"])
    assert set(found["primaryAccounts"].values()) == {jmap.account}


async def test_a_shared_account_is_neither_personal_nor_primary(jmap: Jmap, second: Jmap) -> None:
    found = await session(jmap)
    assert list(found["accounts"]) == [jmap.account, second.account]
    assert found["accounts"][second.account]["isPersonal"] is False
    assert found["accounts"][second.account]["isReadOnly"] is False
    assert second.account not in found["primaryAccounts"].values()


async def test_an_account_that_may_only_be_read_says_so(jmap: Jmap, reader: Jmap) -> None:
    found = await session(reader)
    assert found["accounts"][jmap.account]["isReadOnly"] is True
    read_only = Jmap(jmap.app, jmap.identity.user, jmap.account, scope="read")
    assert (await session(read_only))["accounts"][jmap.account]["isReadOnly"] is True


async def test_nobody_sees_the_account_of_another_user(app: App, jmap: Jmap) -> None:
    other = await app.add_account("bob@example.com", None)
    assert other not in (await session(jmap))["accounts"]


@pytest.mark.must
async def test_its_state_changes_with_it_and_only_with_it(app: App, jmap: Jmap) -> None:
    state = (await session(jmap))["state"]
    assert (await jmap.request(["Core/echo", {}, "0"]))["sessionState"] == state
    await jmap.call("Todo/set", create={"t": {"title": "a"}})
    assert (await session(jmap))["state"] == state
    other = await app.add_account("bob@example.com", None)
    await app.accounts.grant(jmap.identity.user, other, "read")
    app.directory.drop()
    assert (await session(jmap))["state"] != state
    assert (await jmap.request(["Core/echo", {}, "0"]))["sessionState"] == (await session(jmap))["state"]


async def test_an_account_can_be_used_for_what_it_lists(jmap: Jmap) -> None:
    listed = (await session(jmap))["accounts"][jmap.account]["accountCapabilities"]
    assert listed[MAIL]["maxSizeMailboxName"] >= 100
    assert (await jmap.call("Mailbox/get", ids=[]))["list"] == []
