"""Blob/upload (RFC 9404 §4.1)."""

import base64
from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.config.settings import Limits

pytestmark = pytest.mark.rfc("9404", "4.1")

FOX = "The quick brown fox jumped over the lazy dog."


async def upload(jmap: Jmap, **blobs: Any) -> Any:
    """Upload blobs given as lists of data sources."""
    return await jmap.call("Blob/upload", create={key: {"data": data} for key, data in blobs.items()})


async def refused(jmap: Jmap, *sources: Any) -> Any:
    response = await upload(jmap, b=list(sources))
    assert response["created"] is None, response
    return response["notCreated"]["b"]


async def text(jmap: Jmap, id: str) -> str:
    found: str = (await jmap.call("Blob/get", ids=[id], properties=["data:asText"]))["list"][0]["data:asText"]
    return found


async def test_the_example_of_two_calls(jmap: Jmap) -> None:
    """§4.1.2: pieces of one blob, text and base64 make another."""
    sources = [
        {"data:asText": "How"},
        {"blobId": "#b4", "length": 7, "offset": 3},
        {"data:asText": "was t"},
        {"blobId": "#b4", "length": 1, "offset": 1},
        {"data:asBase64": "YXQ/"},
    ]
    first, second, third = await jmap.responses(
        ("Blob/upload", {"create": {"b4": {"data": [{"data:asText": FOX}]}}}),
        ("Blob/upload", {"create": {"cat": {"data": sources}}}),
        ("Blob/get", {"ids": ["#cat"], "properties": ["data:asText", "size"]}),
    )
    assert first[1]["created"]["b4"]["size"] == 45
    cat = second[1]["created"]["cat"]
    assert cat["size"] == 19
    assert third[1]["list"] == [{"id": cat["id"], "data:asText": "How quick was that?", "size": 19}]


@pytest.mark.must
async def test_the_answer_and_the_created_ids(jmap: Jmap) -> None:
    create = {"b": {"data": [{"data:asText": "a"}], "type": "text/x-mine"}, "c": {"data": []}}
    call = ["Blob/upload", {"accountId": jmap.account, "create": create}, "0"]
    response = await jmap.request(call, createdIds={})
    made = response["methodResponses"][0][1]
    assert made["accountId"] == jmap.account
    assert made["notCreated"] is None
    assert made["created"]["b"] == {"id": made["created"]["b"]["id"], "type": "text/x-mine", "size": 1}
    assert made["created"]["c"]["type"] is None
    assert made["created"]["c"]["size"] == 0
    assert response["createdIds"] == {key: blob["id"] for key, blob in made["created"].items()}


async def test_blobs_of_one_call_in_any_order(jmap: Jmap) -> None:
    for order in (("a", "b", "c"), ("c", "b", "a")):
        blobs = {
            "a": [{"data:asText": "1"}],
            "b": [{"blobId": "#a"}, {"data:asText": "2"}],
            "c": [{"blobId": "#b"}] * 2,
        }
        made = await upload(jmap, **{key: blobs[key] for key in order})
        assert await text(jmap, made["created"]["c"]["id"]) == "1212"


async def test_a_circle_is_refused_and_what_is_right_is_made(jmap: Jmap) -> None:
    response = await upload(
        jmap, a=[{"blobId": "#b"}], b=[{"blobId": "#a"}], c=[{"data:asText": "c"}], d=[{"blobId": "#d"}]
    )
    assert set(response["created"]) == {"c"}
    assert {error["type"] for error in response["notCreated"].values()} == {"blobNotFound"}


@pytest.mark.must
@pytest.mark.parametrize(
    "source",
    [
        {},
        {"data:asText": "a", "data:asBase64": "YQ=="},
        {"data:asText": "a", "blobId": "x"},
        {"data:asText": 1},
        {"data:asText": None},
        {"data:asBase64": "YQ"},
        {"data:asBase64": "Y Q=="},
        {"data:asBase64": "Y-_="},
        {"data:asBase64": "YQ==YQ=="},
        {"data:asBase64": "é==="},
        {"data:asText": "a", "offset": 0},
        {"data:asText": "a", "unknown": 1},
        "a",
        None,
        [],
    ],
)
async def test_nothing_is_guessed_of_a_bad_source(jmap: Jmap, source: Any) -> None:
    error = await refused(jmap, {"data:asText": "good"}, source)
    assert error["type"] == "invalidProperties"
    assert error["properties"] == ["data"]


@pytest.mark.parametrize(
    "wanted", [{}, {"data": "x"}, {"data": None}, {"data": [], "type": 1}, {"data": [], "x": 1}]
)
async def test_a_bad_object_does_not_refuse_the_others(jmap: Jmap, wanted: Any) -> None:
    response = await jmap.call("Blob/upload", create={"bad": wanted, "good": {"data": []}})
    assert set(response["created"]) == {"good"}
    assert response["notCreated"]["bad"]["type"] == "invalidProperties"


@pytest.mark.must
async def test_ranges(jmap: Jmap) -> None:
    blob = (await upload(jmap, b=[{"data:asText": "0123456789"}]))["created"]["b"]["id"]
    for offset, length, found in (
        (None, None, "0123456789"),
        (0, 0, ""),
        (3, None, "3456789"),
        (None, 3, "012"),
        (3, 4, "3456"),
        (10, 0, ""),
        (10, None, ""),
    ):
        made = await upload(jmap, b=[{"blobId": blob, "offset": offset, "length": length}])
        assert await text(jmap, made["created"]["b"]["id"]) == found
    for offset, length in ((11, None), (0, 11), (5, 6), (11, 0), (2**53 - 1, 2**53 - 1)):
        error = await refused(jmap, {"blobId": blob, "offset": offset, "length": length})
        assert error["type"] == "invalidProperties"
    for offset in (-1, 1.5, "0"):
        assert (await refused(jmap, {"blobId": blob, "offset": offset}))["type"] == "invalidProperties"


async def test_a_part_of_a_message_is_a_source(jmap: Jmap) -> None:
    encoded = base64.b64encode(b"hello world").decode()
    data = message(body=encoded, Content_Transfer_Encoding="base64")
    email = await jmap.import_email(data)
    part = (await jmap.get("Email", email["id"], properties=["textBody"]))["textBody"][0]["blobId"]
    made = await upload(jmap, b=[{"blobId": part, "offset": 6, "length": 5}])
    assert await text(jmap, made["created"]["b"]["id"]) == "world"


@pytest.mark.must
async def test_sixty_four_sources_at_least(jmap: Jmap) -> None:
    made = await upload(jmap, b=[{"data:asText": "x"}] * 100)
    assert made["created"]["b"]["size"] == 100
    assert (await refused(jmap, *[{"data:asText": "x"}] * 101))["type"] == "invalidProperties"


async def test_no_blob_is_larger_than_the_capability_says(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path, limits=Limits(max_size_upload=1000)) as app:
        jmap = await new_user(app)
        made = await upload(jmap, a=[{"data:asText": "x" * 1000}], b=[{"data:asText": "x" * 1001}])
        assert set(made["created"]) == {"a"}
        assert made["notCreated"]["b"]["type"] == "tooLarge"
        id = made["created"]["a"]["id"]
        assert (await refused(jmap, *[{"blobId": id}] * 2))["type"] == "tooLarge"


async def test_what_is_uploaded_can_be_used_by_other_methods(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    eml = base64.b64encode(message("Uploaded")).decode()
    _, imported = await jmap.responses(
        ("Blob/upload", {"create": {"b": {"data": [{"data:asBase64": eml}]}}}),
        ("Email/import", {"emails": {"e": {"blobId": "#b", "mailboxIds": {inbox: True}}}}),
    )
    assert imported[1]["created"], imported


async def test_too_many_blobs(jmap: Jmap) -> None:
    create = {f"b{n}": {"data": []} for n in range(1001)}
    assert (await jmap.error("Blob/upload", create=create))["type"] == "requestTooLarge"
