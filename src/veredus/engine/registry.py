"""All data types and methods of a server, checked once at the start."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from veredus.engine.changes import changes
from veredus.engine.copy import copy
from veredus.engine.core import echo
from veredus.engine.get import get
from veredus.engine.query import query
from veredus.engine.query_changes import query_changes
from veredus.engine.session import CORE, Capability
from veredus.engine.set import set_records
from veredus.ports import Table
from veredus.schema import Access, DataType, Mark, Method, Verb, standard_arguments

Run = Callable[[Access, Any], Awaitable[Any]]

_VERBS: dict[Verb, Callable[[Access, DataType, Any], Awaitable[Any]]] = {
    "get": get,
    "changes": changes,
    "set": set_records,
    "copy": copy,
    "query": query,
    "queryChanges": query_changes,
}


class DeclarationError(ValueError):
    """A data type is declared wrongly; the message names it."""


class Entry(Struct, frozen=True):
    """A method as the dispatcher calls it."""

    capability: str
    arguments: Any
    run: Run
    writes: bool
    needs_account: bool


class Registry:
    """Data types by name, methods by name, capabilities by URI."""

    def __init__(
        self,
        types: Iterable[DataType],
        methods: Iterable[tuple[str, Method]] = (),
        capabilities: Mapping[str, Capability] = {},
    ) -> None:
        """``methods``: with their capabilities, those of no data type. ``capabilities``: what sessions say of them."""
        self.types: dict[str, DataType] = {}
        self.methods: dict[str, Entry] = {}
        self.capabilities: dict[str, Capability] = {CORE: Capability({}, None), **capabilities}
        self._add("Core/echo", Entry(CORE, dict[str, Any], echo, False, False))
        for type in types:
            self._add_type(type)
        for capability, method in methods:
            self._add_method(capability, method)
            self.capabilities.setdefault(capability, Capability({}, {}))

    def tables(self) -> list[Table]:
        """What the store has to keep for these types."""
        return [type.table for type in self.types.values()]

    def _add_type(self, type: DataType) -> None:
        if type.name in self.types:
            raise DeclarationError(f"{type.name}: two data types have this name")
        _check(type)
        self.types[type.name] = type
        known = self.capabilities.get(type.capability, Capability({}, {}))
        self.capabilities[type.capability] = Capability(
            {**known.session, **type.session_capability},
            {**(known.account or {}), **type.account_capability},
        )
        for verb in type.methods:
            self._add(f"{type.name}/{verb}", _standard(type, verb))
        for method in type.extra:
            self._add_method(type.capability, method)

    def _add_method(self, capability: str, method: Method) -> None:
        entry = Entry(capability, method.arguments, method.run, method.writes, method.needs_account)
        self._add(method.name, entry)

    def _add(self, name: str, entry: Entry) -> None:
        if name in self.methods:
            raise DeclarationError(f"{name}: two methods have this name")
        self.methods[name] = entry


def _standard(type: DataType, verb: Verb) -> Entry:
    act = _VERBS[verb]

    async def run(ctx: Access, arguments: Any) -> Any:
        return await act(ctx, type, arguments)

    return Entry(type.capability, standard_arguments(type, verb), run, verb in ("set", "copy"), True)


def _check(type: DataType) -> None:
    """Find mistakes of a declaration when the server starts, not when a client calls."""
    names = set(type.properties)

    def need(what: str, wanted: Iterable[str]) -> None:
        unknown = sorted(set(wanted) - names)
        if unknown:
            raise DeclarationError(f"{type.name}: {what} names unknown properties {', '.join(unknown)}")

    if "id" not in names:
        raise DeclarationError(f"{type.name}: the shape has no property id")
    if Mark.SERVER_SET not in type.properties["id"].marks:
        raise DeclarationError(f"{type.name}: id must be ServerSet")
    need("unique", (name for unique in type.unique for name in unique.properties))
    need("order", [type.order] if type.order else [])
    need("covers", type.covers)
    need("volatile", type.volatile)
    need("computed needs", (name for computed in type.computed for name in computed.needs))
    if "queryChanges" in type.methods and "query" not in type.methods:
        raise DeclarationError(f"{type.name}: queryChanges needs query")
