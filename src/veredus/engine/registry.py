"""All data types and methods of a server, checked once at the start."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from veredus.engine.changes import changes
from veredus.engine.copy import copy
from veredus.engine.core import echo
from veredus.engine.declaration import check, check_capability, check_method
from veredus.engine.get import get
from veredus.engine.query import query
from veredus.engine.query_changes import query_changes
from veredus.engine.session import CORE, Capability
from veredus.engine.set import set_records
from veredus.ports import Table
from veredus.schema import Access, DataType, DeclarationError, Method, Verb, standard_arguments

Run = Callable[[Access, Any], Awaitable[Any]]

_VERBS: dict[Verb, Callable[[Access, DataType, Any], Awaitable[Any]]] = {
    "get": get,
    "changes": changes,
    "set": set_records,
    "copy": copy,
    "query": query,
    "queryChanges": query_changes,
}


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
        """``methods``: of no data type, with their capabilities; ``capabilities``: what sessions say."""
        self.types: dict[str, DataType] = {}
        self.methods: dict[str, Entry] = {}
        self.capabilities: dict[str, Capability] = {CORE: Capability({}, None), **capabilities}
        self._add("Core/echo", Entry(CORE, dict[str, Any], echo, False, False))
        for type in types:
            self._add_type(type)
        for capability, method in methods:
            for mistake in (*check_capability(capability), *check_method(method)):
                raise DeclarationError(f"{method.name}: {mistake}")
            self._add_method(capability, method)
            self.capabilities.setdefault(capability, Capability({}, {}))

    def tables(self) -> list[Table]:
        """What the store has to keep for these types."""
        return [type.table for type in self.types.values()]

    def states(self) -> frozenset[str]:
        """The names of all that has a state: types, and what is known of their creations."""
        tables = [table for table in self.tables() if table.logged]
        return frozenset(name for table in tables for name in (table.name, table.creations) if name)

    def _add_type(self, type: DataType) -> None:
        if type.name in self.types:
            raise DeclarationError(f"{type.name}: two data types have this name")
        check(type)
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
        if type.provide is not None:
            await type.provide(ctx)
        return await act(ctx, type, arguments)

    return Entry(type.capability, standard_arguments(type, verb), run, verb in ("set", "copy"), True)
