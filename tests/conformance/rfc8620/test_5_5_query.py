"""Foo/query (RFC 8620 §5.5)."""

from typing import Any

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.5")

MUSIC, VIDEO = {"hasKeyword": "music"}, {"hasKeyword": "video"}


async def five(jmap: Jmap) -> list[str]:
    """Todos a (music), b (video), c (both), d and e (none)."""
    wanted = {"a": ["music"], "b": ["video"], "c": ["music", "video"], "d": [], "e": []}
    create = {t: {"title": t, "keywords": dict.fromkeys(keywords, True)} for t, keywords in wanted.items()}
    created = (await jmap.call("Todo/set", create=create))["created"]
    return [created[title]["id"] for title in "abcde"]


async def titles(jmap: Jmap, **arguments: Any) -> str:
    arguments.setdefault("sort", [{"property": "title"}])
    response = await jmap.call("Todo/query", **arguments)
    found = (await jmap.call("Todo/get", ids=response["ids"], properties=["title"]))["list"]
    by_id = {todo["id"]: todo["title"] for todo in found}
    return "".join(by_id[id] for id in response["ids"])


@pytest.mark.must
@pytest.mark.parametrize(
    ("filter", "found"),
    [
        (None, "abcde"),
        ({}, "abcde"),
        (MUSIC, "ac"),
        ({"hasKeyword": "music", "title": "c"}, "c"),
        ({"operator": "AND", "conditions": [MUSIC, VIDEO]}, "c"),
        ({"operator": "OR", "conditions": [MUSIC, VIDEO]}, "abc"),
        ({"operator": "NOT", "conditions": [MUSIC, VIDEO]}, "de"),
        ({"operator": "AND", "conditions": []}, "abcde"),
        ({"operator": "OR", "conditions": []}, ""),
        ({"operator": "NOT", "conditions": []}, "abcde"),
        ({"operator": "AND", "conditions": [{}]}, "abcde"),
        ({"operator": "NOT", "conditions": [{}]}, ""),
        ({"operator": "NOT", "conditions": [{"operator": "NOT", "conditions": [MUSIC]}]}, "ac"),
        (
            {
                "operator": "OR",
                "conditions": [
                    {"operator": "AND", "conditions": [MUSIC, {"operator": "NOT", "conditions": [VIDEO]}]},
                    {"title": "E"},
                ],
            },
            "ae",
        ),
    ],
)
async def test_filters(jmap: Jmap, filter: Any, found: str) -> None:
    await five(jmap)
    assert await titles(jmap, filter=filter) == found
    total = (await jmap.call("Todo/query", filter=filter, calculateTotal=True, limit=1))["total"]
    assert total == len(found)


@pytest.mark.must
@pytest.mark.parametrize(
    "filter",
    [
        {"operator": "XOR", "conditions": []},
        {"operator": "and", "conditions": []},
        {"operator": "AND"},
        {"operator": "AND", "conditions": {}},
        {"operator": "AND", "conditions": [None]},
        {"operator": "AND", "conditions": [1]},
        {"operator": "AND", "conditions": [], "hasKeyword": "x"},
        {"operator": None, "conditions": []},
        {"hasKeyword": 1},
        {"hasKeyword": None},
        {"isDone": "yes"},
        {"isDone": 1},
        {"slug": 1},
        {"slug": ["x"]},
        {"minPriority": "1"},
        {"minPriority": 1.5},
        {"minPriority": True},
        {"minPriority": None},
        {"minPriority": -1},
        {"dueBefore": "tomorrow"},
        {"dueBefore": 5},
        {"dueBefore": None},
        {"text": ["x"]},
        [MUSIC],
        "music",
    ],
)
async def test_a_filter_of_a_wrong_form_is_an_invalid_argument(jmap: Jmap, filter: Any) -> None:
    assert (await jmap.error("Todo/query", filter=filter))["type"] == "invalidArguments"
    error = await jmap.error("Todo/queryChanges", filter=filter, sinceQueryState="0")
    assert error["type"] == "invalidArguments"


@pytest.mark.must
async def test_a_filter_that_the_type_has_not_is_unsupported(jmap: Jmap) -> None:
    for filter in ({"nope": 1}, {"operator": "NOT", "conditions": [{"keywords": "x"}]}):
        assert (await jmap.error("Todo/query", filter=filter))["type"] == "unsupportedFilter"


def nested(depth: int, operator: str = "NOT") -> Any:
    filter: Any = MUSIC
    for _ in range(depth):
        filter = {"operator": operator, "conditions": [filter]}
    return filter


async def test_deep_and_large_filters_work_up_to_a_limit_and_are_refused_beyond(jmap: Jmap) -> None:
    await five(jmap)
    assert await titles(jmap, filter=nested(48)) == "ac"
    for operator in ("AND", "OR", "NOT"):
        assert (await jmap.error("Todo/query", filter=nested(140, operator)))["type"] == "unsupportedFilter"
        wide = {"operator": operator, "conditions": [MUSIC] * 490}
        await jmap.call("Todo/query", filter=wide)
        wide["conditions"] *= 5
        assert (await jmap.error("Todo/query", filter=wide))["type"] == "unsupportedFilter"


@pytest.mark.must
@pytest.mark.parametrize(
    ("arguments", "found", "position"),
    [
        ({"position": 0}, "abcde", 0),
        ({"position": 2}, "cde", 2),
        ({"position": 5}, "", 5),
        ({"position": 99}, "", 99),
        ({"position": -2}, "de", 3),
        ({"position": -5}, "abcde", 0),
        ({"position": -99}, "abcde", 0),
        ({"position": 1, "limit": 2}, "bc", 1),
        ({"position": -3, "limit": 2}, "cd", 2),
        ({"limit": 0}, "", 0),
        ({"position": 3, "limit": 0}, "", 3),
        ({"limit": 99}, "abcde", 0),
        ({"position": 2**53 - 1, "limit": 2**53 - 1}, "", 2**53 - 1),
        ({"position": -(2**53) + 1}, "abcde", 0),
        ({"position": 3, "anchorOffset": -2}, "de", 3),
    ],
)
async def test_windows(jmap: Jmap, arguments: dict[str, Any], found: str, position: int) -> None:
    await five(jmap)
    assert await titles(jmap, **arguments) == found
    response = await jmap.call("Todo/query", sort=[{"property": "title"}], calculateTotal=True, **arguments)
    assert response["position"] == position
    assert response["total"] == 5


@pytest.mark.must
@pytest.mark.parametrize(
    ("offset", "limit", "found", "position"),
    [
        (0, None, "cde", 2),
        (-1, 2, "bc", 1),
        (-99, None, "abcde", 0),
        (1, 1, "d", 3),
        (2, 9, "e", 4),
        (3, 1, "", 5),
    ],
)
async def test_anchors(jmap: Jmap, offset: int, limit: int | None, found: str, position: int) -> None:
    ids = await five(jmap)
    arguments = {"anchor": ids[2], "anchorOffset": offset, "limit": limit, "position": -7}
    assert await titles(jmap, **arguments) == found
    response = await jmap.call("Todo/query", sort=[{"property": "title"}], **arguments)
    assert response["position"] == position


@pytest.mark.must
async def test_an_anchor_that_does_not_match_is_not_found(jmap: Jmap) -> None:
    ids = await five(jmap)
    for anchor in ("nope", ids[4]):
        assert (await jmap.error("Todo/query", anchor=anchor, filter=MUSIC))["type"] == "anchorNotFound"


async def test_a_limit_of_the_server_is_told(jmap: Jmap) -> None:
    assert (await jmap.call("Todo/query"))["limit"] == 100_000
    assert (await jmap.call("Todo/query", limit=2**53 - 1))["limit"] == 100_000
    for limit in (0, 1, 100_000):
        assert "limit" not in await jmap.call("Todo/query", limit=limit)


@pytest.mark.must
async def test_the_total_comes_only_when_asked_for(jmap: Jmap) -> None:
    await five(jmap)
    assert "total" not in await jmap.call("Todo/query")
    assert "total" not in await jmap.call("Todo/query", calculateTotal=False)
    assert (await jmap.call("Todo/query", calculateTotal=True, position=9, limit=0))["total"] == 5


async def test_sorts(jmap: Jmap) -> None:
    wanted = [("b", 1, True), ("A", 2, False), ("ä", 2, True), ("c", 1, False)]
    create = {f"t{n}": {"title": t, "priority": p, "isDone": d} for n, (t, p, d) in enumerate(wanted)}
    await jmap.call("Todo/set", create=create)
    for sort, found in (
        ([{"property": "title"}], "Aäbc"),
        ([{"property": "title", "isAscending": False}], "cbäA"),
        ([{"property": "title", "collation": "i;ascii-casemap"}], "Abcä"),
        ([{"property": "priority"}, {"property": "title"}], "bcAä"),
        (
            [{"property": "priority", "isAscending": False}, {"property": "title", "isAscending": False}],
            "äAcb",
        ),
        ([{"property": "isDone"}, {"property": "title"}], "Acäb"),
        ([{"property": "priority", "collation": "i;unicode-casemap"}, {"property": "title"}], "bcAä"),
        (None, "Aäbc"),
        ([], "Aäbc"),
    ):
        assert await titles(jmap, sort=sort) == found, sort


@pytest.mark.must
@pytest.mark.parametrize(
    ("sort", "type"),
    [
        ([{"property": "nope"}], "unsupportedSort"),
        ([{"property": "id"}], "unsupportedSort"),
        ([{"property": "title", "collation": "i;nope"}], "unsupportedSort"),
        ([{"property": 1}], "invalidArguments"),
        ([{}], "invalidArguments"),
        ([{"property": "title", "isAscending": None}], "invalidArguments"),
        ([{"property": "title", "isAscending": "no"}], "invalidArguments"),
        ([{"property": "title", "collation": 1}], "invalidArguments"),
        (["title"], "invalidArguments"),
        ("title", "invalidArguments"),
    ],
)
async def test_sorts_that_cannot_be(jmap: Jmap, sort: Any, type: str) -> None:
    assert (await jmap.error("Todo/query", sort=sort))["type"] == type


@pytest.mark.must
async def test_the_order_of_equal_records_is_stable(jmap: Jmap) -> None:
    await create(jmap, *["same"] * 30)
    sort = [{"property": "title"}]
    whole = (await jmap.call("Todo/query", sort=sort))["ids"]
    pages = [(await jmap.call("Todo/query", sort=sort, position=n, limit=7))["ids"] for n in range(0, 30, 7)]
    assert [id for page in pages for id in page] == whole


@pytest.mark.must
async def test_the_query_state_changes_with_the_results(jmap: Jmap) -> None:
    ids = await five(jmap)
    states = [(await jmap.call("Todo/query", filter=MUSIC))["queryState"]]
    for step in ({"update": {ids[3]: {"keywords/music": True}}}, {"destroy": [ids[0]]}):
        await jmap.call("Todo/set", **step)
        states.append((await jmap.call("Todo/query", filter=MUSIC))["queryState"])
    assert len(set(states)) == 3


async def test_so_many_comparators_are_unsupported(jmap: Jmap) -> None:
    """Each costs, and databases count columns."""
    await create(jmap, "one")
    sort = [{"property": "title", "isAscending": bool(n % 2)} for n in range(101)]
    assert len((await jmap.call("Todo/query", sort=sort[:100]))["ids"]) == 1
    assert (await jmap.error("Todo/query", sort=sort))["type"] == "unsupportedSort"


async def test_many_words_are_no_trouble(jmap: Jmap) -> None:
    await create(jmap, "one two three")
    assert len((await jmap.call("Todo/query", filter={"text": "three one"}))["ids"]) == 1
    for text in (
        '"one two"',
        "'",
        '"',
        "\\",
        "",
        " ",
        "*",
        "-one",
        "one OR two",
        "NEAR(one)",
        "ONE",
        "é" * 1000,
    ):
        await jmap.call("Todo/query", filter={"text": text})
    long = " ".join(f"w{n}" for n in range(20_000))
    response = (await jmap.responses(("Todo/query", {"filter": {"text": long}})))[0]
    assert response[0] == "Todo/query" or response[1]["type"] == "unsupportedFilter"
