"""RFC 8621 §8: VacationResponse/get, VacationResponse/set."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jmap import Jmap
from veredus.mail import vacation

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should

ONLY = "singleton"
NOTHING = {
    "id": ONLY,
    "isEnabled": False,
    "fromDate": None,
    "toDate": None,
    "subject": None,
    "textBody": None,
    "htmlBody": None,
}


@rfc("8621", "1.3")
@must
async def test_the_capability_is_empty(sender: Jmap) -> None:
    session = json.loads((await sender.app.engine.session(sender.identity, "http://test"))[0])
    name = "urn:ietf:params:jmap:vacationresponse"
    assert session["capabilities"][name] == {}
    assert session["accounts"][sender.account]["accountCapabilities"][name] == {}


@rfc("8621", "8.1")
@must
async def test_there_is_exactly_one_before_anybody_has_written_it(sender: Jmap) -> None:
    everything = await sender.call("VacationResponse/get", ids=None)
    assert everything["list"] == [NOTHING]
    some = await sender.call("VacationResponse/get", ids=["x", ONLY, ONLY], properties=["subject"])
    assert some["list"] == [{"id": ONLY, "subject": None}]
    assert some["notFound"] == ["x"]
    assert (await sender.call("VacationResponse/get", ids=[]))["list"] == []
    assert (await sender.error("VacationResponse/get", ids=None, properties=["x"]))["type"] == (
        "invalidArguments"
    )


@rfc("8621", "8.2")
@must
async def test_it_is_neither_created_nor_destroyed(sender: Jmap) -> None:
    assert (await sender.refused("VacationResponse", "create", {}))["type"] == "singleton"
    assert (await sender.refused("VacationResponse", "destroy", ONLY))["type"] == "singleton"
    assert (await sender.refused("VacationResponse", "destroy", "other"))["type"] == "notFound"
    assert (await sender.refused("VacationResponse", "update", ("other", {})))["type"] == "notFound"
    # A refused destruction does not keep an update from being done.
    both = await sender.call("VacationResponse/set", update={ONLY: {"subject": "Away"}}, destroy=[ONLY])
    assert (both["updated"], both["destroyed"]) == ({ONLY: None}, None)
    await sender.update("VacationResponse", ONLY, isEnabled=True)
    assert (await sender.refused("VacationResponse", "create", {}))["type"] == "singleton"
    assert (await sender.refused("VacationResponse", "destroy", ONLY))["type"] == "singleton"


@rfc("8621", "8.2")
@must
async def test_an_update_changes_what_it_names_and_the_state(sender: Jmap) -> None:
    before = await sender.state("VacationResponse")
    await sender.update("VacationResponse", ONLY, isEnabled=True, subject="Away", textBody="Back on Monday.")
    first = await sender.state("VacationResponse")
    assert first != before
    await sender.update("VacationResponse", ONLY, fromDate="2026-07-01T00:00:00Z", subject=None)
    found = await sender.get("VacationResponse", ONLY)
    assert found == {
        **NOTHING,
        "isEnabled": True,
        "fromDate": "2026-07-01T00:00:00Z",
        "textBody": "Back on Monday.",
    }
    state = await sender.state("VacationResponse")
    assert state != first
    assert (await sender.error("VacationResponse/set", ifInState=first, update={}))["type"] == "stateMismatch"
    response = await sender.set("VacationResponse", update={ONLY: {"isEnabled": True}})
    assert (response["oldState"], response["newState"]) == (state, state)


@rfc("8621", "8")
@must
@pytest.mark.parametrize(
    ("patch", "properties"),
    [
        ({"isEnabled": "yes"}, ["isEnabled"]),
        ({"fromDate": "2026-07-01T00:00:00+02:00"}, ["fromDate"]),
        ({"fromDate": "tomorrow"}, ["fromDate"]),
        ({"toDate": "2026-02-30T00:00:00Z"}, ["toDate"]),
        ({"fromDate": "2026-07-02T00:00:00Z", "toDate": "2026-07-01T00:00:00Z"}, ["fromDate", "toDate"]),
        ({"fromDate": "2026-07-01T00:00:00.5Z", "toDate": "2026-07-01T00:00:00Z"}, ["fromDate", "toDate"]),
        ({"subject": "one\r\nBcc: two@example.com"}, ["subject"]),
        ({"subject": 1}, ["subject"]),
        ({"id": "other"}, ["id"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
async def test_a_wrong_value_is_refused_and_leaves_no_trace(
    sender: Jmap, patch: dict[str, Any], properties: list[str]
) -> None:
    state = await sender.state("VacationResponse")
    error = await sender.refused("VacationResponse", "update", (ONLY, patch))
    assert (error["type"], error["properties"]) == ("invalidProperties", properties)
    assert await sender.call("VacationResponse/get", ids=None) == {
        "accountId": sender.account,
        "state": state,
        "list": [NOTHING],
        "notFound": [],
    }


@rfc("8621", "8")
@must
async def test_there_are_no_methods_but_get_and_set(sender: Jmap) -> None:
    for verb in ("changes", "query", "queryChanges", "copy"):
        assert (await sender.error(f"VacationResponse/{verb}"))["type"] == "unknownMethod"


@rfc("8621", "8")
@should
async def test_messages_are_answered_from_the_first_moment_until_before_the_last(sender: Jmap) -> None:
    async def answers(*at: str) -> list[bool]:
        async with sender.app.store.read(sender.account) as snapshot:
            found = await vacation.load(snapshot)
        return [found.answers(datetime.fromisoformat(moment).astimezone(UTC)) for moment in at]

    around = ("2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z", "2026-07-07T23:59:59Z", "2026-07-08T00:00:00Z")
    assert await answers(*around) == [False, False, False, False]
    await sender.update("VacationResponse", ONLY, isEnabled=True)
    assert await answers(*around) == [True, True, True, True]
    await sender.update("VacationResponse", ONLY, fromDate=around[1])
    assert await answers(*around) == [False, True, True, True]
    await sender.update("VacationResponse", ONLY, toDate=around[3])
    assert await answers(*around) == [False, True, True, False]
    await sender.update("VacationResponse", ONLY, isEnabled=False)
    assert await answers(*around) == [False, False, False, False]
