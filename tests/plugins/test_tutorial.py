"""docs/plugins.md works as it stands: its code is run, and the type that comes of it is used."""

import re
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jmap import STORES, Jmap
from todo import todo_server
from veredus.schema import DataType

PAGE = Path(__file__).parent.parent.parent / "docs" / "plugins.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
CAPABILITY = "https://example.com/jmap/bookmarks"


def run(blocks: list[str], name: str = "BOOKMARK") -> DataType:
    """The BOOKMARK, or another type, that these blocks make."""
    module = types.ModuleType("tutorial")
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), module.__dict__)  # the page is ours
    found: DataType = module.__dict__[name]
    return found


@pytest.fixture(params=STORES)
async def user(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Jmap]:
    """Someone with bookmarks."""
    async with todo_server(request.param, tmp_path, run(BLOCKS)) as app:
        user = Jmap(app, "alice@example.com", await app.add_account("alice@example.com", None))
        user.using.append(CAPABILITY)
        yield user


async def add(user: Jmap, **properties: Any) -> Any:
    response = await user.call("Bookmark/set", create={"b": properties})
    assert response["created"], response
    return response["created"]["b"]


async def test_the_smallest_one_has_all_six_methods(tmp_path: Path) -> None:
    async with todo_server("memory", tmp_path, run(BLOCKS[:1])) as app:
        user = Jmap(app, "alice@example.com", await app.add_account("alice@example.com", None))
        user.using.append(CAPABILITY)
        made = await add(user, url="https://example.com/")
        assert made["title"] == ""
        assert (await user.get("Bookmark", made["id"]))["url"] == "https://example.com/"
        assert (await user.call("Bookmark/query"))["ids"] == [made["id"]]
        assert (await user.call("Bookmark/changes", sinceState="0"))["created"] == [made["id"]]
        assert (await user.call("Bookmark/queryChanges", sinceQueryState="0"))["added"]
        assert (await user.error("Bookmark/copy", fromAccountId="x", create={}))[
            "type"
        ] == "fromAccountNotFound"


async def test_a_singleton_is_there_from_the_beginning(tmp_path: Path) -> None:
    async with todo_server("memory", tmp_path, run(BLOCKS, "SETTINGS")) as app:
        user = Jmap(app, "alice@example.com", await app.add_account("alice@example.com", None))
        user.using.append(CAPABILITY)
        assert await user.get("BookmarkSettings", "singleton") == {"id": "singleton", "sortedBy": "title"}
        await user.update("BookmarkSettings", "singleton", sortedBy="visits")
        assert (await user.get("BookmarkSettings", "singleton"))["sortedBy"] == "visits"
        assert (await user.refused("BookmarkSettings", "create", {}))["type"] == "singleton"


async def test_hooks_fill_in_and_refuse(user: Jmap) -> None:
    made = await add(user, url="https://a.example/x", tags={"news": True})
    assert made["title"] == "https://a.example/x"
    assert made["host"] == "a.example"
    assert made["created"].endswith("Z")
    assert "createdBy" not in made
    for given, name in (
        ({"url": "ftp://x"}, "url"),
        ({"url": "https://b.example", "seeAlso": ["x"]}, "seeAlso"),
    ):
        response = await user.call("Bookmark/set", create={"b": given})
        assert response["notCreated"]["b"]["properties"] == [name]
    again = await user.call("Bookmark/set", create={"b": {"url": "https://a.example/x"}})
    assert again["notCreated"]["b"] == {"type": "alreadyExists", "existingId": made["id"]}


async def test_filters_sorts_and_text(user: Jmap) -> None:
    a = await add(user, url="https://a.example", title="Zebra crossing", tags={"animals": True}, visits=200)
    b = await add(user, url="https://b.example", title="ant", visits=3)
    for filter, found in (
        ({"hasTag": "animals"}, [a]),
        ({"title": "ZEBRA"}, [a]),
        ({"url": "https://b.example"}, [b]),
        ({"minVisits": 4}, [a]),
        ({"createdBefore": "2000-01-01T00:00:00Z"}, []),
        ({"isPopular": False}, [b]),
        ({"text": "crossing animals"}, [a]),
    ):
        ids = (await user.call("Bookmark/query", filter=filter))["ids"]
        assert ids == [bookmark["id"] for bookmark in found], filter
    assert (await user.error("Bookmark/query", filter={"isPopular": 1}))["type"] == "invalidArguments"
    ids = (await user.call("Bookmark/query", sort=[{"property": "title"}]))["ids"]
    assert ids == [b["id"], a["id"]]


async def test_the_extra_method_answers_before_the_set_that_it_makes(user: Jmap) -> None:
    made = await add(user, url="https://a.example", tags={"old": True})
    own, implicit = await user.responses(("Bookmark/renameTag", {"tag": "old", "to": "new"}))
    assert own[1]["renamed"] == 1
    assert (implicit[0], implicit[2]) == ("Bookmark/set", own[2])
    assert (await user.get("Bookmark", made["id"]))["tags"] == {"new": True}
    assert (await user.error("Bookmark/renameTag", tag="old", to=""))["type"] == "invalidArguments"
    assert (await user.error("Bookmark/renameTag", tag="old"))["type"] == "invalidArguments"


def test_the_page_names_every_mark_and_every_hook() -> None:
    from veredus.schema import Hooks

    page = PAGE.read_text(encoding="utf-8")
    for mark in ("ServerSet", "Immutable", "Indexed", "BlobRef", "Internal", "Live", "Cold"):
        assert f"`{mark}[...]`" in page
    for hook in (name for name in vars(Hooks) if not name.startswith("_")):
        assert f"`{hook}`" in page
