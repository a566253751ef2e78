"""Blob/lookup, and the capability (RFC 9404 §3.1, §4.3)."""

import json
from pathlib import Path

import pytest

from jmap import Jmap, message
from todo import todo_server, todo_user

pytestmark = pytest.mark.rfc("9404", "4.3")

BLOB = "urn:ietf:params:jmap:blob"
TYPES = ["Mailbox", "Thread", "Email"]


@pytest.mark.rfc("9404", "3.1")
@pytest.mark.must
async def test_the_capability(jmap: Jmap) -> None:
    session = json.loads((await jmap.app.engine.session(jmap.identity, "http://test"))[0])
    assert session["capabilities"][BLOB] == {}
    capability = session["accounts"][jmap.account]["accountCapabilities"][BLOB]
    assert (
        capability["maxSizeBlobSet"] == session["capabilities"]["urn:ietf:params:jmap:core"]["maxSizeUpload"]
    )
    assert capability["maxDataSources"] >= 64
    assert {*TYPES, "EmailSubmission"} <= set(capability["supportedTypeNames"])
    assert capability["supportedDigestAlgorithms"] == ["sha-256", "sha-512", "sha"]


async def test_what_refers_to_a_message_and_its_parts(jmap: Jmap) -> None:
    email = await jmap.import_email(message())
    inbox = await jmap.mailbox("inbox")
    part = (await jmap.get("Email", email["id"], properties=["textBody"]))["textBody"][0]["blobId"]
    for blob in (email["blobId"], part):
        response = await jmap.call("Blob/lookup", typeNames=TYPES, ids=[blob])
        assert response["accountId"] == jmap.account
        assert response["list"] == [
            {
                "id": blob,
                "matchedIds": {"Mailbox": [inbox], "Thread": [email["threadId"]], "Email": [email["id"]]},
            }
        ]
        one = await jmap.call("Blob/lookup", typeNames=["Email"], ids=[blob])
        assert one["list"][0]["matchedIds"] == {"Email": [email["id"]]}


@pytest.mark.must
async def test_a_blob_that_is_not_seen_is_referred_to_by_none(jmap: Jmap, second: Jmap) -> None:
    unused = await jmap.upload(b"x")
    elsewhere = (await second.import_email(message()))["blobId"]
    response = await jmap.call("Blob/lookup", typeNames=TYPES, ids=[unused, elsewhere, "not-a-blob"])
    assert [found["id"] for found in response["list"]] == [unused, elsewhere, "not-a-blob"]
    assert all(
        found["matchedIds"] == {"Mailbox": [], "Thread": [], "Email": []} for found in response["list"]
    )


@pytest.mark.must
async def test_types_that_are_unknown_or_not_in_use(jmap: Jmap) -> None:
    for name in ("Nope", "Quota", "email", ""):
        error = await jmap.error("Blob/lookup", typeNames=["Email", name], ids=[])
        assert error["type"] == "unknownDataType"
    jmap.using.remove("urn:ietf:params:jmap:mail")
    assert (await jmap.error("Blob/lookup", typeNames=["Email"], ids=[]))["type"] == "unknownDataType"


async def test_a_type_of_a_plug_in_is_looked_up_by_its_blobs(store: str, tmp_path: Path) -> None:
    async with todo_server(store, tmp_path) as app:
        jmap = await todo_user(app)
        create = {"b": {"data": [{"data:asText": "a"}]}}
        made, todos = await jmap.responses(
            ("Blob/upload", {"create": create}),
            ("Todo/set", {"create": {"t": {"title": "a", "attachment": "#b"}}}),
        )
        blob, todo = made[1]["created"]["b"]["id"], todos[1]["created"]["t"]["id"]
        found = await jmap.call("Blob/lookup", typeNames=["Todo"], ids=[blob])
        assert found["list"] == [{"id": blob, "matchedIds": {"Todo": [todo]}}]
