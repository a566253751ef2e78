"""RFC 8621 §6: Identity/get, Identity/changes, Identity/set."""

import asyncio
from typing import Any

import pytest

from jmap import Jmap, new_user
from veredus.app import App

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should


async def identities(jmap: Jmap) -> list[Any]:
    found: list[Any] = (await jmap.call("Identity/get", ids=None))["list"]
    return found


@rfc("8621", "6")
@must
async def test_an_account_has_an_identity_of_its_own_address(app: App, sender: Jmap) -> None:
    [identity] = await identities(sender)
    assert set(identity) == {
        "id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete",
    }  # fmt: skip
    assert (identity["email"], identity["mayDelete"]) == ("alice@example.com", False)
    named = Jmap(app, "bob@example.com", await app.add_account("bob@example.com", None, "Bob Brown"))
    named.using = sender.using
    [identity] = await identities(named)
    assert (identity["name"], identity["email"]) == ("Bob Brown", "bob@example.com")


@rfc("8621", "6.1")
@must
async def test_the_identity_of_an_account_is_made_once(sender: Jmap) -> None:
    state = (await sender.call("Identity/get", ids=[]))["state"]
    first = await identities(sender)
    assert await identities(sender) == first
    assert await sender.state("Identity") == state


@rfc("8621", "6.1")
@must
async def test_who_may_only_read_sees_it_too(sender: Jmap, reader: Jmap) -> None:
    reader.using = sender.using
    assert len(await identities(reader)) == 1
    assert (await reader.error("Identity/set", create={"a": {"email": "alice@example.com"}}))["type"] == (
        "accountReadOnly"
    )


@rfc("8621", "6.3")
@must
async def test_identities_are_created_changed_and_destroyed(sender: Jmap) -> None:
    since = await sender.state("Identity")
    wanted: dict[str, Any] = {
        "name": "Alice at home",
        "email": "Alice+Home@example.com",
        "replyTo": [{"name": None, "email": "joe@example.org"}, {"email": "joe@bücher.example"}],
        "bcc": None,
        "textSignature": "-- \nA",
        "htmlSignature": "<b>A</b>",
    }
    made = await sender.create("Identity", **wanted)
    identity = await sender.get("Identity", made["id"])
    wanted["replyTo"][1]["name"] = None
    assert identity == {**wanted, "id": made["id"], "mayDelete": True}
    await sender.update("Identity", made["id"], name="Other", replyTo=None)
    changed = await sender.get("Identity", made["id"])
    assert (changed["name"], changed["replyTo"], changed["textSignature"]) == ("Other", None, "-- \nA")
    changes = await sender.call("Identity/changes", sinceState=since)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([made["id"]], [], [])
    await sender.set("Identity", destroy=[made["id"]])
    assert [one["email"] for one in await identities(sender)] == ["alice@example.com"]


@rfc("8621", "6")
@must
async def test_several_identities_may_have_one_address(sender: Jmap) -> None:
    for name in ("Sales", "Support"):
        await sender.create("Identity", name=name, email="alice@example.com")
    assert len(await identities(sender)) == 3


@rfc("8621", "6")
@must
async def test_email_is_immutable_and_mayDelete_is_the_servers(sender: Jmap) -> None:
    [identity] = await identities(sender)
    for patch in ({"email": "alice+x@example.com"}, {"mayDelete": True}, {"colour": "red"}):
        error = await sender.refused("Identity", "update", (identity["id"], patch))
        assert (error["type"], error["properties"]) == ("invalidProperties", list(patch))


@rfc("8621", "6.3")
@must
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"email": "nobody"},
        {"email": "a b@example.com"},
        {"email": "*"},
        {"email": "alice@example.com", "bcc": [{"email": "x"}]},
        {"email": "alice@example.com", "replyTo": [{"name": "no email"}]},
        {"email": "alice@example.com", "mayDelete": True},
    ],
)
async def test_a_malformed_identity_is_refused(sender: Jmap, given: dict[str, Any]) -> None:
    error = await sender.refused("Identity", "create", given)
    assert error["type"] == "invalidProperties"
    assert error["properties"]


@rfc("8621", "6.3")
@must
async def test_an_address_of_somebody_else_is_forbiddenFrom(app: App, sender: Jmap) -> None:
    await new_user(app, "bob@example.com")
    for email in ("bob@example.com", "alice@example.org", "*@example.com", "*@example.org", "alice@*"):
        response = await sender.call("Identity/set", create={"new": {"email": email}})
        assert response["notCreated"]["new"]["type"] in ("forbiddenFrom", "invalidProperties"), email
    error = await sender.refused("Identity", "create", {"email": "bob@example.com"})
    assert error["type"] == "forbiddenFrom"


@rfc("8621", "6")
@must
async def test_a_domain_that_is_owned_whole_may_be_sent_from(app: App, sender: Jmap) -> None:
    await app.accounts.add_address("*@example.net", sender.account)
    app.directory.drop()
    await sender.create("Identity", email="*@example.net")
    await sender.create("Identity", email="Anything@Example.NET")
    assert await app.directory.resolve("whoever@example.net") == sender.account
    error = await sender.refused("Identity", "create", {"email": "x@sub.example.net"})
    assert error["type"] == "forbiddenFrom"


@rfc("8621", "6")
@must
async def test_the_identity_of_the_own_address_is_not_destroyed(sender: Jmap) -> None:
    [identity] = await identities(sender)
    assert (await sender.refused("Identity", "destroy", identity["id"]))["type"] == "forbidden"


@rfc("8621", "6")
@should
async def test_an_account_that_gets_another_address_gets_another_identity(app: App, sender: Jmap) -> None:
    [old] = await identities(sender)
    await app.accounts.add_address("alice@example.org", sender.account)
    await app.accounts.remove_address("alice@example.com")
    app.directory.drop()
    by_address = {one["email"]: one for one in await identities(sender)}
    assert by_address["alice@example.org"]["mayDelete"] is False
    assert by_address["alice@example.com"] == {**old, "mayDelete": True}
    await sender.set("Identity", destroy=[old["id"]])
    assert [one["email"] for one in await identities(sender)] == ["alice@example.org"]


@rfc("8621", "6.3")
@must
async def test_addresses_of_a_shared_account_are_its_own(sender: Jmap, second: Jmap) -> None:
    second.using = sender.using
    assert [one["email"] for one in await identities(second)] == ["team@example.com"]
    error = await second.refused("Identity", "create", {"email": "alice@example.com"})
    assert error["type"] == "forbiddenFrom"


@rfc("8621", "6")
@must
async def test_without_the_capability_there_is_no_submission(jmap: Jmap) -> None:
    for method in ("Identity/get", "EmailSubmission/get", "EmailSubmission/set", "VacationResponse/get"):
        assert (await jmap.error(method))["type"] == "unknownMethod"


@rfc("8621", "6.2")
@must
async def test_changes_are_told_in_pages(sender: Jmap) -> None:
    since = await sender.state("Identity")
    made = [(await sender.create("Identity", email="alice@example.com"))["id"] for _ in range(3)]
    first = await sender.call("Identity/changes", sinceState=since, maxChanges=2)
    assert (first["created"], first["hasMoreChanges"]) == (made[:2], True)
    rest = await sender.call("Identity/changes", sinceState=first["newState"], maxChanges=2)
    assert (rest["created"], rest["hasMoreChanges"]) == (made[2:], False)
    error = await sender.error("Identity/changes", sinceState="tomorrow")
    assert error["type"] == "cannotCalculateChanges"


@rfc("8621", "6.1")
@must
async def test_clients_that_ask_at_once_get_the_same(sender: Jmap) -> None:
    found = await asyncio.gather(*(identities(sender) for _ in range(5)))
    assert all(one == found[0] and len(one) == 1 for one in found)


@rfc("8621", "6.4")
@must
async def test_the_example_of_the_rfc(app: App, sender: Jmap) -> None:
    await app.accounts.add_address("*@example.net", sender.account)
    app.directory.drop()
    bloggs = {
        "name": "Joe Bloggs",
        "replyTo": None,
        "bcc": [{"name": None, "email": "joe+archive@example.com"}],
        "textSignature": "-- \nJoe Bloggs\nMaster of Email",
        "htmlSignature": "<div><b>Joe Bloggs</b></div><div>Master of Email</div>",
    }
    [own] = await identities(sender)
    assert await sender.update("Identity", own["id"], **bloggs) is None
    made = await sender.create("Identity", name="Joe B", email="*@example.net")
    assert made == {
        "id": made["id"],
        "replyTo": None,
        "bcc": None,
        "textSignature": "",
        "htmlSignature": "",
        "mayDelete": True,
    }
    response = await sender.call("Identity/get")
    assert set(response) == {"accountId", "state", "list", "notFound"}
    assert response["notFound"] == []
    by_id = {identity["id"]: identity for identity in response["list"]}
    assert by_id == {
        own["id"]: {**bloggs, "id": own["id"], "email": "alice@example.com", "mayDelete": False},
        made["id"]: {**made, "name": "Joe B", "email": "*@example.net"},
    }
