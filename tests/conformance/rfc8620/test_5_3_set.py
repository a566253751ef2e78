"""Foo/set (RFC 8620 §5.3): creation, updates by PatchObject, destruction."""

from typing import Any

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.3")


async def not_created(jmap: Jmap, **properties: Any) -> Any:
    response = await jmap.call("Todo/set", create={"t": properties})
    assert response["created"] is None, response
    return response["notCreated"]["t"]


async def not_updated(jmap: Jmap, id: str, patch: Any) -> Any:
    before = await jmap.call("Todo/get", ids=[id])
    response = await jmap.call("Todo/set", update={id: patch})
    assert response["updated"] is None, response
    assert await jmap.call("Todo/get", ids=[id]) == before
    return response["notUpdated"][id]


@pytest.mark.must
async def test_if_in_state_must_match(jmap: Jmap) -> None:
    state = (await jmap.call("Todo/get", ids=[]))["state"]
    response = await jmap.call("Todo/set", ifInState=state, create={"t": {"title": "a"}})
    assert response["oldState"] == state
    for wrong in (state, "", "nope", response["newState"] + "0"):
        error = await jmap.error("Todo/set", ifInState=wrong, create={"t": {"title": "b"}})
        assert error["type"] == "stateMismatch"
    assert len((await jmap.call("Todo/get", ids=None))["list"]) == 1


@pytest.mark.must
async def test_the_answer_has_what_the_client_did_not_send(jmap: Jmap) -> None:
    response = await jmap.call("Todo/set", create={"t": {"title": " a ", "priority": 3, "due": None}})
    made = response["created"]["t"]
    whole = await jmap.get("Todo", made["id"])
    sent = {"priority", "due"}
    assert made == {name: value for name, value in whole.items() if name not in sent}
    assert made["title"] == "a", "the server corrected it"
    assert [
        response[name] for name in ("updated", "destroyed", "notCreated", "notUpdated", "notDestroyed")
    ] == [None] * 5


async def test_null_is_the_default_of_a_property_that_has_one(jmap: Jmap) -> None:
    made = (await jmap.call("Todo/set", create={"t": {"title": "a", "keywords": None, "priority": None}}))[
        "created"
    ]["t"]
    assert (made["keywords"], made["priority"]) == ({}, 0)
    id = made["id"]
    await jmap.call("Todo/set", update={id: {"keywords": {"x": True}, "priority": 5}})
    response = await jmap.call("Todo/set", update={id: {"keywords": None, "priority": None}})
    assert set(response["updated"]) == {id}
    todo = await jmap.get("Todo", id)
    assert (todo["keywords"], todo["priority"]) == ({}, 0)


@pytest.mark.must
async def test_all_invalid_properties_are_named(jmap: Jmap) -> None:
    given = {"id": "x", "isLate": True, "neuralNetworkTimeEstimation": 1, "createdBy": "eve", "nope": 1}
    wrong = {"priority": "high", "keywords": ["x"], "subTodoIds": ["#nope"], "notes": {"a b": "x"}}
    error = await not_created(jmap, **given, **wrong)
    assert error["type"] == "invalidProperties"
    assert sorted(error["properties"]) == sorted([*given, *wrong, "title"])


@pytest.mark.parametrize(
    "keywords", [{"x": False}, {"x": None}, {"x": 1}, [], "x", {"x": {"y": True}}, 1, True]
)
async def test_a_set_maps_to_true(jmap: Jmap, keywords: Any) -> None:
    assert (await not_created(jmap, title="a", keywords=keywords))["properties"] == ["keywords"]


@pytest.mark.must
async def test_one_bad_record_does_not_stop_the_others(jmap: Jmap) -> None:
    a, b = await create(jmap, "a", "b", keywords={"x": True})
    response = await jmap.call(
        "Todo/set",
        create={"good": {"title": "g"}, "bad": {"title": 1}},
        update={a: {"title": "A"}, "nope": {"title": "x"}, b: {"title": None}},
        destroy=["nope2", b],
    )
    assert set(response["created"]) == {"good"}
    assert set(response["notCreated"]) == {"bad"}
    assert set(response["updated"]) == {a}
    assert {id: error["type"] for id, error in response["notUpdated"].items()} == {
        "nope": "notFound",
        b: "willDestroy",
    }
    assert response["destroyed"] == [b]
    assert response["notDestroyed"]["nope2"]["type"] == "notFound"


@pytest.mark.must
@pytest.mark.parametrize(
    "patch",
    [
        {"keywords/x/y": True},
        {"nothing/x": True, "notes/a/b": "x"},
        {"subTodoIds/0": "x"},
        {"keywords": {}, "keywords/x": True},
        {"keywords/x": True, "keywords/x/y": 1},
        {"title/0": "x"},
        {"due/x": 1},
        {"keywords/~": True},
        {"keywords/~2": True},
        {"/".join(["notes"] * 5000): "x"},
    ],
)
async def test_a_bad_pointer_is_an_invalid_patch(jmap: Jmap, patch: Any) -> None:
    (other,) = await create(jmap, "o")
    (id,) = await create(jmap, "a", keywords={"x": True}, subTodoIds=[other])
    error = await not_updated(jmap, id, {"title": "changed", **patch})
    assert error["type"] == ("invalidPatch" if "nothing/x" not in patch else error["type"])


@pytest.mark.must
async def test_an_update_is_done_wholly_or_not_at_all(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    error = await not_updated(jmap, id, {"title": "b", "priority": -1, "nope": 1, "keywords": "x"})
    assert error["type"] == "invalidProperties"
    assert sorted(error["properties"]) == ["keywords", "nope", "priority"]
    error = await not_updated(jmap, id, {"keywords/y": True, "subTodoIds": ["nope"]})
    assert error["properties"] == ["subTodoIds"]


async def test_patches_reach_into_maps(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a", keywords={"x": True, "y": True})
    patch = {
        "keywords/x": None,
        "keywords/gone": None,
        "keywords/a~1b": True,
        "keywords/m~0n": True,
        "notes/k": "#x",
    }
    await jmap.call("Todo/set", update={id: patch})
    todo = await jmap.get("Todo", id)
    assert todo["keywords"] == {"y": True, "a/b": True, "m~n": True}
    assert todo["notes"] == {"k": "#x"}, "a text that begins with # is no creation id"


@pytest.mark.must
async def test_what_only_the_server_sets_may_be_sent_as_it_is(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a", slug="s")
    todo = await jmap.get("Todo", id)
    assert (await jmap.call("Todo/set", update={id: todo}))["updated"] == {id: None}
    changed = {"id": "x", "neuralNetworkTimeEstimation": 1, "isLate": True, "slug": "t"}
    error = await not_updated(jmap, id, {**todo, **changed})
    assert error["type"] == "invalidProperties"
    assert sorted(error["properties"]) == sorted(changed)
    assert (await not_updated(jmap, id, {"slug": None}))["properties"] == ["slug"]


async def test_destroying_twice_in_one_call_is_once(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    response = await jmap.call("Todo/set", destroy=[id, id])
    assert response["destroyed"] == [id]
    assert response["notDestroyed"] is None


async def test_a_hook_may_forbid(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a", keywords={"locked": True})
    response = await jmap.call("Todo/set", destroy=[id])
    assert response["notDestroyed"][id]["type"] == "forbidden"
    assert response["destroyed"] is None
    assert response["newState"] == response["oldState"]


async def test_an_updated_text_is_found_and_the_old_one_not(jmap: Jmap) -> None:
    (id,) = await create(jmap, "apples")
    await jmap.call("Todo/set", update={id: {"title": "pears", "keywords/ripe": True}})
    for text, found in {"apples": [], "pears": [id], "ripe": [id]}.items():
        assert (await jmap.call("Todo/query", filter={"text": text}))["ids"] == found
    await jmap.call("Todo/set", update={id: {"priority": 1}})
    assert (await jmap.call("Todo/query", filter={"text": "pears"}))["ids"] == [id]


async def test_the_limit_counts_all_three_lists(jmap: Jmap) -> None:
    third = {"create": {f"c{n}": {} for n in range(334)}, "update": {f"u{n}": {} for n in range(333)}}
    response = await jmap.call("Todo/set", **third, destroy=[f"d{n}" for n in range(333)])
    assert len(response["notCreated"]) + len(response["notUpdated"]) + len(response["notDestroyed"]) == 1000
    error = await jmap.error("Todo/set", **third, destroy=[f"d{n}" for n in range(334)])
    assert error["type"] == "requestTooLarge"


async def test_nothing_to_do_is_well_done(jmap: Jmap) -> None:
    for arguments in ({}, {"create": {}, "update": {}, "destroy": []}, {"create": None}):
        response = await jmap.call("Todo/set", **arguments)
        assert response["created"] is response["updated"] is response["destroyed"] is None
        assert response["oldState"] == response["newState"]
