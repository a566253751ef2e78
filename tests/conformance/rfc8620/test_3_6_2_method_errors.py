"""Errors of one method call, each provoked (RFC 8620 §3.6.2, and those of the standard methods)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap
from todo import TODOS, create, todo_server, todo_user
from veredus.app import App
from veredus.ports import Unavailable
from veredus.schema import Hooks

pytestmark = pytest.mark.rfc("8620", "3.6.2")


async def error_type(jmap: Jmap, method: str, **arguments: Any) -> str:
    type: str = (await jmap.error(method, **arguments))["type"]
    return type


async def test_unknown_method(jmap: Jmap) -> None:
    for name in ("Foo/get", "Todo/frobnicate", "todo/get", "", "Todo", "Todo/get ", "x" * 10_000):
        assert await error_type(jmap, name) == "unknownMethod"


@pytest.mark.must
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("Todo/get", {"accountId": None}),
        ("Todo/get", {"accountId": 1}),
        ("Todo/get", {"ids": "x"}),
        ("Todo/get", {"ids": [1]}),
        ("Todo/get", {"ids": [None]}),
        ("Todo/get", {"properties": ["nope"]}),
        ("Todo/get", {"properties": "title"}),
        ("Todo/get", {"foo": 1}),
        ("Todo/changes", {}),
        ("Todo/changes", {"sinceState": 1}),
        ("Todo/changes", {"sinceState": "1", "maxChanges": 0}),
        ("Todo/changes", {"sinceState": "1", "maxChanges": -1}),
        ("Todo/set", {"create": []}),
        ("Todo/set", {"create": {"a": None}}),
        ("Todo/set", {"update": {"a": []}}),
        ("Todo/set", {"destroy": {}}),
        ("Todo/set", {"ifInState": 1}),
        ("Todo/copy", {}),
        ("Todo/copy", {"fromAccountId": "x", "create": None}),
        ("Todo/query", {"limit": -1}),
        ("Todo/query", {"position": "1"}),
        ("Todo/query", {"position": 2**60}),
        ("Todo/query", {"anchor": 1}),
        ("Todo/query", {"calculateTotal": None}),
        ("Todo/query", {"filter": []}),
        ("Todo/query", {"sort": {}}),
        ("Todo/queryChanges", {}),
    ],
)
async def test_invalid_arguments(jmap: Jmap, method: str, arguments: dict[str, Any]) -> None:
    error = await jmap.error(method, **arguments)
    assert error["type"] == "invalidArguments"
    assert error["description"]


async def test_a_missing_account_id_is_invalid(jmap: Jmap) -> None:
    response = await jmap.request(["Todo/get", {"ids": []}, "0"])
    assert response["methodResponses"][0][1]["type"] == "invalidArguments"


@pytest.mark.must
async def test_account_not_found(app: App, jmap: Jmap) -> None:
    other = await app.add_account("bob@example.com", None)
    for account in (other, "nope", "", "x" * 10_000, "../x", "system"):
        for method in ("Todo/get", "Todo/set", "Email/query", "Quota/get"):
            assert await error_type(jmap, method, accountId=account) == "accountNotFound"


@pytest.mark.must
async def test_account_read_only(jmap: Jmap, reader: Jmap) -> None:
    await create(jmap, "a")
    assert len((await reader.call("Todo/get", ids=None))["list"]) == 1
    for method in (
        "Todo/set",
        "Email/set",
        "Email/import",
        "Todo/copy",
        "Todo/done",
        "Blob/upload",
        "Blob/copy",
    ):
        assert await error_type(reader, method) == "accountReadOnly"


@pytest.mark.must
async def test_forbidden_with_credentials_for_reading(jmap: Jmap) -> None:
    reading = Jmap(jmap.app, jmap.identity.user, jmap.account, scope="read")
    reading.using = jmap.using
    assert (await reading.call("Todo/get", ids=None))["list"] == []
    assert await error_type(reading, "Todo/set", create={"a": {"title": "a"}}) == "forbidden"
    assert (await jmap.call("Todo/get", ids=None))["list"] == []


async def test_the_errors_of_states_and_queries(jmap: Jmap) -> None:
    assert await error_type(jmap, "Todo/set", ifInState="nope") == "stateMismatch"
    assert await error_type(jmap, "Todo/changes", sinceState="nope") == "cannotCalculateChanges"
    assert await error_type(jmap, "Todo/queryChanges", sinceQueryState="99999") == "cannotCalculateChanges"
    await create(jmap, "a", "b")
    assert await error_type(jmap, "Todo/queryChanges", sinceQueryState="0", maxChanges=1) == "tooManyChanges"
    assert await error_type(jmap, "Todo/query", anchor="nope") == "anchorNotFound"
    assert await error_type(jmap, "Todo/query", sort=[{"property": "keywords"}]) == "unsupportedSort"
    assert await error_type(jmap, "Todo/query", filter={"nope": 1}) == "unsupportedFilter"
    assert await error_type(jmap, "Todo/get", ids=[f"x{n}" for n in range(2000)]) == "requestTooLarge"
    assert await error_type(jmap, "Todo/set", destroy=[f"x{n}" for n in range(2000)]) == "requestTooLarge"
    assert await error_type(jmap, "Todo/copy", fromAccountId="nope", create={}) == "fromAccountNotFound"


@pytest.mark.must
async def test_a_failed_call_does_not_stop_the_next(jmap: Jmap) -> None:
    responses = await jmap.responses(
        ("Todo/nope", {}),
        ("Todo/set", {"create": {"a": {"title": "a"}}}),
        ("Todo/get", {"ids": 1}),
        ("Todo/get", {"ids": None}),
    )
    assert [name for name, _, _ in responses] == ["error", "Todo/set", "error", "Todo/get"]
    assert len(responses[3][1]["list"]) == 1


class _Broken(Hooks):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def after(self, *_: Any) -> None:
        raise self.error


@asynccontextmanager
async def broken(store: str, directory: Path, error: Exception) -> AsyncIterator[Jmap]:
    type = TODOS.__class__(
        name="Todo", capability=TODOS.capability, shape=TODOS.shape, hooks=_Broken(error), prefix="d"
    )
    async with todo_server(store, directory, type) as app:
        yield await todo_user(app)


@pytest.mark.must
async def test_server_fail_tells_nothing_and_changes_nothing(store: str, tmp_path: Path) -> None:
    async with broken(store, tmp_path, RuntimeError("the secret")) as jmap:
        error = await jmap.error("Todo/set", create={"a": {"title": "a"}})
        assert error["type"] == "serverFail"
        assert "secret" not in str(error)
        assert (await jmap.call("Todo/get", ids=None))["list"] == []
        assert (await jmap.call("Todo/get", ids=[]))["state"] == "0"


async def test_server_unavailable_when_a_port_is(store: str, tmp_path: Path) -> None:
    async with broken(store, tmp_path, Unavailable("the disk is away")) as jmap:
        error = await jmap.error("Todo/set", create={"a": {"title": "a"}})
        assert error["type"] == "serverUnavailable"
        assert "disk" not in str(error)
