"""Blob/get (RFC 9404 §4.2)."""

import base64
import hashlib
from typing import Any

import pytest

from jmap import Jmap

pytestmark = pytest.mark.rfc("9404", "4.2")

FOX = b"The quick brown fox jumped over the lazy dog."
BAD = b"The quick brown fox jumped over the \x81\x81 dog."


async def get(jmap: Jmap, blob: str, *properties: str, **arguments: Any) -> Any:
    """The blob without its id."""
    response = await jmap.call("Blob/get", ids=[blob], properties=properties or None, **arguments)
    (found,) = response["list"]
    assert found.pop("id") == blob
    return found


async def test_the_example_of_digests(jmap: Jmap) -> None:
    """§4.2.1."""
    blob = await jmap.upload(FOX)
    response = await jmap.call(
        "Blob/get", ids=[blob, "not-a-blob"], properties=["data:asText", "digest:sha", "size"]
    )
    assert response["notFound"] == ["not-a-blob"]
    assert response["list"] == [
        {"id": blob, "data:asText": FOX.decode(), "digest:sha": "wIVPufsDxBzOOALLDSIFKebu+U4=", "size": 45}
    ]
    found = await get(jmap, blob, "data:asText", "digest:sha", "digest:sha-256", "size", offset=4, length=9)
    assert found == {
        "data:asText": "quick bro",
        "digest:sha": "QiRAPtfyX8K6tm1iOAtZ87Xj3Ww=",
        "digest:sha-256": "gdg9INW7lwHK6OQ9u0dwDz2ZY/gubi0En0xlFpKt0OA=",
        "size": 45,
    }


@pytest.mark.must
async def test_the_example_of_octets_that_are_no_text(jmap: Jmap) -> None:
    """§4.2.2."""
    blob = await jmap.upload(BAD)
    encoded = base64.b64encode(BAD).decode()
    assert await get(jmap, blob) == {"data:asBase64": encoded, "isEncodingProblem": True, "size": 43}
    found = await get(jmap, blob, "data:asText", "size")
    assert found == {"data:asText": None, "isEncodingProblem": True, "size": 43}
    assert await get(jmap, blob, "data:asBase64", "size") == {"data:asBase64": encoded, "size": 43}
    found = await get(jmap, blob, "data:asText", "data:asBase64")
    assert found == {"data:asText": None, "data:asBase64": encoded, "isEncodingProblem": True}
    assert await get(jmap, blob, "data", offset=0, length=5) == {"data:asText": "The q"}
    assert await get(jmap, blob, "data", offset=20, length=100) == {
        "data:asBase64": "anVtcGVkIG92ZXIgdGhlIIGBIGRvZy4=",
        "isEncodingProblem": True,
        "isTruncated": True,
    }


@pytest.mark.must
@pytest.mark.parametrize(
    ("offset", "length", "found", "truncated"),
    [
        (0, 0, "", False),
        (10, None, "", False),
        (10, 0, "", False),
        (0, 10, "0123456789", False),
        (0, 11, "0123456789", True),
        (9, 2, "9", True),
        (11, None, "", True),
        (11, 0, "", True),
        (2**53 - 1, 2**53 - 1, "", True),
        (None, None, "0123456789", False),
    ],
)
async def test_ranges(jmap: Jmap, offset: Any, length: Any, found: str, truncated: bool) -> None:
    blob = await jmap.upload(b"0123456789")
    shown = await get(jmap, blob, "data", "size", "digest:sha-512", offset=offset, length=length)
    assert shown["data:asText"] == found
    assert shown.get("isTruncated", False) is truncated
    assert shown["size"] == 10
    assert base64.b64decode(shown["digest:sha-512"]) == hashlib.sha512(found.encode()).digest()


async def test_half_a_character_is_an_encoding_problem(jmap: Jmap) -> None:
    blob = await jmap.upload("né".encode())
    assert (await get(jmap, blob, "data:asText", length=2))["isEncodingProblem"] is True
    assert await get(jmap, blob, "data:asText") == {"data:asText": "né"}


@pytest.mark.must
@pytest.mark.parametrize(
    "name", ["digest:md5", "digest:", "digest:SHA", "Data", "data:", "type", "isTruncated", ""]
)
async def test_other_properties_are_invalid(jmap: Jmap, name: str) -> None:
    assert (await jmap.error("Blob/get", ids=[], properties=[name]))["type"] == "invalidArguments"


async def test_ids(jmap: Jmap) -> None:
    blob = await jmap.upload(b"x")
    response = await jmap.call("Blob/get", ids=[blob, blob, "#no", "x"], properties=["size"])
    assert response["list"] == [{"id": blob, "size": 1}]
    assert response["notFound"] == ["#no", "x"]
    assert (await jmap.call("Blob/get", ids=[]))["list"] == []
    assert (await jmap.error("Blob/get", ids=None))["type"] == "invalidArguments"
    error = await jmap.error("Blob/get", ids=[f"x{n}" for n in range(1001)])
    assert error["type"] == "requestTooLarge"


async def test_a_response_holds_no_more_than_its_budget(jmap: Jmap) -> None:
    """Many large blobs, many times: sizes and digests are told, data only up to a bound."""
    blobs = [await jmap.upload(bytes([n]) * 4_000_000) for n in range(3)]
    assert len((await jmap.call("Blob/get", ids=blobs, properties=["size", "digest:sha"]))["list"]) == 3
    calls = [("Blob/get", {"ids": blobs, "properties": ["data:asBase64"]})] * 4
    names = [name for name, _, _ in await jmap.responses(*calls)]
    assert names == ["Blob/get", "Blob/get", "error", "error"]
