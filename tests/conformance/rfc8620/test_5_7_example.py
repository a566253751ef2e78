"""The worked example of RFC 8620 §5.7, call by call."""

import pytest

from jmap import Jmap

pytestmark = pytest.mark.rfc("8620", "5.7")

FILTER = {"operator": "OR", "conditions": [{"hasKeyword": "music"}, {"hasKeyword": "video"}]}
SORT = [{"property": "title"}]
PIANO = {"music": True, "beethoven": True, "mozart": True, "liszt": True, "rachmaninov": True}


async def two_todos(jmap: Jmap) -> tuple[str, str]:
    watch = {
        "title": "Watch Daft Punk music video",
        "keywords": {"music": True, "video": True, "trance": True},
    }
    create = {"b": watch, "a": {"title": "Practise Piano", "keywords": PIANO}, "c": {"title": "Sleep"}}
    created = (await jmap.call("Todo/set", create=create))["created"]
    return created["a"]["id"], created["b"]["id"]


async def test_query_and_get_in_one_request(jmap: Jmap) -> None:
    a, b = await two_todos(jmap)
    ids = {"resultOf": "0", "name": "Todo/query", "path": "/ids"}
    query, get = await jmap.responses(
        ("Todo/query", {"filter": FILTER, "sort": SORT, "position": 0, "limit": 10}),
        ("Todo/get", {"#ids": ids}),
    )
    assert query[1]["ids"] == [a, b]
    assert query[1]["canCalculateChanges"] is True
    assert "total" not in query[1]
    assert "limit" not in query[1]
    assert get[1]["list"][0]["keywords"] == PIANO
    assert get[1]["list"][0]["neuralNetworkTimeEstimation"] == 3120


@pytest.mark.parametrize("whole", [True, False])
async def test_a_whole_object_and_a_minimal_patch_do_the_same(jmap: Jmap, whole: bool) -> None:
    a, _ = await two_todos(jmap)
    before = await jmap.call("Todo/get", ids=[a])
    todo = before["list"][0]
    keywords = {"music": True, "beethoven": True, "chopin": True, "liszt": True, "rachmaninov": True}
    patch = {**todo, "keywords": keywords} if whole else {"keywords/chopin": True, "keywords/mozart": None}
    patch = patch if whole else {**patch, "keywords/trill": True}
    response = await jmap.call("Todo/set", ifInState=before["state"], update={a: patch})
    assert response["oldState"] == before["state"]
    assert response["newState"] != before["state"]
    # One keyword more: the server's estimation changed, which was not asked for.
    assert response["updated"] == {a: None if whole else {"neuralNetworkTimeEstimation": 3720}}
    expected = keywords if whole else {**keywords, "trill": True}
    assert (await jmap.get("Todo", a))["keywords"] == expected


async def test_a_sub_todo_by_its_creation_id(jmap: Jmap) -> None:
    a, _ = await two_todos(jmap)
    create = {"k15": {"title": "Warm up with scales"}}
    response = await jmap.call("Todo/set", create=create, update={a: {"subTodoIds": ["#k15"]}})
    assert (await jmap.get("Todo", a))["subTodoIds"] == [response["created"]["k15"]["id"]]


async def test_another_user_destroys_a_todo(jmap: Jmap) -> None:
    a, b = await two_todos(jmap)
    todos = await jmap.call("Todo/get", ids=[])
    query = await jmap.call("Todo/query", filter=FILTER, sort=SORT)
    assert query["ids"] == [a, b]
    await jmap.call("Todo/set", destroy=[b])
    changes, query_changes = await jmap.responses(
        ("Todo/changes", {"sinceState": todos["state"], "maxChanges": 50}),
        (
            "Todo/queryChanges",
            {"filter": FILTER, "sort": SORT, "sinceQueryState": query["queryState"], "maxChanges": 50},
        ),
    )
    assert (changes[1]["created"], changes[1]["updated"], changes[1]["destroyed"]) == ([], [], [b])
    assert query_changes[1]["removed"] == [b]
    assert query_changes[1]["added"] == []


async def test_a_move_to_another_account(jmap: Jmap, second: Jmap) -> None:
    a, _ = await two_todos(jmap)
    copy = {"fromAccountId": jmap.account, "create": {"k5122": {"id": a}}, "onSuccessDestroyOriginal": True}
    first, then = await second.responses(("Todo/copy", copy))
    assert (first[0], first[2]) == ("Todo/copy", "0")
    assert (then[0], then[2]) == ("Todo/set", "0")
    copied = first[1]["created"]["k5122"]["id"]
    assert first[1]["fromAccountId"] == jmap.account
    assert then[1]["accountId"] == jmap.account
    assert then[1]["destroyed"] == [a]
    assert (await second.get("Todo", copied))["keywords"] == PIANO
    assert (await jmap.call("Todo/get", ids=[a]))["notFound"] == [a]
