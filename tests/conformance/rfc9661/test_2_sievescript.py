"""Sieve scripts (RFC 9661)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, new_user, open_server
from veredus.app import App
from veredus.conditions import Eq
from veredus.config.settings import Sieve

pytestmark = pytest.mark.rfc("9661", "2")

SIEVE = "urn:ietf:params:jmap:sieve"
FLAGGED = b'require ["imap4flags"];\r\nif address :is ["To", "Cc"] "jmap@ietf.org" {\r\n  setflag "\\\\Flagged";\r\n}\r\n'
KEEP = b"keep;\r\n"


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    """A server that takes few and small scripts."""
    sieve = Sieve(max_scripts=3, max_size=500, max_redirects=2)
    async with open_server(store, tmp_path, sieve=sieve) as app:
        yield app


@pytest.fixture
async def jmap(app: App) -> Jmap:
    user = await new_user(app)
    user.using.append(SIEVE)
    return user


async def script(jmap: Jmap, name: str | None, content: bytes = KEEP, **args: Any) -> str:
    """Create a script; gives its id."""
    new = {"name": name, "blobId": await jmap.upload(content, "application/sieve")}
    id: str = (await jmap.set("SieveScript", create={"new": new}, **args))["created"]["new"]["id"]
    return id


async def active(jmap: Jmap) -> list[str]:
    found: list[str] = await jmap.query("SieveScript", filter={"isActive": True})
    return found


@pytest.mark.rfc("9661", "1.2.1")
@pytest.mark.must
async def test_the_capability_says_what_scripts_may_do(app: App, jmap: Jmap) -> None:
    session = json.loads((await app.engine.session(jmap.identity, "http://test"))[0])
    assert set(session["capabilities"][SIEVE]) == {"implementation"}
    assert session["capabilities"][SIEVE]["implementation"].startswith("Veredus ")
    capability = session["accounts"][jmap.account]["accountCapabilities"][SIEVE]
    assert capability["maxSizeScriptName"] >= 512
    assert capability["maxSizeScript"] == 500
    assert capability["maxNumberScripts"] == 3
    assert capability["maxNumberRedirects"] == 2
    assert {"fileinto", "vacation", "include"} <= set(capability["sieveExtensions"])
    assert capability["notificationMethods"] == ["mailto"]
    assert capability["externalLists"] is None


@pytest.mark.rfc("9661", "2.4.1")
@pytest.mark.must
async def test_a_script_is_created_and_activated_at_once_in_place_of_another(jmap: Jmap) -> None:
    """The example of the RFC: no name, and an active script that gives way."""
    old = await script(jmap, "old", onSuccessActivateScript="#new")
    blob = await jmap.upload(FLAGGED, "application/sieve")
    response = await jmap.set(
        "SieveScript", create={"A": {"name": None, "blobId": blob}}, onSuccessActivateScript="#A"
    )
    created = response["created"]["A"]
    assert created == {"id": created["id"], "name": created["name"], "isActive": True}
    assert created["name"]
    assert response["updated"] == {old: {"isActive": False}}
    found = await jmap.get("SieveScript", created["id"])
    assert found == {"id": created["id"], "name": created["name"], "blobId": blob, "isActive": True}
    assert await jmap.call("SieveScript/validate", blobId=blob) == {
        "accountId": jmap.account,
        "error": None,
    }


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_activation_is_reported_and_needs_that_nothing_failed(jmap: Jmap) -> None:
    one, two = await script(jmap, "one"), await script(jmap, "two")
    assert await active(jmap) == []
    response = await jmap.set("SieveScript", onSuccessActivateScript=one)
    assert (response["created"], response["updated"]) == (None, {one: {"isActive": True}})
    assert response["oldState"] != response["newState"]

    # Something fails: nothing is activated, nothing deactivated.
    response = await jmap.call(
        "SieveScript/set",
        update={two: {"name": "2"}},
        destroy=["nope"],
        onSuccessActivateScript=two,
        onSuccessDeactivateScript=True,
    )
    assert response["updated"] == {two: None}
    assert await active(jmap) == [one]

    # Both: deactivated first.
    response = await jmap.set(
        "SieveScript",
        onSuccessActivateScript=two,
        onSuccessDeactivateScript=True,
        update={two: {"name": "II"}},
    )
    assert response["updated"] == {one: {"isActive": False}, two: {"isActive": True}}
    response = await jmap.set("SieveScript", onSuccessDeactivateScript=True)
    assert response["updated"] == {two: {"isActive": False}}
    assert await active(jmap) == []
    assert (await jmap.set("SieveScript", onSuccessDeactivateScript=True))["updated"] is None


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
@pytest.mark.parametrize("id", ["nope", "#nope", "not an id", "", None])
async def test_what_cannot_be_activated_is_ignored(jmap: Jmap, id: str | None) -> None:
    one = await script(jmap, "one", onSuccessActivateScript="#new")
    state = await jmap.state("SieveScript")
    response = await jmap.set("SieveScript", onSuccessActivateScript=id, onSuccessDeactivateScript=False)
    assert (response["updated"], response["newState"]) == (None, state)
    assert await active(jmap) == [one]


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_a_script_of_an_earlier_call_is_activated_by_its_creation_id(jmap: Jmap) -> None:
    blob = await jmap.upload(KEEP)
    responses = await jmap.responses(
        ("SieveScript/set", {"create": {"A": {"blobId": blob}}}),
        ("SieveScript/set", {"onSuccessActivateScript": "#A"}),
    )
    id = responses[0][1]["created"]["A"]["id"]
    assert responses[1][1]["updated"] == {id: {"isActive": True}}


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_the_active_script_is_not_destroyed(jmap: Jmap) -> None:
    one = await script(jmap, "one", onSuccessActivateScript="#new")
    # Deactivation in the same call is not enough.
    error = await jmap.refused("SieveScript", "destroy", one, onSuccessDeactivateScript=True)
    assert error["type"] == "sieveIsActive"
    assert await active(jmap) == [one]
    await jmap.set("SieveScript", onSuccessDeactivateScript=True)
    assert (await jmap.set("SieveScript", destroy=[one]))["destroyed"] == [one]


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_names_are_unique_and_may_be_swapped(jmap: Jmap) -> None:
    one, two = await script(jmap, "one"), await script(jmap, "two")
    blob = await jmap.upload(KEEP)
    error = await jmap.refused("SieveScript", "create", {"name": "two", "blobId": blob})
    assert (error["type"], error["existingId"]) == ("alreadyExists", two)
    error = await jmap.refused("SieveScript", "update", (one, {"name": "two"}))
    assert (error["type"], error["existingId"]) == ("alreadyExists", two)
    response = await jmap.set("SieveScript", update={one: {"name": "two"}, two: {"name": "one"}})
    assert response["updated"] == {one: None, two: None}


@pytest.mark.rfc("9661", "2.1")
@pytest.mark.must
async def test_names_are_net_unicode_and_the_server_chooses_missing_ones(jmap: Jmap) -> None:
    blob = await jmap.upload(KEEP)
    for name in ("", "a\nb", "a\x7f", "\x85", "a\u2028b", "a\u2029", "x" * 513, 7):
        error = await jmap.refused("SieveScript", "create", {"name": name, "blobId": blob})
        assert (error["type"], error["properties"]) == ("invalidProperties", ["name"]), name
    created = await jmap.create("SieveScript", name="Cafe\u0301 " + "x" * 506, blobId=blob)
    assert created["name"] == "Caf\u00e9 " + "x" * 506
    first, second = [(await jmap.create("SieveScript", blobId=blob)) for _ in range(2)]
    assert first["name"] != second["name"]
    renamed = await jmap.update("SieveScript", second["id"], name=first["name"] + "!")
    assert renamed is None
    assert (await jmap.update("SieveScript", second["id"], name=None))["name"] == second["name"]


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"keep\r\nstop;", "invalidSieve", "line 2"),
        (b'require "not-an-extension";', "invalidSieve", "not-an-extension"),
        (b'fileinto "x";', "invalidSieve", "fileinto"),
        (b"keep;\n# \xff", "invalidSieve", "line 2"),
        (b"#" * 501, "tooLarge", "500"),
    ],
)
async def test_a_bad_script_is_refused_and_says_where(
    jmap: Jmap, content: bytes, error: str, words: str
) -> None:
    id = await script(jmap, "good", onSuccessActivateScript="#new")
    blob = await jmap.upload(content)
    state = await jmap.state("SieveScript")
    for refused in (
        await jmap.refused("SieveScript", "create", {"name": "bad", "blobId": blob}),
        await jmap.refused("SieveScript", "update", (id, {"blobId": blob})),
        (await jmap.call("SieveScript/validate", blobId=blob))["error"],
    ):
        assert refused["type"] == error
        assert words in refused["description"]
    assert await jmap.state("SieveScript") == state


@pytest.mark.rfc("9661", "2.2")
@pytest.mark.must
async def test_a_content_is_a_blob_that_the_user_sees(app: App, jmap: Jmap) -> None:
    other = await new_user(app, "bob@example.com")
    foreign = await other.upload(b"# of another account\r\nkeep;\r\n")
    for blob in ("nope", foreign):
        error = await jmap.refused("SieveScript", "create", {"name": "x", "blobId": blob})
        assert (error["type"], error["notFound"]) == ("blobNotFound", [blob])
        error = (await jmap.call("SieveScript/validate", blobId=blob))["error"]
        assert error["type"] == "blobNotFound"
    for given in ({}, {"blobId": None}, {"blobId": 1}, {"blobId": foreign, "isActive": True}):
        error = await jmap.refused("SieveScript", "create", {"name": "x", **given})
        assert error["type"] in ("invalidProperties", "blobNotFound")


@pytest.mark.rfc("9661", "2.3")
@pytest.mark.must
async def test_scripts_are_fetched_all_or_some(jmap: Jmap) -> None:
    ids = [await script(jmap, "one"), await script(jmap, "two", onSuccessActivateScript="#new")]
    response = await jmap.call("SieveScript/get", ids=None, properties=["name", "isActive"])
    assert sorted(response["list"], key=lambda found: str(found["name"])) == [
        {"id": ids[0], "name": "one", "isActive": False},
        {"id": ids[1], "name": "two", "isActive": True},
    ]
    response = await jmap.call("SieveScript/get", ids=[ids[1], "nope"])
    assert [found["id"] for found in response["list"]] == [ids[1]]
    assert response["notFound"] == ["nope"]


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_a_new_content_takes_the_place_of_the_old_one(jmap: Jmap) -> None:
    """And may come from Blob/upload in the same request (RFC 9404 §4.1)."""
    id = await script(jmap, "one", onSuccessActivateScript="#new")
    data = {"b": {"data": [{"data:asText": "discard;\r\n"}]}}
    responses = await jmap.responses(
        ("Blob/upload", {"create": data}), ("SieveScript/set", {"update": {id: {"blobId": "#b"}}})
    )
    blob = responses[0][1]["created"]["b"]["id"]
    assert id in responses[1][1]["updated"]
    assert await jmap.get("SieveScript", id, properties=["blobId", "isActive"]) == {
        "id": id,
        "blobId": blob,
        "isActive": True,
    }


@pytest.mark.rfc("9661", "2.4")
@pytest.mark.must
async def test_scripts_are_not_more_than_the_limit(jmap: Jmap) -> None:
    ids = [await script(jmap, f"{n}") for n in range(3)]
    new = {"name": "more", "blobId": await jmap.upload(KEEP)}
    assert (await jmap.refused("SieveScript", "create", new))["type"] == "overQuota"
    response = await jmap.set("SieveScript", create={"new": new}, destroy=[ids[0]])
    assert (len(response["created"]), response["destroyed"]) == (1, [ids[0]])


@pytest.mark.rfc("9661", "2.5")
@pytest.mark.must
async def test_scripts_are_found_by_name_and_activity(jmap: Jmap) -> None:
    b, a = await script(jmap, "beta rules"), await script(jmap, "Alpha Rules", onSuccessActivateScript="#new")
    assert await jmap.query("SieveScript", filter={"name": "RULES"}) == [a, b]
    assert await jmap.query("SieveScript", filter={"name": "bet"}) == [b]
    assert await jmap.query("SieveScript", filter={"isActive": False}) == [b]
    sort = [{"property": "isActive", "isAscending": True}]
    assert await jmap.query("SieveScript", sort=sort) == [b, a]
    assert await jmap.query("SieveScript", sort=[{"property": "name", "isAscending": False}]) == [b, a]
    response = await jmap.call("SieveScript/query")
    assert response["canCalculateChanges"] is False


async def test_there_is_nothing_that_the_rfc_does_not_have(jmap: Jmap) -> None:
    for name in ("changes", "queryChanges", "copy"):
        assert (await jmap.error(f"SieveScript/{name}"))["type"] == "unknownMethod"
    jmap.using.remove(SIEVE)
    assert (await jmap.error("SieveScript/get", ids=None))["type"] == "unknownMethod"


@pytest.mark.rfc("9661", "2.6")
async def test_a_script_may_include_one_that_is_not_there_yet(jmap: Jmap) -> None:
    """RFC 6609 §3.1: only running it tells."""
    blob = await jmap.upload(b'require "include";\r\ninclude :personal "later";\r\n')
    assert (await jmap.call("SieveScript/validate", blobId=blob))["error"] is None
    await jmap.create("SieveScript", name="now", blobId=blob)


@pytest.mark.rfc("9661", "2.2")
async def test_delivery_finds_the_one_active_script_and_its_blob_lives(app: App, jmap: Jmap) -> None:
    await script(jmap, "one", b"keep; # 1")
    two = await script(jmap, "two", b"keep; # 2", onSuccessActivateScript="#new")
    async with app.store.read(jmap.account) as snapshot:
        assert await snapshot.select("SieveScript", Eq("isActive", True)) == [two]
        record = (await snapshot.get("SieveScript", [two]))[0]
        assert await snapshot.owns_blob({record["blobId"]}) == {record["blobId"]}
    assert await app.store.referenced_blobs([record["blobId"]]) == {record["blobId"]}


async def test_a_reader_of_the_account_validates_and_sets_nothing(app: App, jmap: Jmap) -> None:
    other = await new_user(app, "reader@example.com")
    await app.accounts.grant("reader@example.com", jmap.account, "read")
    app.directory.drop()
    reader = Jmap(app, other.identity.user, jmap.account)
    reader.using.append(SIEVE)
    id = await script(jmap, "one")
    error = await reader.error("SieveScript/set", onSuccessActivateScript=id)
    assert error["type"] == "accountReadOnly"
    blob = (await reader.get("SieveScript", id))["blobId"]
    assert (await reader.call("SieveScript/validate", blobId=blob))["error"] is None


@pytest.mark.rfc("9661", "4")
@pytest.mark.must
async def test_a_vacation_response_is_no_script_and_neither_changes_the_other(jmap: Jmap) -> None:
    jmap.using.append("urn:ietf:params:jmap:vacationresponse")
    one = await script(jmap, "vacation", onSuccessActivateScript="#new")
    state = await jmap.state("SieveScript")
    await jmap.update("VacationResponse", "singleton", isEnabled=True, textBody="Away")
    assert [found["id"] for found in (await jmap.call("SieveScript/get"))["list"]] == [one]
    assert (await active(jmap), await jmap.state("SieveScript")) == ([one], state)
    await jmap.set("SieveScript", onSuccessDeactivateScript=True)
    await jmap.set("SieveScript", destroy=[one])
    assert (await jmap.get("VacationResponse", "singleton"))["isEnabled"] is True


@pytest.mark.rfc("9661", "5")
@pytest.mark.must
@pytest.mark.parametrize(
    "content",
    [
        b"if " + b"not " * 120 + b"true {}",
        b"if true {" * 50,
        b"if allof(" * 50,
        b'fileinto ["' + b'","' * 150 + b'"];',
        b"keep " + b"[" * 400 + b";",
        b"/*" + b"*" * 400,
        b'redirect "' + b"\\" * 300,
        b"redirect text:\r\n.." + b"\r\n" * 200,
        b"if size :over 99999999999999999999999999G {}",
        b"\x00\xef\xbb\xbfkeep;",
    ],
)
async def test_a_malicious_script_is_refused_with_grace(jmap: Jmap, content: bytes) -> None:
    blob = await jmap.upload(content)
    error = (await jmap.call("SieveScript/validate", blobId=blob))["error"]
    assert error["type"] == "invalidSieve"
    assert error["description"].startswith("line ")
    assert (await jmap.refused("SieveScript", "create", {"blobId": blob})) == error
