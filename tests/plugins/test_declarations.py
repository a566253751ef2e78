"""A wrong declaration is found at the start, and the message names the type and the mistake."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from veredus.conditions import Order
from veredus.engine.registry import Registry
from veredus.schema import (
    BlobRef,
    Computed,
    DataType,
    DeclarationError,
    Hooks,
    Id,
    Indexed,
    Internal,
    Method,
    Object,
    ServerSet,
    Unique,
    UTCDate,
    by,
    equals,
    has,
    plugins,
    text,
)
from veredus.wire.arguments import AccountArguments, Arguments, GetArguments, SetArguments

URI = "https://example.com/jmap/thing"


class Thing(Object):
    """A shape without a fault."""

    id: ServerSet[Id]
    name: str
    tags: Indexed[list[str]] = []
    at: Indexed[UTCDate | None] = None


def thing(**changes: Any) -> DataType:
    return DataType(**{"name": "Thing", "capability": URI, "shape": Thing, **changes})


async def nothing(*_: Any) -> Any:
    return {}


def test_order_of_fields_and_kw_only_do_not_matter() -> None:
    class Odd(Object):
        note: str = ""
        id: ServerSet[Id]
        name: str

    Registry([thing(shape=Odd)])
    assert list(thing(shape=Odd).properties) == ["note", "id", "name"]


class NoId(Object):
    name: str


class ClientId(Object):
    id: Id


class BadDefault(Object):
    id: ServerSet[Id]
    count: int = "none"  # type: ignore[assignment]


class BadBlob(Object):
    id: ServerSet[Id]
    blobs: BlobRef[dict[str, str]] = {}


class Unfilled(Object):
    id: ServerSet[Id]
    secret: Internal[str]


class Only(Object):
    id: ServerSet[Id]
    note: str = ""


class Misspelt(Hooks):
    async def check_creation(self, *_: Any) -> None: ...


class NotAsync(Hooks):
    def after(self, *_: Any) -> None: ...  # type: ignore[override]


class NotGet(AccountArguments, kw_only=True):
    pass


class Free(Arguments):
    pass


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": "My Thing"}, "letters and digits"),
    "empty name": ({"name": ""}, "letters and digits"),
    "capability": ({"capability": "thing"}, "must be a URI"),
    "prefix": ({"prefix": "1"}, "prefix"),
    "no id": ({"shape": NoId}, "no property id"),
    "id of clients": ({"shape": ClientId}, "must be ServerSet"),
    "no Object": ({"shape": GetArguments}, "subclass of Object"),
    "default": ({"shape": BadDefault}, "default of count"),
    "blob": ({"shape": BadBlob}, "blobs is marked BlobRef"),
    "internal": ({"shape": Unfilled}, "secret is Internal"),
    "singleton": ({"shape": Only, "is_singleton": True}, "no methods but get and set"),
    "required of a singleton": ({"methods": ("get", "set"), "is_singleton": True}, "name: each property"),
    "shown of a singleton": (
        {"shape": Only, "methods": ("get", "set"), "is_singleton": True, "shown": nothing},
        "shown is not for a singleton",
    ),
    "verb": ({"methods": ("get", "put")}, "methods has put"),
    "queryChanges": ({"methods": ("get", "changes", "queryChanges")}, "queryChanges needs query"),
    "copy": ({"methods": ("get", "copy")}, "copy needs set"),
    "get arguments": ({"get_arguments": NotGet}, "must extend GetArguments"),
    "set arguments": ({"set_arguments": GetArguments}, f"must extend {SetArguments.__name__}"),
    "filter": ({"filters": {"name": equals("label")}}, "the filter name reads 'label'"),
    "filter of members": ({"filters": {"tag": has("tgas")}}, "the filter tag reads 'tgas'"),
    "text filter": ({"filters": {"text": text("body")}}, "'body', which is no text field"),
    "operator": ({"filters": {"operator": equals("name")}}, "no filter may be called operator"),
    "sort": ({"sorts": {"name": by("label")}}, "the sort name reads 'label'"),
    "default sort": ({"default_sort": (Order("label"),)}, "default_sort reads 'label'"),
    "unique": ({"unique": (Unique(("label",)),)}, "unique names unknown properties label"),
    "volatile": ({"volatile": frozenset({"label"})}, "volatile names unknown"),
    "needs": ({"computed": (Computed(("x",), ("label",), nothing),)}, "computed needs names unknown"),
    "stored and computed": ({"computed": (Computed(("name",), (), nothing),)}, "both stored and computed"),
    "default properties": ({"default_properties": ("id", "label")}, "default_properties names unknown"),
    "order": ({"order": "at"}, "must be Immutable or ServerSet"),
    "text_of": ({"text_of": dict}, "text_of needs text_fields"),
    "misspelt hook": ({"hooks": Misspelt()}, "Misspelt.check_creation is no hook"),
    "hook": ({"hooks": NotAsync()}, "must be an async function"),
    "hooks class": ({"hooks": Hooks}, "hooks must be an object"),
    "method name": ({"extra": (Method("Other/do", AccountArguments, nothing),)}, "must be called Thing/..."),
    "method arguments": ({"extra": (Method("Thing/do", Free, nothing),)}, "must extend AccountArguments"),
    "method run": (
        {"extra": (Method("Thing/do", AccountArguments, print),)},
        "run must be an async function",
    ),
    "method twice": ({"extra": (Method("Thing/get", AccountArguments, nothing),)}, "two methods"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_with_the_type(case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(DeclarationError) as caught:
        Registry([thing(**changes)])
    assert message in str(caught.value)
    if case not in ("name", "empty name"):
        assert str(caught.value).startswith("Thing")
    assert "\n" not in str(caught.value)


def test_two_types_of_one_name() -> None:
    with pytest.raises(DeclarationError, match="Thing: two data types"):
        Registry([thing(), thing()])


@dataclass
class Entry:
    """An entry point of an installed package."""

    name: str
    value: str
    found: Any

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (ImportError("no module x"), "cannot be imported: ImportError: no module x"),
        (SyntaxError("oops"), "cannot be imported: SyntaxError"),
        (None, "must name a DataType"),
        ([1], "must name a DataType"),
        (Thing, "must name a DataType"),
    ],
)
def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, found: Any, message: str) -> None:
    entries: Callable[..., list[Entry]] = lambda group: [Entry("thing", "thing:THING", found)]  # noqa: E731
    monkeypatch.setattr(plugins, "entry_points", entries)
    with pytest.raises(DeclarationError) as caught:
        plugins.plugin_types()
    assert str(caught.value).startswith("the plug-in thing (thing:THING) ")
    assert message in str(caught.value)


def test_an_entry_point_names_one_type_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = thing(), thing(name="Other")
    entries: Callable[..., list[Entry]] = lambda group: [Entry("a", "a", one), Entry("b", "b", [other])]  # noqa: E731
    monkeypatch.setattr(plugins, "entry_points", entries)
    assert plugins.plugin_types() == [one, other]


def test_the_server_ends_with_one_line(tmp_path: Path) -> None:
    """An installed package with a mistake: no traceback."""
    (tmp_path / "bad.py").write_text(
        "from veredus.schema import DataType, Id, Object, ServerSet, equals\n"
        "class Bad(Object):\n    id: ServerSet[Id]\n"
        "BAD = DataType(name='Bad', capability='https://x.example/', shape=Bad, filters={'a': equals('b')})\n"
    )
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[veredus.data_types]\nbad = bad:BAD\n")
    command = [sys.executable, "-m", "veredus", "serve", "--data-dir", str(tmp_path / "data")]
    env = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1:] == [
        "veredus: Bad: the filter a reads 'b', which is no property"
    ]
    assert "Traceback" not in done.stderr
