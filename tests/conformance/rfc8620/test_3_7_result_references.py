"""References to the results of earlier calls (RFC 8620 §3.7)."""

from typing import Any

import pytest

from jmap import Jmap, message
from todo import create

pytestmark = pytest.mark.rfc("8620", "3.7")


async def resolve(jmap: Jmap, document: Any, path: Any, **reference: Any) -> Any:
    """What a path finds in the arguments of an earlier Core/echo."""
    where = {"resultOf": "a", "name": "Core/echo", "path": path, **reference}
    response = await jmap.request(["Core/echo", document, "a"], ["Core/echo", {"#x": where}, "b"])
    name, arguments, _ = response["methodResponses"][1]
    return arguments["x"] if name == "Core/echo" else arguments


DOCUMENT = {
    "list": [
        {"id": "1", "ids": ["a", "b"], "n": 1},
        {"id": "2", "ids": [], "n": None},
        {"id": "3", "ids": ["c"]},
    ],
    "matrix": [[[1, 2], [3]], [[4]]],
    "empty": [],
    "": "no name",
    "a/b": 1,
    "m~n": 2,
    "*": "star",
    "~1": 3,
    "none": None,
    "object": {"*": {"x": 1}, "0": "zero"},
    "text": "abc",
}


@pytest.mark.must
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", DOCUMENT),
        ("/list/0/id", "1"),
        ("/list/2/ids/0", "c"),
        ("/list/*/id", ["1", "2", "3"]),
        ("/list/*/ids", ["a", "b", "c"]),
        ("/list/*", DOCUMENT["list"]),
        ("/matrix/*", DOCUMENT["matrix"]),
        ("/matrix/*/*", [[1, 2], [3], [4]]),
        ("/matrix/*/*/*", [1, 2, 3, 4]),
        ("/matrix/*/0", [1, 2, 4]),
        ("/matrix/*/0/0", [1, 4]),
        ("/empty", []),
        ("/empty/*", []),
        ("/empty/*/id", []),
        ("/empty/*/id/deeper/0", []),
        ("/", "no name"),
        ("/a~1b", 1),
        ("/m~0n", 2),
        ("/~01", 3),
        ("/*", "star"),
        ("/none", None),
        ("/object/*/x", 1),
        ("/object/0", "zero"),
    ],
)
async def test_a_path_finds_its_value(jmap: Jmap, path: str, found: Any) -> None:
    assert await resolve(jmap, DOCUMENT, path) == found


@pytest.mark.must
@pytest.mark.parametrize(
    "path",
    [
        "list",
        "/nope",
        "/list/3",
        "/list/-1",
        "/list/-",
        "/list/00",
        "/list/01",
        "/list/1e0",
        "/list/ 1",
        "/list/٣",
        "/list/" + "9" * 5000,
        "/list/id",
        "/list/*/nope",
        "/list/*/n/x",
        "/list/*/ids/0",
        "/text/0",
        "/text/*",
        "/none/x",
        "/m~n",
        "/m~2n",
        "/object/*/y",
        "/" * 10_000,
        1,
        None,
    ],
)
async def test_a_path_that_leads_nowhere_refuses_the_method(jmap: Jmap, path: Any) -> None:
    assert (await resolve(jmap, DOCUMENT, path))["type"] == "invalidResultReference"


@pytest.mark.must
@pytest.mark.parametrize(
    "reference",
    [
        {"resultOf": "nope"},
        {"resultOf": "b"},
        {"resultOf": 1},
        {"name": "Core/Echo"},
        {"name": "error"},
        {"name": None},
        {"extra": 1},
    ],
)
async def test_a_reference_to_no_response_refuses_the_method(jmap: Jmap, reference: Any) -> None:
    assert (await resolve(jmap, DOCUMENT, "/text", **reference))["type"] == "invalidResultReference"


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"resultOf": "a"}])
async def test_what_is_no_reference_refuses_the_method(jmap: Jmap, value: Any) -> None:
    response = await jmap.request(["Core/echo", {}, "a"], ["Core/echo", {"#x": value}, "b"])
    assert response["methodResponses"][1][1]["type"] == "invalidResultReference"


@pytest.mark.must
async def test_both_forms_of_one_argument_are_invalid(jmap: Jmap) -> None:
    reference = {"resultOf": "a", "name": "Core/echo", "path": "/x"}
    response = await jmap.request(["Core/echo", {"x": 1}, "a"], ["Core/echo", {"#x": reference, "x": 1}, "b"])
    assert response["methodResponses"][1][1]["type"] == "invalidArguments"


async def test_the_first_response_of_a_call_id_counts(jmap: Jmap) -> None:
    reference = {"resultOf": "a", "name": "Core/echo", "path": "/n"}
    calls = [
        ["Core/echo", {"n": 1}, "a"],
        ["Core/echo", {"n": 2}, "a"],
        ["Core/echo", {"#n": reference}, "b"],
    ]
    assert (await jmap.request(*calls))["methodResponses"][2][1] == {"n": 1}


async def test_an_error_is_a_response_of_the_name_error(jmap: Jmap) -> None:
    reference = {"resultOf": "a", "name": "error", "path": "/type"}
    response = await jmap.request(["Core/nope", {}, "a"], ["Core/echo", {"#n": reference}, "b"])
    assert response["methodResponses"][1][1] == {"n": "unknownMethod"}


async def test_only_the_top_level_of_arguments_has_references(jmap: Jmap) -> None:
    reference = {"resultOf": "a", "name": "Core/echo", "path": "/n"}
    response = await jmap.request(
        ["Core/echo", {"n": 1}, "a"], ["Core/echo", {"deep": {"#n": reference}}, "b"]
    )
    assert response["methodResponses"][1][1] == {"deep": {"#n": reference}}


async def test_a_referenced_value_is_checked_like_any_other(jmap: Jmap) -> None:
    reference = {"resultOf": "a", "name": "Core/echo", "path": "/n"}
    get = ["Todo/get", {"accountId": jmap.account, "#ids": reference}, "b"]
    response = await jmap.request(["Core/echo", {"n": 1}, "a"], get)
    assert response["methodResponses"][1][1]["type"] == "invalidArguments"


async def test_it_reads_what_the_store_gave_encoded(jmap: Jmap) -> None:
    """Responses of /get hold JSON that is not decoded: paths go through it all the same."""
    await create(jmap, "a", "b", keywords={"music": True})
    await jmap.call("Todo/set", create={"top": {"title": "c", "keywords": {"x/y": True}}})
    for path, found in {
        "/list/*/title": ["a", "b", "c"],
        "/list/0/keywords": {"music": True},
        "/list/0/keywords/music": True,
        "/list/2/keywords/x~1y": True,
        "/state": None,
        "/notFound": [],
    }.items():
        reference = {"resultOf": "0", "name": "Todo/get", "path": path}
        for properties in (["title", "keywords"], None):
            get = ["Todo/get", {"accountId": jmap.account, "ids": None, "properties": properties}, "0"]
            response = await jmap.request(get, ["Core/echo", {"#x": reference}, "1"])
            value = response["methodResponses"][1][1]["x"]
            assert value == found or found is None, path


async def test_the_first_threads_of_the_inbox(jmap: Jmap) -> None:
    """The second example of §3.7."""
    for n in range(3):
        await jmap.import_email(message(f"Subject {n}"), receivedAt=f"2026-01-0{n + 1}T00:00:00Z")
    inbox = await jmap.mailbox("inbox")
    account = {"accountId": jmap.account}
    query = {"filter": {"inMailbox": inbox}, "sort": [{"property": "receivedAt", "isAscending": False}]}
    query |= {"collapseThreads": True, "position": 0, "limit": 10, "calculateTotal": True}
    ids = {"resultOf": "t0", "name": "Email/query", "path": "/ids"}
    threads = {"resultOf": "t1", "name": "Email/get", "path": "/list/*/threadId"}
    emails = {"resultOf": "t2", "name": "Thread/get", "path": "/list/*/emailIds"}
    response = await jmap.request(
        ["Email/query", {**account, **query}, "t0"],
        ["Email/get", {**account, "#ids": ids, "properties": ["threadId"]}, "t1"],
        ["Thread/get", {**account, "#ids": threads}, "t2"],
        ["Email/get", {**account, "#ids": emails, "properties": ["from", "receivedAt", "subject"]}, "t3"],
    )
    found = response["methodResponses"][3][1]["list"]
    assert [email["subject"] for email in found] == ["Subject 2", "Subject 1", "Subject 0"]
    assert set(found[0]) == {"id", "from", "receivedAt", "subject"}
