"""What a data type is beside its shape (RFC 8620 §5): methods, filters, sorts, hooks, and their context."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from veredus.conditions import Condition, Order
from veredus.ports import AccountInfo, Blob, Identity, Snapshot, Table, Transaction
from veredus.schema.shape import Mark, Object, Property, is_collection, properties_of
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
    # The engine's: the id that it gets.
    id: Id | None = None


class Changed(Struct, frozen=True):
    """A record before and after; None: it was not there, or is no more."""

    old: JsonObject | None
    new: JsonObject | None


class BlobReader(Protocol):
    """A blob that may be too large to be held."""

    @property
    def size(self) -> int: ...
    def open(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes in ``[start, end)`` in chunks of bounded size."""
        ...


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

    async def addresses(self) -> Sequence[str]:
        """The addresses of the call's account (ports.Directory), looked up once in a call: ask first where a
        transaction follows, which is not to wait for another account."""
        ...

    def read(self, account: Id | None = None) -> AbstractAsyncContextManager[Snapshot]: ...
    def write(self, account: Id | None = None) -> AbstractAsyncContextManager[Transaction]: ...
    def type_names(self) -> tuple[str, ...]:
        """The data types whose capability is in use."""
        ...

    def data_type(self, name: str) -> "DataType | None":
        """A data type by its name, if its capability is in use."""
        ...

    async def load_blob(self, id: BlobId, account: Id | None = None) -> bytes | None:
        """The bytes of a blob that this user may see in the account, parts of messages too; None: no such."""
        ...

    async def open_blob(self, id: BlobId, account: Id | None = None) -> "BlobReader | None":
        """The same without reading it at once."""
        ...

    async def blob_exists(self, id: BlobId, account: Id | None = None) -> bool: ...
    async def store_blob(self, data: bytes) -> Blob:
        """Store bytes that a record is about to refer to."""
        ...

    async def upload_blob(
        self, data: bytes | AsyncIterator[bytes], type: str, account: Id | None = None
    ) -> Blob:
        """Store bytes for this user to refer to later (RFC 8620 §6.1). Raises TooLarge: maxSizeUpload."""
        ...

    async def copy_blob(self, id: BlobId, account: Id) -> Blob | None:
        """Let this user refer here to a blob that he sees in another account (None: no such; §6.3)."""
        ...

    def work(self, octets: int) -> None:
        """Count octets that are read or written for the request. Raises requestTooLarge beyond its budget."""
        ...

    def hold(self, octets: int) -> None:
        """The same for octets that stay in memory until the response is sent."""
        ...

    async def call(self, name: str, arguments: JsonObject) -> JsonObject | None:
        """Run another method as part of this call, whatever capabilities are in use; its response follows
        this one's, with the same call id (RFC 8620 §5.4). None: it failed, and the error was appended."""
        ...


class Hooks:
    """What a data type does beyond its shape. Override what you need; a hook raises SetError to refuse."""

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        """Slow work for a creation, before the transaction."""

    async def prepare_copy(self, ctx: Access, original: JsonObject, draft: Draft) -> None:
        """For Foo/copy, before the transaction and instead of ``prepare``: ``draft.given`` holds what the
        ``original`` of the other account has and a client may set, and over it what the client gave."""

    async def prepare_update(self, ctx: Access, id: Id, changes: JsonObject) -> None:
        """For an update, before the transaction; ``id`` and ``changes`` are as the client wrote them."""

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        """In the transaction, before ``record`` is put; may fill in server-set properties."""

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        """In the transaction, before ``new`` replaces ``old``; may correct ``new`` (the client is told)."""

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        """In the transaction, before ``old`` is deleted."""

    async def after(
        self, ctx: Access, tx: Transaction, changed: Sequence[Changed], arguments: SetArguments
    ) -> Mapping[Id, Id] | None:
        """In the transaction, after all records: derived records (counters, threads).

        May give created records other ids: those are returned, new by old.
        """
        return None

    async def succeeded(
        self, ctx: Access, tx: Transaction, created: Mapping[Id, Id], arguments: SetArguments
    ) -> Mapping[Id, JsonObject]:
        """In the transaction, at the end of a /set call of which nothing failed: what the type's own
        ``onSuccess...`` arguments want. ``created``: ids by creation id.

        Gives the properties that the client is to be told of, by id of the record.
        """
        return {}


class Unsupported(ValueError):
    """A filter or sort that the server knows but cannot do (unsupportedFilter, unsupportedSort)."""


class DeclarationError(ValueError):
    """A data type is declared wrongly; the message names it. Raised when a server starts."""


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


# The id of the only record of its type (RFC 8620 §5.3).
SINGLETON: Id = "singleton"
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
    # Those of another capability: unknown unless that is in use, too.
    filter_capabilities: Mapping[str, str] = {}
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
    # There is exactly one record, with the id "singleton" and at first all defaults; nobody creates or
    # destroys it. It has get and set alone.
    is_singleton: bool = False
    # Gives an account what it lacks of the type, before each standard method; mostly it lacks nothing.
    provide: Callable[[Access], Awaitable[None]] | None = None
    # After a /set, once it is committed, for implicit calls: its arguments, and by id each record that was
    # created, updated or destroyed, as it is now or was at last.
    then: Callable[[Access, Any, Mapping[Id, JsonObject]], Awaitable[None]] | None = None
    # Which records exist for this call, where that is not all (Quota: those of data types in use).
    shown: Callable[[Access], Condition] | None = None
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
    rearrange: Callable[[Snapshot, list[Id], QueryPlan, Any], Awaitable[list[Id]]] | None = None
    # Stored properties that the hooks read of a record to be updated; None: all.
    update_needs: frozenset[str] | None = None
    # Full text of a record by field; what the fields are called.
    text_fields: tuple[str, ...] = ()
    text_of: Callable[[JsonObject], Mapping[str, str]] | None = None  # normalized: formats.search
    # The same where the text is in a blob, for an index that is made anew: the property that names the blob,
    # and the text by record and octets (b"": the blob is not there). It runs in processes of their own.
    text_blob: str | None = None
    text_in_blob: Callable[[JsonObject, bytes], Mapping[str, str]] | None = None
    # See ports.Table.
    order: str | None = None
    covers: tuple[str, ...] = ()
    # False: kept for the server's own use, without a state.
    logged: bool = True
    # A pseudo-type for push that changes only when a record is created (RFC 8621 §1.5).
    creations: str | None = None
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
    def defaults(self) -> dict[str, Any]:
        """The values that null restores in a patch (RFC 8620 §5.3)."""
        return {
            name: prop.default for name, prop in self.properties.items() if not prop.required and name != "id"
        }

    @cached_property
    def initial(self) -> JsonObject:
        """The record of a singleton that nobody has changed yet."""
        return {"id": SINGLETON, **self.defaults}

    @cached_property
    def table(self) -> Table:
        """How stores keep the records."""
        marked = self._marked
        indexed = marked(Mark.INDEXED)
        members = tuple(name for name in indexed if is_collection(self.properties[name].type))
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
            creations=self.creations,
        )

    def _marked(self, mark: Mark) -> tuple[str, ...]:
        return tuple(name for name, prop in self.properties.items() if mark in prop.marks)

    def method_names(self) -> list[str]:
        """The names of all methods of the type."""
        return [f"{self.name}/{verb}" for verb in self.methods] + [method.name for method in self.extra]


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
