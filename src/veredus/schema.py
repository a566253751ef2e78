"""The vocabulary in which a data type is declared; also the public plug-in API (docs/plugins.md).

A data type is a ``DataType`` value: the shape of its objects, how to filter and sort them, and
hooks for what the shape cannot say. The engine derives from it get, changes, set, copy, query and
queryChanges (RFC 8620 §5), and the stores their tables. Nothing here does any I/O.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct

from veredus.conditions import Condition, Eq, Order
from veredus.formats import search
from veredus.ports import AccountInfo, Blob, Identity, Snapshot, Table, Transaction
from veredus.wire.arguments import (
    AccountArguments,
    Arguments,
    ChangesArguments,
    CopyArguments,
    GetArguments,
    QueryArguments,
    QueryChangesArguments,
    SetArguments,
)
from veredus.wire.types import BlobId, Id, JsonObject

T = TypeVar("T")


class Mark(Enum):
    """What is special about a property."""

    SERVER_SET = "server-set"  # a client may not choose it
    IMMUTABLE = "immutable"  # a client may choose it at creation only
    INDEXED = "indexed"  # found by an index: a scalar by value, a map or list by its members
    BLOB = "blob"  # holds the id of a blob that the record keeps alive
    INTERNAL = "internal"  # ours alone: neither given out nor taken
    COLD = "cold"  # rarely read: kept apart
    LIVE = "live"  # often changed: kept apart
    CASELESS = "caseless"  # a map whose keys have no case: patched, and kept by its hooks, in lower case


ServerSet: TypeAlias = Annotated[T, Mark.SERVER_SET]
Immutable: TypeAlias = Annotated[T, Mark.IMMUTABLE]
Indexed: TypeAlias = Annotated[T, Mark.INDEXED]
BlobRef: TypeAlias = Annotated[T, Mark.BLOB]
Internal: TypeAlias = Annotated[T, Mark.INTERNAL]
Cold: TypeAlias = Annotated[T, Mark.COLD]
Live: TypeAlias = Annotated[T, Mark.LIVE]
Caseless: TypeAlias = Annotated[T, Mark.CASELESS]


class Object(Struct, kw_only=True, rename="camel"):
    """Base of a shape: each field is a property, its type the validator, its default the property's default."""


class Property(Struct, frozen=True):
    """One property of a shape, by its wire name."""

    name: str
    type: Any
    marks: frozenset[Mark]
    required: bool
    default: Any
    # Whether the value holds ids of other records, which may be given as "#" and a creation id.
    refers: bool

    def check(self, value: Any) -> bool:
        """Whether ``value``, decoded JSON, is of the property's type."""
        try:
            msgspec.convert(value, self.type, strict=True)
        except msgspec.ValidationError:
            return False
        return True


_ID_META = get_args(Id)[1]


def _mentions_id(type: Any) -> bool:
    if get_origin(type) is Annotated and _ID_META in get_args(type)[1:]:
        return True
    return any(_mentions_id(argument) for argument in get_args(type))


def _marks(type: Any) -> frozenset[Mark]:
    """The marks around a type, however nested (``ServerSet[Indexed[Id]]``)."""
    if get_origin(type) is not Annotated:
        return frozenset()
    inner, *extras = get_args(type)
    return _marks(inner) | {extra for extra in extras if isinstance(extra, Mark)}


def properties_of(shape: type[Object]) -> dict[str, Property]:
    """The properties of a shape by wire name, in order of declaration."""
    hints = get_type_hints(shape, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(shape):
        type = hints[field.name]
        required = field.required
        default = None
        if field.default is not NODEFAULT:
            default = field.default
        elif field.default_factory is not NODEFAULT:
            default = field.default_factory()
        found[field.encode_name] = Property(
            name=field.encode_name,
            type=type,
            marks=_marks(type),
            required=required,
            default=msgspec.to_builtins(default),
            refers=field.encode_name != "id" and _mentions_id(type),
        )
    return found


class Draft(Struct):
    """A record on its way to be created.

    ``given``: the properties the client sent, creation references resolved. A hook may build
    ``record`` itself (then the shape is not checked again), set ``texts``, and name in ``report``
    what the client must be told beside the server-set and defaulted properties.
    """

    given: JsonObject
    record: JsonObject | None = None
    texts: dict[str, str] | None = None
    report: tuple[str, ...] = ()


class Changed(Struct, frozen=True):
    """A record before and after; None: it was not there, or is no more."""

    old: JsonObject | None
    new: JsonObject | None


class Access(Protocol):
    """What a method is given of the outside: the call's account, its records and its blobs."""

    @property
    def account(self) -> AccountInfo: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def using(self) -> frozenset[str]: ...
    @property
    def created_ids(self) -> dict[Id, Id]: ...
    def now(self) -> datetime: ...
    def limit(self, name: str) -> int:
        """A limit of the core capability, by its wire name (RFC 8620 §2)."""
        ...

    def account_info(self, account: str) -> AccountInfo | None:
        """An account of this user by its id."""
        ...

    def read(self, account: Id | None = None) -> AbstractAsyncContextManager[Snapshot]: ...
    def write(self, account: Id | None = None) -> AbstractAsyncContextManager[Transaction]: ...
    async def load_blob(self, id: BlobId, account: Id | None = None) -> bytes | None:
        """The bytes of a blob this user may see in the account (None: no such), parts of messages included."""
        ...

    async def blob_exists(self, id: BlobId, account: Id | None = None) -> bool: ...
    async def store_blob(self, data: bytes) -> Blob:
        """Store bytes that a record is about to refer to."""
        ...

    async def upload_blob(self, data: bytes, type: str, account: Id | None = None) -> Blob:
        """Store bytes for this user to refer to later (RFC 8620 §6.1)."""
        ...

    async def call(self, name: str, arguments: JsonObject) -> JsonObject | None:
        """Run another method as part of this call; its response follows this one's, with the same
        call id (RFC 8620 §5.4). None: it failed, and the error was appended."""
        ...

    def data_type(self, name: str) -> "DataType | None":
        """A data type by its name, if its capability is in use."""
        ...


class Hooks:
    """What a data type does beyond its shape. Override what you need; a hook raises SetError to refuse."""

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        """Slow work for a creation, before the transaction."""

    async def prepare_copy(self, ctx: Access, original: JsonObject, draft: Draft) -> None:
        """For Foo/copy, before the transaction and instead of ``prepare``: ``draft.given`` holds what the
        ``original`` of the other account has and a client may set, and over it what the client gave."""

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        """In the transaction, before ``record`` is put; may fill in server-set properties."""

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        """In the transaction, before ``new`` replaces ``old``; may correct ``new`` (and the client is told)."""

    async def check_destroy(self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments) -> None:
        """In the transaction, before ``old`` is deleted."""

    async def after(
        self, ctx: Access, tx: Transaction, changed: Sequence[Changed], arguments: SetArguments
    ) -> Mapping[Id, Id] | None:
        """In the transaction, after all records: derived records (counters, threads).

        May give created records other ids: those are returned, new by old.
        """
        return None


class Unsupported(ValueError):
    """A filter or sort that the server knows but cannot do (unsupportedFilter, unsupportedSort)."""


# A FilterCondition's property: its JSON value -> a Condition. ValueError: the value is not of the
# right type (invalidArguments); Unsupported: unsupportedFilter.
Filter: TypeAlias = Callable[[Any], Condition]
# A Comparator's property: the whole Comparator object -> an Order.
Sort: TypeAlias = Callable[[JsonObject], Order]


class Computed(Struct, frozen=True):
    """Properties that are not stored.

    ``names``: these, or with a trailing ``:`` every property with that prefix. ``needs``: the stored
    properties that ``run`` reads. ``run(ctx, snapshot, records, names, arguments)`` gives one object
    of values per record, in the same order; ValueError: no such property (invalidArguments).
    """

    names: tuple[str, ...]
    needs: tuple[str, ...]
    run: Callable[
        [Access, Snapshot, Sequence[JsonObject], Sequence[str], Any], Awaitable[Sequence[Mapping[str, Any]]]
    ]

    def covers(self, name: str) -> bool:
        return any(name == own or (own.endswith(":") and name.startswith(own)) for own in self.names)


class Unique(Struct, frozen=True):
    """No two records of an account agree in all of ``properties``, unless the last of them is null."""

    properties: tuple[str, ...]


class Method(Struct, frozen=True):
    """A method beyond the six: ``run(ctx, arguments)`` gives the response's arguments.

    ``writes``: refused in a read-only account. ``needs_account`` False: the arguments have no accountId.
    """

    name: str
    arguments: type[Arguments]
    run: Callable[[Access, Any], Awaitable[Any]]
    writes: bool = False
    needs_account: bool = True


Verb = Literal["get", "changes", "set", "copy", "query", "queryChanges"]
ALL: tuple[Verb, ...] = ("get", "changes", "set", "copy", "query", "queryChanges")


class QueryPlan(Struct, frozen=True):
    """A query in the store's terms. ``related``: names of the properties whose records may enter or
    leave the results when a record that shares their value changes (conditions.Same, ``distinct``)."""

    where: Condition
    order: tuple[Order, ...]
    distinct: str | None = None
    related: tuple[str, ...] = ()
    # Whether ``DataType.rearrange`` is to be applied.
    rearranged: bool = False


class DataType(Struct, frozen=True, dict=True):
    """A JMAP data type: everything the engine and the stores need to know of it."""

    name: str
    capability: str
    shape: type[Object]
    # The letter that ids begin with.
    prefix: str = "x"
    methods: tuple[Verb, ...] = ALL
    filters: Mapping[str, Filter] = {}
    sorts: Mapping[str, Sort] = {}
    default_sort: tuple[Order, ...] = ()
    hooks: Hooks = Hooks()
    computed: tuple[Computed, ...] = ()
    unique: tuple[Unique, ...] = ()
    extra: tuple[Method, ...] = ()
    # What /get gives when ``properties`` is null; None: all that is stored and not internal.
    default_properties: tuple[str, ...] | None = None
    # What only changes by itself: reported as updatedProperties when nothing else changed.
    volatile: frozenset[str] = frozenset()
    # Extensions of the standard arguments.
    get_arguments: type[GetArguments] = GetArguments
    set_arguments: type[SetArguments] = SetArguments
    copy_arguments: type[CopyArguments] = CopyArguments
    query_arguments: type[QueryArguments] = QueryArguments
    query_changes_arguments: type[QueryChangesArguments] = QueryChangesArguments
    # Changes the plan of a query by the type's own arguments (collapseThreads).
    refine: Callable[[QueryPlan, Any], QueryPlan] | None = None
    # The total of a query where it is known without counting; None: count.
    known_total: Callable[[Snapshot, QueryPlan], Awaitable[int | None]] | None = None
    # The data types that properties named in ``QueryPlan.related`` refer to.
    related_types: Mapping[str, str] = {}
    # Rearranges or narrows all results of a query whose plan says ``rearranged`` (sortAsTree).
    rearrange: Callable[[Snapshot, list[Id], Any], Awaitable[list[Id]]] | None = None
    # Stored properties that the hooks read of a record to be updated; None: all.
    update_needs: frozenset[str] | None = None
    # Full text of a record by field; what the fields are called.
    text_fields: tuple[str, ...] = ()
    text_of: Callable[[JsonObject], Mapping[str, str]] | None = None
    # See ports.Table.
    order: str | None = None
    covers: tuple[str, ...] = ()
    # False: kept for the server's own use, without a state.
    logged: bool = True
    # Members of the account's capability object (RFC 8620 §2).
    account_capability: Mapping[str, Any] = {}
    session_capability: Mapping[str, Any] = {}

    @cached_property
    def properties(self) -> dict[str, Property]:
        return properties_of(self.shape)

    @cached_property
    def visible(self) -> dict[str, Property]:
        """The stored properties a client may see."""
        return {name: prop for name, prop in self.properties.items() if Mark.INTERNAL not in prop.marks}

    @cached_property
    def table(self) -> Table:
        """How stores keep the records."""
        marked = self._marked
        indexed = marked(Mark.INDEXED)
        members = tuple(name for name in indexed if _is_collection(self.properties[name].type))
        return Table(
            name=self.name,
            order=self.order,
            scalars=tuple(name for name in indexed if name not in members),
            members=members,
            covers=self.covers,
            live=marked(Mark.LIVE),
            cold=marked(Mark.COLD),
            texts=self.text_fields,
            blobs=marked(Mark.BLOB),
            logged=self.logged,
        )

    def _marked(self, mark: Mark) -> tuple[str, ...]:
        return tuple(name for name, prop in self.properties.items() if mark in prop.marks)

    def method_names(self) -> list[str]:
        """The names of all methods of the type."""
        return [f"{self.name}/{verb}" for verb in self.methods] + [method.name for method in self.extra]


def _is_collection(type: Any) -> bool:
    origin = get_origin(type)
    if origin is Annotated:
        return _is_collection(get_args(type)[0])
    if origin in (dict, list, set, frozenset, tuple):
        return True
    return any(_is_collection(argument) for argument in get_args(type)) if origin is not None else False


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def equals(property: str) -> Filter:
    """The property is the value given: a string, number, boolean or null."""

    def build(value: Any) -> Condition:
        if isinstance(value, list | dict):
            raise ValueError("must be a string, number, boolean or null")
        return Eq(property, value)

    return build


def contains(property: str) -> Filter:
    """The string property contains the text given, ignoring case."""
    from veredus.conditions import Contains

    return lambda value: Contains(property, _string(value))


def text(*fields: str) -> Filter:
    """Full-text search in these fields (RFC 8621 §4.4.1)."""
    from veredus.conditions import Text

    return lambda value: Text(fields, search.parse_query(_string(value)))


def at_least(property: str) -> Filter:
    """The property is the value given or more."""
    from veredus.conditions import Range

    return lambda value: Range(property, at_least=value)


def below(property: str) -> Filter:
    """The property is less than the value given."""
    from veredus.conditions import Range

    return lambda value: Range(property, below=value)


def by(property: str, collation: str | None = None) -> Sort:
    """Sort by a property. ``collation``: the default one of a string property; None: no collation applies."""

    def build(comparator: JsonObject) -> Order:
        wanted = comparator.get("collation")
        if wanted is not None and collation is None:
            raise Unsupported(f"{property} is not sorted by a collation")
        return Order(property, comparator.get("isAscending", True), wanted or collation)

    return build


def standard_arguments(data_type: DataType, verb: Verb) -> type[AccountArguments]:
    """The arguments of one of the six methods of the data type."""
    arguments: dict[Verb, type[AccountArguments]] = {
        "get": data_type.get_arguments,
        "changes": ChangesArguments,
        "set": data_type.set_arguments,
        "copy": data_type.copy_arguments,
        "query": data_type.query_arguments,
        "queryChanges": data_type.query_changes_arguments,
    }
    return arguments[verb]
