"""Foo/get (RFC 8620 §5.1)."""

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.1")


async def test_null_gives_all(jmap: Jmap) -> None:
    assert (await jmap.call("Todo/get", ids=None))["list"] == []
    ids = await create(jmap, "a", "b")
    response = await jmap.call("Todo/get", ids=None)
    assert {todo["id"] for todo in response["list"]} == set(ids)
    assert response["notFound"] == []
    assert response["accountId"] == jmap.account


@pytest.mark.must
async def test_an_empty_list_gives_none_and_the_state(jmap: Jmap) -> None:
    await create(jmap, "a")
    response = await jmap.call("Todo/get", ids=[])
    assert response["list"] == []
    assert response["notFound"] == []
    assert response["state"] == (await jmap.call("Todo/get", ids=None))["state"]


@pytest.mark.must
async def test_a_repeated_id_comes_once_found_or_not(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    for properties in (None, ["title"], ["isLate"], []):
        response = await jmap.call("Todo/get", ids=[id, "x", id, "x"], properties=properties)
        assert [todo["id"] for todo in response["list"]] == [id]
        assert response["notFound"] == ["x"]


@pytest.mark.must
async def test_the_id_always_comes_and_nothing_else_unasked(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    assert await jmap.get("Todo", id, properties=[]) == {"id": id}
    assert await jmap.get("Todo", id, properties=["id"]) == {"id": id}
    assert await jmap.get("Todo", id, properties=["title", "title"]) == {"id": id, "title": "a"}
    assert await jmap.get("Todo", id, properties=["isLate", "due"]) == {
        "id": id,
        "isLate": False,
        "due": None,
    }


async def test_null_properties_are_all_but_internal_ones(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    todo = await jmap.get("Todo", id)
    assert todo.pop("id") == id
    assert todo == {
        "title": "a",
        "keywords": {},
        "neuralNetworkTimeEstimation": 60,
        "subTodoIds": None,
        "slug": None,
        "due": None,
        "priority": 0,
        "isDone": False,
        "attachment": None,
        "notes": {},
        "isLate": False,
    }


@pytest.mark.must
@pytest.mark.parametrize("name", ["nope", "createdBy", "created_by", "", "Title", "keywords/music"])
async def test_an_unknown_property_is_invalid(jmap: Jmap, name: str) -> None:
    assert (await jmap.error("Todo/get", ids=[], properties=[name]))["type"] == "invalidArguments"


async def test_the_limit_counts_different_ids(jmap: Jmap) -> None:
    most = 1000
    ids = [f"x{n}" for n in range(most)]
    assert len((await jmap.call("Todo/get", ids=ids * 2))["notFound"]) == most
    assert (await jmap.error("Todo/get", ids=[*ids, "one more"]))["type"] == "requestTooLarge"


async def test_all_is_too_much_beyond_the_limit(jmap: Jmap) -> None:
    for batch in range(2):
        await create(jmap, *(f"{batch} {n}" for n in range(600)))
    assert (await jmap.error("Todo/get", ids=None))["type"] == "requestTooLarge"


@pytest.mark.must
async def test_the_state_changes_with_the_data_and_only_then(jmap: Jmap) -> None:
    states = []
    for step in (
        {},
        {"create": {"a": {"title": "a", "slug": "s"}}},
        {"create": {"a": {"title": ""}}},
        {"update": {"nope": {}}},
        {"destroy": ["nope"]},
    ):
        if step:
            await jmap.call("Todo/set", **step)
        states.append((await jmap.call("Todo/get", ids=[]))["state"])
    assert states[0] != states[1]
    assert len(set(states[1:])) == 1
    await jmap.call("Mailbox/set", create={"m": {"name": "M"}})
    assert (await jmap.call("Todo/get", ids=[]))["state"] == states[-1]
