"""Foo/queryChanges (RFC 8620 §5.6)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.6")

SORT = [{"property": "title"}]


def splice(cached: list[str], response: dict[str, Any]) -> list[str]:
    """What a client does with the response."""
    removed = set(response["removed"])
    ids = [id for id in cached if id not in removed]
    assert [item["index"] for item in response["added"]] == sorted(
        item["index"] for item in response["added"]
    )
    for item in response["added"]:
        ids.insert(item["index"], item["id"])
    return ids


async def check(jmap: Jmap, before: dict[str, Any], **query: Any) -> dict[str, Any]:
    """Splicing gives what a new query gives."""
    response = await jmap.call(
        "Todo/queryChanges", sinceQueryState=before["queryState"], calculateTotal=True, **query
    )
    now = await jmap.call("Todo/query", **query)
    assert splice(before["ids"], response) == now["ids"]
    assert response["oldQueryState"] == before["queryState"]
    assert response["newQueryState"] == now["queryState"]
    assert response["total"] == len(now["ids"])
    return dict(response)


async def test_nothing_changed(jmap: Jmap) -> None:
    await create(jmap, "a")
    before = await jmap.call("Todo/query", sort=SORT)
    response = await check(jmap, before, sort=SORT)
    assert (response["removed"], response["added"]) == ([], [])


@pytest.mark.must
async def test_created_changed_and_destroyed_records(jmap: Jmap) -> None:
    a, c, e = await create(jmap, "a", "c", "e", keywords={"x": True})
    query = {"filter": {"hasKeyword": "x"}, "sort": SORT}
    before = await jmap.call("Todo/query", **query)
    (b,) = await create(jmap, "b", keywords={"x": True})
    await create(jmap, "d")
    await jmap.call("Todo/set", update={a: {"title": "z"}, c: {"keywords/x": None}}, destroy=[e])
    response = await check(jmap, before, **query)
    assert set(response["removed"]) >= {a, c, e}
    assert b not in response["removed"]
    assert response["added"] == [{"id": b, "index": 0}, {"id": a, "index": 1}]


@pytest.mark.must
async def test_more_changes_than_wanted(jmap: Jmap) -> None:
    a, b = await create(jmap, "a", "b")
    before = await jmap.call("Todo/query", sort=SORT)
    await jmap.call("Todo/set", update={a: {"title": "c"}}, destroy=[b])
    arguments = {"sinceQueryState": before["queryState"], "sort": SORT}
    assert (await jmap.error("Todo/queryChanges", maxChanges=2, **arguments))["type"] == "tooManyChanges"
    response = await jmap.call("Todo/queryChanges", maxChanges=3, **arguments)
    assert len(response["removed"]) + len(response["added"]) == 3


@pytest.mark.must
async def test_the_total_comes_only_when_asked_for(jmap: Jmap) -> None:
    await create(jmap, "a")
    assert "total" not in await jmap.call("Todo/queryChanges", sinceQueryState="0")
    assert (await jmap.call("Todo/queryChanges", sinceQueryState="0", calculateTotal=True))["total"] == 1


@pytest.mark.parametrize("state", ["", "nope", "-1", "99999999"])
async def test_a_state_that_was_never_given_out(jmap: Jmap, state: str) -> None:
    assert (await jmap.error("Todo/queryChanges", sinceQueryState=state))["type"] == "cannotCalculateChanges"


async def test_errors_of_filters_and_sorts_are_those_of_query(jmap: Jmap) -> None:
    for arguments, type in (
        ({"filter": {"nope": 1}}, "unsupportedFilter"),
        ({"sort": [{"property": "nope"}]}, "unsupportedSort"),
        ({"upToId": 1}, "invalidArguments"),
        ({"maxChanges": -1}, "invalidArguments"),
    ):
        assert (await jmap.error("Todo/queryChanges", sinceQueryState="0", **arguments))["type"] == type


async def test_up_to_id_is_ignored_where_things_may_move(jmap: Jmap) -> None:
    a, b = await create(jmap, "a", "b")
    before = await jmap.call("Todo/query", sort=SORT)
    await create(jmap, "c")
    response = await jmap.call("Todo/queryChanges", sinceQueryState=before["queryState"], sort=SORT, upToId=a)
    assert splice(before["ids"], response) == (await jmap.call("Todo/query", sort=SORT))["ids"]
    assert b in before["ids"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "title", "keyword", "destroy"]), st.integers(0, 5), st.sampled_from("abc")
    ),
    max_size=8,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=STEPS, then=STEPS)
async def test_any_history_can_be_spliced(jmap: Jmap, first: Any, then: Any) -> None:
    queries: list[dict[str, Any]] = [
        {"sort": SORT},
        {"filter": {"hasKeyword": "a"}, "sort": SORT},
        {"filter": {"operator": "NOT", "conditions": [{"hasKeyword": "a"}, {"title": "b"}]}},
        {"filter": {"text": "a"}, "sort": [{"property": "isDone"}]},
    ]
    for steps in (first, then):
        before = [await jmap.call("Todo/query", **query) for query in queries]
        for kind, place, letter in steps:
            ids = (await jmap.call("Todo/query"))["ids"]
            if kind == "create" or place >= len(ids):
                await jmap.call("Todo/set", create={"t": {"title": letter, "keywords": {letter: True}}})
            elif kind == "destroy":
                await jmap.call("Todo/set", destroy=[ids[place]])
            else:
                patch = (
                    {"title": letter * 2} if kind == "title" else {f"keywords/{letter}": None, "isDone": True}
                )
                await jmap.call("Todo/set", update={ids[place]: patch})
        for known, query in zip(before, queries, strict=True):
            await check(jmap, known, **query)
