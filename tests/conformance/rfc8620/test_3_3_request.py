"""The Request and Response objects (RFC 8620 §3.2-§3.5)."""

import json
from typing import Any

import pytest

from jmap import USING, Jmap
from veredus.wire.errors import RequestError

pytestmark = pytest.mark.rfc("8620", "3.3")

CORE = "urn:ietf:params:jmap:core"


async def refused(jmap: Jmap, document: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await jmap.raw(json.dumps(document).encode())
    return caught.value


async def test_responses_come_in_order_with_their_call_ids(jmap: Jmap) -> None:
    calls = [["Core/echo", {"n": n}, f"c{n % 2}"] for n in range(6)]
    response = await jmap.request(*calls)
    assert response["methodResponses"] == calls
    assert set(response) == {"methodResponses", "sessionState"}


@pytest.mark.must
async def test_unknown_members_of_a_request_are_ignored(jmap: Jmap) -> None:
    response = await jmap.request(["Core/echo", {}, "0"], someFutureThing={"a": [1]})
    assert response["methodResponses"] == [["Core/echo", {}, "0"]]


@pytest.mark.rfc("8620", "3.6.1")
@pytest.mark.must
@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        1,
        "x",
        {},
        {"using": [CORE]},
        {"methodCalls": []},
        {"using": CORE, "methodCalls": []},
        {"using": [1], "methodCalls": []},
        {"using": None, "methodCalls": []},
        {"using": [CORE], "methodCalls": {}},
        {"using": [CORE], "methodCalls": [["Core/echo", {}]]},
        {"using": [CORE], "methodCalls": [["Core/echo", {}, "c", "d"]]},
        {"using": [CORE], "methodCalls": [["Core/echo", [], "c"]]},
        {"using": [CORE], "methodCalls": [["Core/echo", None, "c"]]},
        {"using": [CORE], "methodCalls": [["Core/echo", {}, 1]]},
        {"using": [CORE], "methodCalls": [[None, {}, "c"]]},
        {"using": [CORE], "methodCalls": [{"name": "Core/echo"}]},
        {"using": [CORE], "methodCalls": [], "createdIds": []},
        {"using": [CORE], "methodCalls": [], "createdIds": {"a": 1}},
        {"using": [CORE], "methodCalls": [], "createdIds": {"a b": "c"}},
    ],
)
async def test_what_has_not_the_shape_of_a_request_is_none(jmap: Jmap, document: Any) -> None:
    error = await refused(jmap, document)
    assert error.kind == "urn:ietf:params:jmap:error:notRequest"
    assert error.status == 400


@pytest.mark.rfc("8620", "3.6.1")
@pytest.mark.must
async def test_an_unknown_capability_refuses_the_request(jmap: Jmap) -> None:
    error = await refused(jmap, {"using": [CORE, "https://example.com/apis/foobar"], "methodCalls": []})
    assert error.to_json()["type"] == "urn:ietf:params:jmap:error:unknownCapability"
    assert error.to_json()["status"] == 400
    assert "https://example.com/apis/foobar" in error.to_json()["detail"]


@pytest.mark.rfc("8620", "3.6.1")
@pytest.mark.must
async def test_too_many_calls_are_refused_with_the_name_of_the_limit(jmap: Jmap) -> None:
    most = 64
    await jmap.request(*(["Core/echo", {}, "c"] for _ in range(most)))
    error = await refused(
        jmap, {"using": [CORE], "methodCalls": [["Core/echo", {}, "c"] for _ in range(most + 1)]}
    )
    assert error.to_json()["type"] == "urn:ietf:params:jmap:error:limit"
    assert error.to_json()["limit"] == "maxCallsInRequest"


@pytest.mark.must
async def test_only_what_the_request_uses_exists(jmap: Jmap) -> None:
    for using, echo, get in (
        ([], "unknownMethod", "unknownMethod"),
        ([CORE], None, "unknownMethod"),
        ([USING[1]], "unknownMethod", None),
        (USING, None, None),
    ):
        jmap.using = using
        calls = (("Core/echo", {}), ("Mailbox/get", {"ids": []}))
        responses = await jmap.responses(*calls)
        assert [args.get("type") for _, args, _ in responses] == [echo, get], using


async def test_repeated_capabilities_do_no_harm(jmap: Jmap) -> None:
    jmap.using = USING * 3
    assert (await jmap.call("Mailbox/get", ids=[]))["list"] == []


@pytest.mark.rfc("8620", "3.5")
@pytest.mark.must
async def test_an_argument_left_out_is_its_default(jmap: Jmap) -> None:
    left_out = await jmap.call("Todo/query")
    nulls = {"filter": None, "sort": None, "anchor": None, "limit": None}
    given = await jmap.call("Todo/query", **nulls, position=0, anchorOffset=0, calculateTotal=False)
    assert left_out == given


@pytest.mark.must
@pytest.mark.rfc("8620", "3.3")
async def test_created_ids_are_answered_only_if_they_were_given(jmap: Jmap) -> None:
    call = ["Todo/set", {"accountId": jmap.account, "create": {"k": {"title": "a"}}}, "0"]
    assert "createdIds" not in await jmap.request(call)
    response = await jmap.request(call, createdIds={})
    assert response["createdIds"] == {"k": response["methodResponses"][0][1]["created"]["k"]["id"]}
    response = await jmap.request(["Core/echo", {}, "0"], createdIds={"old": "x1"})
    assert response["createdIds"] == {"old": "x1"}
    assert "createdIds" not in await jmap.request(["Core/echo", {}, "0"], createdIds=None)


async def test_created_ids_that_were_given_resolve(jmap: Jmap) -> None:
    created = (await jmap.call("Todo/set", create={"k": {"title": "a"}}))["created"]["k"]["id"]
    create = {"top": {"title": "b", "subTodoIds": ["#mine"]}}
    call = ["Todo/set", {"accountId": jmap.account, "create": create}, "0"]
    response = await jmap.request(call, createdIds={"mine": created})
    top = response["methodResponses"][0][1]["created"]["top"]["id"]
    assert response["createdIds"] == {"mine": created, "top": top}
    assert (await jmap.get("Todo", top))["subTodoIds"] == [created]


@pytest.mark.rfc("8620", "4")
@pytest.mark.must
async def test_echo_gives_back_its_arguments(jmap: Jmap) -> None:
    arguments = {"hello": True, "high": 5, "nothing": None, "deep": {"a": [1, {"b": ""}]}}
    response = await jmap.request(["Core/echo", arguments, "b3ff"])
    assert response["methodResponses"] == [["Core/echo", arguments, "b3ff"]]
