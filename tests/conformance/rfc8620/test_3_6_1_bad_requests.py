"""Bad requests over real sockets are problem details, and the server lives on (RFC 8620 §3.6.1)."""

import json
from typing import Any

import httpx
import pytest

from jmap import Jmap
from sockets import browsers
from veredus.app import App

pytestmark = pytest.mark.rfc("8620", "3.6.1")

PREFIX = "urn:ietf:params:jmap:error:"
CORE = "urn:ietf:params:jmap:core"


async def post(client: httpx.AsyncClient, body: bytes, type: str = "application/json") -> httpx.Response:
    return await client.post("/jmap", content=body, headers={"content-type": type})


@pytest.mark.must
async def test_each_is_answered_with_its_problem(app: App, jmap: Jmap) -> None:
    deep: Any = b'{"operator":"AND","conditions":['
    filter = deep * 100_000 + b"{}" + b"]}" * 100_000
    query = b'{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Todo/query",{"filter":%s},"0"]]}'
    cases = {
        (b"", "application/json"): (400, "notJSON"),
        (b"{", "application/json"): (400, "notJSON"),
        (b"[]", "application/json"): (400, "notRequest"),
        (b"{}", "text/plain"): (415, "notJSON"),
        (b"[" * 1_000_000, "application/json"): (400, "notJSON"),
        (query % filter, "application/json"): (400, "notJSON"),
        (b" " * 11 * 1024 * 1024, "application/json"): (413, "limit"),
        (b'{"using":["x:y"],"methodCalls":[]}', "application/json"): (400, "unknownCapability"),
    }
    async with browsers(app, jmap) as (alice,):
        for (body, type), (status, kind) in cases.items():
            response = await post(alice.client, body, type)
            assert response.status_code == status, (body[:50], response.text)
            assert response.headers["content-type"] == "application/problem+json"
            problem = response.json()
            assert problem["type"] == PREFIX + kind
            assert problem["status"] == status
            if kind == "limit":
                assert problem["limit"] == "maxSizeRequest"
        good = json.dumps({"using": [CORE], "methodCalls": [["Core/echo", {"a": 1}, "0"]]}).encode()
        response = await post(alice.client, good, "application/json; charset=utf-8")
        assert response.json()["methodResponses"] == [["Core/echo", {"a": 1}, "0"]]


async def test_huge_values_are_no_trouble(app: App, jmap: Jmap) -> None:
    huge = "x" * 1_000_000
    account = {"accountId": jmap.account}
    calls = [
        ["Todo/get", {**account, "ids": [huge]}, "0"],
        ["Todo/query", {**account, "filter": {"slug": huge}}, "1"],
        ["Todo/query", {**account, "filter": {huge: 1}}, "2"],
        ["Todo/query", {**account, "sort": [{"property": huge}]}, "3"],
        [huge, account, "4"],
        ["Todo/get", {**account, "properties": [huge]}, "5"],
        ["Core/echo", {}, huge],
    ]
    async with browsers(app, jmap) as (alice,):
        body = json.dumps({"using": jmap.using, "methodCalls": calls}).encode()
        responses = (await post(alice.client, body)).json()["methodResponses"]
    assert [r[0] for r in responses] == [
        "Todo/get",
        "Todo/query",
        "error",
        "error",
        "error",
        "error",
        "Core/echo",
    ]
    assert all(len(json.dumps(r)) < 2000 for r in responses[2:6]), "errors do not repeat what was sent"
