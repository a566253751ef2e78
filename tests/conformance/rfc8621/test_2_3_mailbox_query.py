"""RFC 8621 §2.3, §2.4: Mailbox/query and Mailbox/queryChanges."""

from typing import Any

import pytest

from jmap import Jmap

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "2.3")

BY_NAME = [{"property": "name"}]


async def tree(jmap: Jmap) -> dict[str, str]:
    """Mailboxes below Archive: a > (z > y, b), c; ids by name."""
    root = await jmap.mailbox("archive")
    made = (
        await jmap.set(
            "Mailbox",
            create={
                "a": {"name": "a", "parentId": root, "sortOrder": 1},
                "z": {"name": "z", "parentId": "#a", "sortOrder": 2},
                "y": {"name": "y", "parentId": "#z", "sortOrder": 0, "isSubscribed": False},
                "b": {"name": "b", "parentId": "#a", "sortOrder": 3},
                "c": {"name": "c", "parentId": root, "sortOrder": 0},
            },
        )
    )["created"]
    return {name: box["id"] for name, box in made.items()} | {"root": root}


async def names(jmap: Jmap, **args: Any) -> list[str]:
    """Names of the mailboxes that a query finds, in its order."""
    ids = await jmap.query("Mailbox", **args)
    found = (await jmap.call("Mailbox/get", ids=ids, properties=["name"]))["list"]
    by_id = {box["id"]: box["name"] for box in found}
    return [by_id[id] for id in ids]


@must
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"name": "R"}, ["Archive", "Drafts", "Trash"]),
        ({"role": "junk"}, ["Junk"]),
        ({"role": None}, ["a", "b", "c", "y", "z"]),
        ({"hasAnyRole": True}, ["Archive", "Drafts", "Inbox", "Junk", "Sent", "Trash"]),
        ({"hasAnyRole": False}, ["a", "b", "c", "y", "z"]),
        ({"hasAnyRole": False, "isSubscribed": True}, ["a", "b", "c", "z"]),
        ({"isSubscribed": False}, ["y"]),
        ({"parentId": None, "hasAnyRole": False}, []),
        ({"operator": "OR", "conditions": [{"role": "inbox"}, {"name": "z"}]}, ["Inbox", "z"]),
        ({"operator": "NOT", "conditions": [{"hasAnyRole": True}, {"name": "z"}]}, ["a", "b", "c", "y"]),
        ({"operator": "AND", "conditions": []}, None),
        ({}, None),
        (None, None),
    ],
)
async def test_every_filter_selects(jmap: Jmap, filter: Any, expected: list[str] | None) -> None:
    await tree(jmap)
    found = await names(jmap, filter=filter, sort=BY_NAME)
    assert found == (expected if expected is not None else sorted(found, key=str.casefold))
    assert expected is not None or len(found) == 11


@must
async def test_children_of_a_mailbox_are_found(jmap: Jmap) -> None:
    boxes = await tree(jmap)
    assert await names(jmap, filter={"parentId": boxes["a"]}, sort=BY_NAME) == ["b", "z"]
    assert await names(jmap, filter={"parentId": boxes["y"]}) == []


@must
@pytest.mark.parametrize("filter", [{"size": 1}, {"operator": "AND", "conditions": [{"nothing": True}]}])
async def test_an_unknown_filter_is_unsupported(jmap: Jmap, filter: Any) -> None:
    assert (await jmap.error("Mailbox/query", filter=filter))["type"] == "unsupportedFilter"


@must
@pytest.mark.parametrize(
    "filter",
    [{"hasAnyRole": "yes"}, {"name": 1}, {"operator": "XOR", "conditions": []}, {"operator": "AND"}, 7],
)
async def test_a_malformed_filter_is_invalid(jmap: Jmap, filter: Any) -> None:
    assert (await jmap.error("Mailbox/query", filter=filter))["type"] == "invalidArguments"


@must
async def test_mailboxes_sort_by_order_and_name(jmap: Jmap) -> None:
    boxes = await tree(jmap)
    below = {"operator": "OR", "conditions": [{"parentId": boxes["a"]}, {"parentId": boxes["root"]}]}
    order = [{"property": "sortOrder", "isAscending": False}]
    assert await names(jmap, filter=below, sort=order) == ["b", "z", "a", "c"]
    assert await names(jmap, filter=below, sort=[{"property": "name", "isAscending": False}]) == list("zcba")
    for collation in ("i;ascii-casemap", "i;unicode-casemap"):
        assert await names(jmap, filter=below, sort=[{"property": "name", "collation": collation}]) == list(
            "abcz"
        )


@must
@pytest.mark.parametrize("sort", [[{"property": "role"}], [{"property": "name", "collation": "i;klingon"}]])
async def test_an_unknown_sort_is_unsupported(jmap: Jmap, sort: Any) -> None:
    assert (await jmap.error("Mailbox/query", sort=sort))["type"] == "unsupportedSort"


@must
async def test_sorted_as_a_tree_children_follow_their_parent(jmap: Jmap) -> None:
    await tree(jmap)
    found = await names(jmap, sort=BY_NAME, sortAsTree=True)
    assert found == ["Archive", "a", "b", "z", "y", "c", "Drafts", "Inbox", "Junk", "Sent", "Trash"]
    by_order = await names(jmap, sort=[{"property": "sortOrder"}], sortAsTree=True)
    assert by_order[by_order.index("Archive") :][:6] == ["Archive", "c", "a", "z", "y", "b"]


@must
async def test_sorted_as_a_tree_with_parents_filtered_out(jmap: Jmap) -> None:
    await tree(jmap)
    # Neither a nor z is there, and yet y stands where z would: before c, which shares the parent of a.
    not_a = {"operator": "NOT", "conditions": [{"name": "a"}, {"name": "z"}]}
    found = await names(jmap, filter=not_a, sort=BY_NAME, sortAsTree=True)
    assert found == ["b", "y", "c", "Inbox", "Junk", "Sent"]


@must
async def test_filtered_as_a_tree_all_ancestors_must_match(jmap: Jmap) -> None:
    boxes = await tree(jmap)
    not_z = {"operator": "NOT", "conditions": [{"name": "z"}]}
    found = await names(jmap, filter=not_z, sort=BY_NAME, filterAsTree=True)
    assert "y" not in found
    assert "b" in found
    assert await names(jmap, filter={"hasAnyRole": False}, filterAsTree=True) == []
    only = await jmap.query("Mailbox", filter={"name": "y"}, filterAsTree=True)
    assert boxes["y"] not in only


@must
async def test_windows_and_totals_of_a_tree(jmap: Jmap) -> None:
    await tree(jmap)
    everything = await jmap.query("Mailbox", sort=BY_NAME, sortAsTree=True)
    found = await jmap.call(
        "Mailbox/query", sort=BY_NAME, sortAsTree=True, position=2, limit=3, calculateTotal=True
    )
    assert (found["ids"], found["total"], found["position"]) == (everything[2:5], 11, 2)
    found = await jmap.call(
        "Mailbox/query", sort=BY_NAME, sortAsTree=True, anchor=everything[4], anchorOffset=-1, limit=2
    )
    assert (found["ids"], found["position"]) == (everything[3:5], 3)


@rfc("8621", "2.4")
@must
@pytest.mark.parametrize("args", [{}, {"sortAsTree": True, "filterAsTree": True}])
async def test_changes_of_a_query_can_be_spliced(jmap: Jmap, args: dict[str, Any]) -> None:
    boxes = await tree(jmap)
    args = {"filter": {"isSubscribed": True}, "sort": BY_NAME, **args}
    before = await jmap.call("Mailbox/query", **args)
    assert before["canCalculateChanges"] is True
    await jmap.set(
        "Mailbox",
        create={"new": {"name": "aa", "parentId": boxes["root"]}},
        update={boxes["a"]: {"name": "zz"}, boxes["c"]: {"isSubscribed": False}},
        destroy=[boxes["b"]],
    )
    changes = await jmap.call("Mailbox/queryChanges", sinceQueryState=before["queryState"], **args)
    ids = [id for id in before["ids"] if id not in changes["removed"]]
    for item in changes["added"]:
        ids.insert(item["index"], item["id"])
    assert ids == await jmap.query("Mailbox", **args)


@rfc("8621", "2.4")
@should
async def test_counters_move_nothing(jmap: Jmap) -> None:
    before = await jmap.call("Mailbox/query", sort=BY_NAME)
    await jmap.import_email(b"Subject: x\r\n\r\n")
    changes = await jmap.call("Mailbox/queryChanges", sinceQueryState=before["queryState"], sort=BY_NAME)
    assert (changes["removed"], changes["added"]) == ([], [])
    assert changes["newQueryState"] != before["queryState"]
