"""Ids, creation ids and dates as data types (RFC 8620 §1.2-§1.4)."""

import re

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "1.2")


@pytest.mark.must
async def test_ids_are_safe_in_urls_and_begin_with_a_letter(jmap: Jmap) -> None:
    ids = await create(jmap, *("x" * n for n in range(1, 50)))
    assert len(set(ids)) == 49
    assert all(re.fullmatch(r"[a-z][a-z0-9]{1,254}", id) for id in ids)


@pytest.mark.must
@pytest.mark.parametrize("key", ["", "a b", "a/b", "ä", "x" * 256, "#a"])
async def test_a_creation_id_is_an_id(jmap: Jmap, key: str) -> None:
    error = await jmap.error("Todo/set", create={key: {"title": "a"}})
    assert error["type"] == "invalidArguments"


async def test_an_odd_id_is_one_that_is_not_found(jmap: Jmap) -> None:
    odd = ["", "a b", "../../etc/passwd", "x" * 100_000, "\0", "😀", "%00", "null"]
    assert (await jmap.call("Todo/get", ids=odd))["notFound"] == odd
    response = await jmap.call("Todo/set", update={id: {"title": "x"} for id in odd}, destroy=odd)
    assert {error["type"] for error in response["notUpdated"].values()} == {"notFound"}
    assert {error["type"] for error in response["notDestroyed"].values()} == {"notFound"}


@pytest.mark.rfc("8620", "1.3")
@pytest.mark.parametrize("value", [-1, 2**53, 1.5, "1", True, None])
async def test_an_unsigned_int_is_one(jmap: Jmap, value: object) -> None:
    error = await jmap.error("Todo/query", limit=value) if value is not None else {"type": "invalidArguments"}
    assert error["type"] == "invalidArguments"
    response = await jmap.call("Todo/set", create={"t": {"title": "a", "priority": value}})
    if value is not None:  # null stands for the default
        assert response["notCreated"]["t"]["properties"] == ["priority"]


@pytest.mark.rfc("8620", "1.4")
@pytest.mark.parametrize(
    ("date", "good"),
    [
        ("2014-10-30T06:12:00Z", True),
        ("2014-10-30T06:12:00.123Z", True),
        ("2014-10-30T06:12:00.000Z", False),
        ("2014-10-30T06:12:00+00:00", False),
        ("2014-10-30t06:12:00z", False),
        ("2014-13-30T06:12:00Z", False),
        ("2014-10-30", False),
        ("2014-10-30T06:12:00Z\n", False),
    ],
)
async def test_a_utc_date_is_one(jmap: Jmap, date: str, good: bool) -> None:
    response = await jmap.call("Todo/set", create={"t": {"title": "a", "due": date}})
    assert bool(response["created"]) is good
    if not good:
        assert response["notCreated"]["t"]["properties"] == ["due"]
