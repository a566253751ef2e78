"""Foo/changes (RFC 8620 §5.2)."""

from typing import Any

import pytest

from jmap import Jmap
from todo import create

pytestmark = pytest.mark.rfc("8620", "5.2")


async def state(jmap: Jmap) -> str:
    found: str = (await jmap.call("Todo/get", ids=[]))["state"]
    return found


def lists(response: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    return response["created"], response["updated"], response["destroyed"]


async def test_nothing_changed(jmap: Jmap) -> None:
    for since in ("0", await state(jmap)):
        response = await jmap.call("Todo/changes", sinceState=since)
        assert lists(response) == ([], [], [])
        assert response["oldState"] == since
        assert response["hasMoreChanges"] is False
        assert response["accountId"] == jmap.account


@pytest.mark.must
async def test_each_kind_of_change_has_its_list(jmap: Jmap) -> None:
    kept, changed, gone = await create(jmap, "a", "b", "c")
    since = await state(jmap)
    (new,) = await create(jmap, "d")
    await jmap.call("Todo/set", update={changed: {"title": "B"}}, destroy=[gone])
    response = await jmap.call("Todo/changes", sinceState=since)
    assert lists(response) == ([new], [changed], [gone])
    assert response["newState"] == await state(jmap)
    assert kept not in str(response)


@pytest.mark.should
async def test_several_changes_of_one_record_are_one(jmap: Jmap) -> None:
    first, second = await create(jmap, "a", "b")
    since = await state(jmap)
    (both,) = await create(jmap, "c")
    (short_lived,) = await create(jmap, "d")
    for title in "xyz":
        await jmap.call("Todo/set", update={first: {"title": title}, both: {"title": title}})
    await jmap.call("Todo/set", update={second: {"title": "y"}})
    await jmap.call("Todo/set", destroy=[second, short_lived])
    assert lists(await jmap.call("Todo/changes", sinceState=since)) == ([both], [first], [second])


@pytest.mark.must
@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_lead_to_the_current_state(jmap: Jmap, size: int) -> None:
    old = await create(jmap, *"abc")
    since = await state(jmap)
    new = await create(jmap, *"defg")
    await jmap.call(
        "Todo/set", update={old[0]: {"title": "A"}, new[0]: {"title": "D"}}, destroy=[old[1], new[1]]
    )
    known = set(old)
    while True:
        response = await jmap.call("Todo/changes", sinceState=since, maxChanges=size)
        created, updated, destroyed = map(set, lists(response))
        assert len(created) + len(updated) + len(destroyed) <= size
        assert not created & known
        assert destroyed <= known | created
        known = (known | created) - destroyed
        assert response["newState"] != since or not response["hasMoreChanges"]
        since = response["newState"]
        if not response["hasMoreChanges"]:
            break
    assert since == await state(jmap)
    assert known == {todo["id"] for todo in (await jmap.call("Todo/get", ids=None))["list"]}


@pytest.mark.must
@pytest.mark.parametrize("since", ["", "nope", "-1", "1.0", "0x1", "٣", "9" * 18, "9" * 100, " 1"])
async def test_a_state_that_was_never_given_out_is_refused(jmap: Jmap, since: str) -> None:
    assert (await jmap.error("Todo/changes", sinceState=since))["type"] == "cannotCalculateChanges"


async def test_other_types_and_other_accounts_do_not_appear(jmap: Jmap, second: Jmap) -> None:
    since = await state(jmap)
    await create(second, "a")
    await jmap.call("Mailbox/set", create={"m": {"name": "M"}})
    assert lists(await jmap.call("Todo/changes", sinceState=since)) == ([], [], [])


async def test_an_update_to_what_it_is_changes_nothing(jmap: Jmap) -> None:
    (id,) = await create(jmap, "a")
    since = await state(jmap)
    response = await jmap.call("Todo/set", update={id: {"title": "a", "keywords": {}}})
    assert response["updated"] == {id: None}
    assert response["newState"] == since
