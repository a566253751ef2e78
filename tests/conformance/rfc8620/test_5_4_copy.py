"""Foo/copy (RFC 8620 §5.4)."""

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.4")


async def state(jmap: Jmap) -> str:
    found: str = (await jmap.call("Todo/get", ids=[]))["state"]
    return found


@pytest.mark.must
async def test_a_copy_has_what_the_original_has_but_what_is_given(jmap: Jmap, second: Jmap) -> None:
    (id,) = await create(jmap, "a", keywords={"x": True}, priority=3, slug="s")
    wanted = {"c": {"id": id, "title": "b", "keywords": {"y": True}}}
    response = await second.call("Todo/copy", fromAccountId=jmap.account, create=wanted)
    assert (response["fromAccountId"], response["accountId"]) == (jmap.account, second.account)
    assert response["notCreated"] is None
    assert response["oldState"] != response["newState"] == await state(second)
    made = response["created"]["c"]
    assert made["id"] != id
    assert "title" not in made
    todo = await second.get("Todo", made["id"])
    assert {name: todo[name] for name in ("title", "keywords", "priority", "slug")} == {
        "title": "b",
        "keywords": {"y": True},
        "priority": 3,
        "slug": "s",
    }
    assert (await jmap.get("Todo", id))["title"] == "a"


@pytest.mark.must
async def test_each_copy_succeeds_or_fails_by_itself(jmap: Jmap, second: Jmap) -> None:
    (id,) = await create(jmap, "a", slug="s")
    wanted = {
        "good": {"id": id},
        "twice": {"id": id},
        "missing": {"id": "nope"},
        "none": {},
        "odd": {"id": 1},
        "bad": {"id": id, "title": 1, "nope": 1},
        "server": {"id": id, "slug": "u", "neuralNetworkTimeEstimation": 1},
    }
    response = await second.call("Todo/copy", fromAccountId=jmap.account, create=wanted)
    assert set(response["created"]) == {"good"}
    errors = {key: error["type"] for key, error in response["notCreated"].items()}
    assert errors == {
        "twice": "alreadyExists",
        "missing": "notFound",
        "none": "invalidProperties",
        "odd": "invalidProperties",
        "bad": "invalidProperties",
        "server": "invalidProperties",
    }
    assert response["notCreated"]["twice"]["existingId"] == response["created"]["good"]["id"]
    assert response["notCreated"]["bad"]["properties"] == ["title", "nope"]


@pytest.mark.must
async def test_states_must_match(jmap: Jmap, second: Jmap) -> None:
    (id,) = await create(jmap, "a")
    await create(second, "b")
    here, there = await state(second), await state(jmap)
    good = {"fromAccountId": jmap.account, "create": {"c": {"id": id}}}
    for states in ({"ifInState": "nope"}, {"ifFromInState": "nope"}):
        assert (await second.error("Todo/copy", **good, **states))["type"] == "stateMismatch"
    assert (await second.call("Todo/copy", **good, ifInState=here, ifFromInState=there))["created"]


@pytest.mark.must
async def test_originals_of_the_successful_ones_are_destroyed(jmap: Jmap, second: Jmap) -> None:
    a, b = await create(jmap, "a", "b")
    wanted = {"a": {"id": a}, "b": {"id": b, "title": 1}}
    destroy = {"onSuccessDestroyOriginal": True, "destroyFromIfInState": await state(jmap)}
    copied, then = await second.responses(
        ("Todo/copy", {"fromAccountId": jmap.account, "create": wanted, **destroy})
    )
    assert set(copied[1]["created"]) == {"a"}
    assert (then[0], then[2]) == ("Todo/set", copied[2])
    assert then[1]["destroyed"] == [a]
    assert [todo["id"] for todo in (await jmap.call("Todo/get", ids=None))["list"]] == [b]


async def test_a_destruction_that_is_refused_leaves_the_copy(jmap: Jmap, second: Jmap) -> None:
    (id,) = await create(jmap, "a")
    copy = {"fromAccountId": jmap.account, "create": {"c": {"id": id}}, "onSuccessDestroyOriginal": True}
    responses = await second.responses(
        ("Todo/copy", {**copy, "destroyFromIfInState": "nope"}), ("Core/echo", {})
    )
    assert [name for name, _, _ in responses] == ["Todo/copy", "error", "Core/echo"]
    assert responses[1][1]["type"] == "stateMismatch"
    assert (await jmap.call("Todo/get", ids=[id]))["notFound"] == []
    assert len((await second.call("Todo/get", ids=None))["list"]) == 1


async def test_nothing_copied_destroys_nothing(jmap: Jmap, second: Jmap) -> None:
    copy = {"fromAccountId": jmap.account, "create": {"c": {"id": "x"}}, "onSuccessDestroyOriginal": True}
    assert len(await second.responses(("Todo/copy", copy))) == 1


@pytest.mark.must
async def test_the_accounts_must_differ_and_be_seen(jmap: Jmap) -> None:
    assert (await jmap.error("Todo/copy", fromAccountId=jmap.account, create={}))[
        "type"
    ] == "invalidArguments"
    assert (await jmap.error("Todo/copy", fromAccountId="nope", create={}))["type"] == "fromAccountNotFound"


async def test_an_account_that_may_only_be_read_can_be_copied_from(jmap: Jmap, reader: Jmap) -> None:
    (id,) = await create(jmap, "a")
    own = next(
        info.id for info in await jmap.app.directory.accounts(reader.identity.user) if info.is_personal
    )
    into = Jmap(jmap.app, reader.identity.user, own)
    into.using = jmap.using
    copy = {"fromAccountId": jmap.account, "create": {"c": {"id": id}}, "onSuccessDestroyOriginal": True}
    responses = await into.responses(("Todo/copy", copy))
    assert responses[0][1]["created"]
    assert responses[1][1]["type"] == "accountReadOnly"
    assert (await jmap.call("Todo/get", ids=[id]))["notFound"] == []


async def test_copies_have_creation_ids(jmap: Jmap, second: Jmap) -> None:
    (id,) = await create(jmap, "a")
    copied, made = await second.responses(
        ("Todo/copy", {"fromAccountId": jmap.account, "create": {"c": {"id": id}}}),
        ("Todo/set", {"create": {"top": {"title": "t", "subTodoIds": ["#c"]}}}),
    )
    top = await second.get("Todo", made[1]["created"]["top"]["id"])
    assert top["subTodoIds"] == [copied[1]["created"]["c"]["id"]]


async def test_too_many_are_too_large(jmap: Jmap, second: Jmap) -> None:
    create = {f"c{n}": {"id": "x"} for n in range(1001)}
    assert (await second.error("Todo/copy", fromAccountId=jmap.account, create=create))[
        "type"
    ] == "requestTooLarge"
