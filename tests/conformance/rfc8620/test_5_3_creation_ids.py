"""References by creation id (RFC 8620 §5.3), and uniqueness judged on the final state."""

import random
import time

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.3")


@pytest.mark.must
async def test_records_of_one_call_may_refer_to_each_other_in_any_order(jmap: Jmap) -> None:
    records = {
        "top": {"title": "t", "subTodoIds": ["#b", "#a"]},
        "a": {"title": "a", "subTodoIds": ["#b"]},
        "b": {"title": "b"},
    }
    for keys in (["top", "a", "b"], ["b", "a", "top"], ["a", "top", "b"]):
        created = (await jmap.call("Todo/set", create={key: records[key] for key in keys}))["created"]
        ids = {key: created[key]["id"] for key in records}
        assert (await jmap.get("Todo", ids["top"]))["subTodoIds"] == [ids["b"], ids["a"]]


async def test_a_long_chain_backwards_takes_no_long_time(jmap: Jmap) -> None:
    most = 1000
    order = list(range(most))
    random.Random(1).shuffle(order)
    records = {f"c{n}": {"title": "x", "subTodoIds": [f"#c{n + 1}"] if n < most - 1 else None} for n in order}
    started = time.perf_counter()
    response = await jmap.call("Todo/set", create=records)
    assert response["notCreated"] is None
    assert time.perf_counter() - started < 10


@pytest.mark.must
async def test_a_circle_of_creations_is_refused_and_nothing_else(jmap: Jmap) -> None:
    records = {
        "a": {"title": "a", "subTodoIds": ["#b"]},
        "b": {"title": "b", "subTodoIds": ["#a"]},
        "self": {"title": "s", "subTodoIds": ["#self"]},
        "on": {"title": "o", "subTodoIds": ["#a"]},
        "free": {"title": "f"},
    }
    response = await jmap.call("Todo/set", create=records)
    assert set(response["created"]) == {"free"}
    assert {error["type"] for error in response["notCreated"].values()} == {"invalidProperties"}
    assert response["notCreated"]["a"]["properties"] == ["subTodoIds"]


async def test_a_reference_to_what_could_not_be_created_is_invalid(jmap: Jmap) -> None:
    records = {"bad": {"title": ""}, "a": {"title": "a", "subTodoIds": ["#bad"]}}
    response = await jmap.call("Todo/set", create=records)
    assert response["created"] is None
    assert response["notCreated"]["a"]["properties"] == ["subTodoIds"]


async def test_later_calls_and_other_types_see_them(jmap: Jmap) -> None:
    responses = await jmap.responses(
        ("Mailbox/set", {"create": {"box": {"name": "Box"}}}),
        ("Todo/set", {"create": {"t": {"title": "a", "notes": {"#box": "in the box"}}}}),
        ("Todo/set", {"create": {"u": {"title": "b", "subTodoIds": ["#t"]}}}),
        ("Todo/set", {"update": {"#u": {"title": "B"}}, "destroy": ["#t"]}),
    )
    box = responses[0][1]["created"]["box"]["id"]
    assert box.startswith("m")
    t, u = (responses[n][1]["created"][key]["id"] for n, key in ((1, "t"), (2, "u")))
    assert list(responses[3][1]["updated"]) == [u]
    assert responses[3][1]["destroyed"] == [t]
    todo = await jmap.get("Todo", u)
    assert (todo["title"], todo["subTodoIds"]) == ("B", None), "who refers to it is told by a hook"


@pytest.mark.must
async def test_a_creation_id_used_again_means_the_last_one(jmap: Jmap) -> None:
    responses = await jmap.responses(
        ("Todo/set", {"create": {"k": {"title": "first"}}}),
        ("Todo/set", {"create": {"k": {"title": "second"}}}),
        ("Todo/set", {"create": {"top": {"title": "top", "subTodoIds": ["#k"]}}}),
    )
    second = responses[1][1]["created"]["k"]["id"]
    assert (await jmap.get("Todo", responses[2][1]["created"]["top"]["id"]))["subTodoIds"] == [second]


async def test_a_record_is_made_changed_and_destroyed_in_one_call(jmap: Jmap) -> None:
    response = await jmap.call(
        "Todo/set",
        create={"k": {"title": "a"}, "gone": {"title": "g"}},
        update={"#k": {"title": "b c"}},
        destroy=["#gone"],
    )
    k, gone = response["created"]["k"]["id"], response["created"]["gone"]["id"]
    assert list(response["updated"]) == [k]
    assert response["destroyed"] == [gone]
    assert [todo["title"] for todo in (await jmap.call("Todo/get", ids=None))["list"]] == ["b c"]


async def test_unknown_creation_ids_are_not_found(jmap: Jmap) -> None:
    response = await jmap.call("Todo/set", update={"#no": {}}, destroy=["#no", "#"])
    assert response["notUpdated"]["#no"]["type"] == "notFound"
    assert {error["type"] for error in response["notDestroyed"].values()} == {"notFound"}


async def test_creation_ids_as_keys_of_a_patch(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    response = await jmap.call(
        "Todo/set", create={"k": {"title": "k"}}, update={id: {"notes": {"#k": "see"}}}
    )
    assert (await jmap.get("Todo", id))["notes"] == {response["created"]["k"]["id"]: "see"}


@pytest.mark.must
async def test_two_records_may_swap_what_is_unique(jmap: Jmap) -> None:
    a, b, c = [await mailbox(jmap, name) for name in "ABC"]
    response = await jmap.call("Mailbox/set", update={a: {"name": "B"}, b: {"name": "C"}, c: {"name": "A"}})
    assert set(response["updated"]) == {a, b, c}
    found = (await jmap.call("Mailbox/get", ids=[a, b, c], properties=["name"]))["list"]
    assert [box["name"] for box in found] == ["B", "C", "A"]


async def mailbox(jmap: Jmap, name: str) -> str:
    id: str = (await jmap.call("Mailbox/set", create={"m": {"name": name}}))["created"]["m"]["id"]
    return id


async def test_the_first_of_two_equal_ones_stays(jmap: Jmap) -> None:
    response = await jmap.call("Todo/set", create={key: {"title": key, "slug": "s"} for key in "abc"})
    assert set(response["created"]) == {"a"}
    error = response["notCreated"]["b"]
    assert error["type"] == "alreadyExists"
    assert error["existingId"]
    other = await jmap.call(
        "Todo/set", create={"d": {"title": "d", "slug": "s"}, "e": {"title": "e", "slug": None}}
    )
    assert other["notCreated"]["d"]["existingId"] == response["created"]["a"]["id"]
    assert set(other["created"]) == {"e"}


async def test_a_refused_rename_stands_in_the_way_of_another(jmap: Jmap) -> None:
    a, b, c = [await mailbox(jmap, name) for name in "ABC"]
    response = await jmap.call("Mailbox/set", update={a: {"name": "B"}, b: {"name": "C"}})
    assert set(response["notUpdated"]) == {a, b}
    assert response["updated"] is None
    names = (await jmap.call("Mailbox/get", ids=[a, b, c], properties=["name"]))["list"]
    assert [box["name"] for box in names] == ["A", "B", "C"]


async def test_a_name_that_a_destroyed_record_had_is_free(jmap: Jmap) -> None:
    a = await mailbox(jmap, "A")
    response = await jmap.call("Mailbox/set", destroy=[a], create={"m": {"name": "A"}})
    assert response["destroyed"] == [a]
    assert response["created"]


async def test_a_thousand_conflicts_take_no_long_time(jmap: Jmap) -> None:
    started = time.perf_counter()
    response = await jmap.call(
        "Todo/set", create={f"c{n}": {"title": "x", "slug": "same"} for n in range(1000)}
    )
    assert len(response["created"]) == 1
    assert len(response["notCreated"]) == 999
    assert time.perf_counter() - started < 10
