"""Records of accounts, and the log of their changes."""

from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from veredus.conditions import EVERYTHING, Condition, Order
from veredus.wire.types import BlobId, Id, JsonObject


class Table(Struct, frozen=True):
    """How a store keeps the records of one type; derived from the data type's declaration.

    ``order``: an immutable UTCDate property (whole seconds); records are kept in its order, so
    that selecting by it (ties: order of arrival) needs no sort. Without it: order of arrival.
    """

    name: str
    order: str | None = None
    # Properties that Eq, In and Range find by an index; strings, numbers, booleans.
    scalars: tuple[str, ...] = ()
    # Maps (key: true) and lists of strings whose members Has finds by an index, newest first.
    members: tuple[str, ...] = ()
    # Scalars repeated in the index of every member, so that ``distinct`` needs no record.
    covers: tuple[str, ...] = ()
    # Properties that change often, kept apart so that a change rewrites little.
    live: tuple[str, ...] = ()
    # Properties that are rarely read, kept apart.
    cold: tuple[str, ...] = ()
    # Full-text fields, given to ``put`` as normalized text.
    texts: tuple[str, ...] = ()
    # Properties that hold a BlobId or a list of them.
    blobs: tuple[str, ...] = ()
    # Whether changes to these records are logged (and so have a state).
    logged: bool = True
    # A name whose state is that of the last creation alone (EmailDelivery, RFC 8621 §1.5).
    creations: str | None = None


Kind = Literal["created", "updated", "destroyed"]


class Change(Struct, frozen=True):
    """One entry of the change log. ``names``: the properties that ``update`` was given, else None."""

    account: Id
    type: str
    id: Id
    kind: Kind
    modseq: int
    names: frozenset[str] | None = None


class Changes(Struct, frozen=True):
    """What happened to a type between two states (RFC 8620 §5.2); an id stands in one list only."""

    created: list[Id]
    updated: list[Id]
    destroyed: list[Id]
    new_state: int
    has_more: bool
    # All properties that changed in ``updated``; None when that is not known of every one.
    names: frozenset[str] | None


class Snapshot(Protocol):
    """A consistent read view of one account."""

    async def get(
        self, type: str, ids: Sequence[Id] | None, names: Set[str] | None = None
    ) -> list[JsonObject]:
        """The records with these ids (None: all), in that order; unknown ids are left out.

        ``names``: at least these properties and ``id``; None: all. The dicts belong to the caller.
        """
        ...

    async def project(self, type: str, ids: Sequence[Id] | None, names: Sequence[str]) -> list[Struct]:
        """The same records as Structs whose fields are exactly ``id`` and ``names``, ready to be encoded.

        Fields hold encoded JSON (``msgspec.Raw``; null when absent), except ``id``, a str. Attribute
        names are the property names; encoding such a Struct gives the JSON object. A repeated id comes once.
        """
        ...

    async def select(
        self,
        type: str,
        where: Condition = EVERYTHING,
        order: Sequence[Order] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
        distinct: str | None = None,
    ) -> list[Id]:
        """Ids of the records that satisfy ``where``, sorted; the table's own order breaks ties, descending
        if the first order is by the table's order property descending, else ascending.

        ``distinct``: only the first record of each value of that property, before offset and limit.
        """
        ...

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        """How many records ``select`` would give without a limit."""
        ...

    async def state(self, type: str) -> int:
        """Modseq of the type's last change in this account; 0 when there was none."""
        ...

    async def states(self) -> Mapping[str, int]:
        """The state of every type, and of every ``Table.creations``, that ever changed.

        The highest of them is the account's modseq.
        """
        ...

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        """Ids of ``type`` changed after modseq ``since``, oldest first (RFC 8620 §5.2).

        At most ``limit`` ids in all (>= 1); ``has_more`` says that some remain. An id both created and
        destroyed in between is left out. None: the log no longer reaches back to ``since``, or ``since``
        was never given out.
        """
        ...

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        """Those of ``ids`` that some record of the account refers to."""
        ...


class Transaction(Snapshot, Protocol):
    """The one writer of an account; it sees its own writes. Every write logs its change.

    Modseqs rise by one with each logged change, so every prefix of the log is a state (ADR 0003).
    """

    async def put(self, type: str, record: JsonObject, texts: Mapping[str, str] | None = None) -> None:
        """Store ``record`` whole: created when its ``id`` is new, else updated.

        ``texts``: the normalized full text by field; None leaves what is indexed as it is.
        """
        ...

    async def update(self, type: str, id: Id, properties: JsonObject) -> None:
        """Replace these top-level properties of an existing record (KeyError: there is none).

        None of them may be the table's ``order`` property.
        """
        ...

    async def delete(self, type: str, id: Id) -> None:
        """Remove a record (KeyError: there is none)."""
        ...


class Lease(Struct, frozen=True):
    """The right to do one kind of work alone. ``token`` rises with each new holder (fencing)."""

    name: str
    holder: str
    token: int


class Overtaken(Exception):
    """The account has changed in the midst of an optimistic view."""


class LeaseLost(Exception):
    """Somebody else may be doing the work by now; nothing of the transaction was written."""


class Cursor(Struct, frozen=True):
    """A place in the log of all accounts; ``Cursor()`` is its beginning."""

    position: str = ""


class Store(Protocol):
    """Records of accounts, and the log of their changes.

    A store is given ``announce`` when it is made: called with the Hint of each transaction that logged
    something, once it is durable.
    """

    def read(self, account: Id, *, optimistic: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        """``optimistic``: a store may save what it takes to see one moment, and raise Overtaken where it
        finds that the account has changed since: all is to be read again then. States never raise it."""
        ...

    def write(self, account: Id, lease: Lease | None = None) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that commits durably on exit and leaves no trace when an exception passes.

        ``lease``: it commits only while the lease is held, else LeaseLost is raised, at the beginning or
        the end: a process that slept cannot write late.
        """
        ...

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """The lease of this name for ``ttl_s`` from now, unless another holder has it (None).

        Who has it already gets the same again, for longer. Time is the store's own: clocks of nodes do
        not matter.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Let others have it at once; nothing happens when it is lost already."""
        ...

    async def feed(
        self, after: Cursor, limit: int, types: Collection[str] | None = None
    ) -> tuple[list[Change], Cursor]:
        """Changes of all accounts in commit order, after a cursor, and the cursor behind the last.

        ``types``: changes of these alone; if there are fewer than ``limit``, the cursor is behind all others.
        """
        ...

    async def head(self) -> Cursor:
        """The cursor behind the last change that is committed."""
        ...

    async def accounts(self) -> list[Id]:
        """Every account that has a record or a log entry."""
        ...

    async def referenced_blobs(self, ids: Collection[BlobId]) -> set[BlobId]:
        """Those of ``ids`` that a record of any account refers to."""
        ...

    async def prune(self, before: datetime) -> None:
        """Forget log entries older than ``before``."""
        ...

    async def check(self) -> list[str]:
        """Every broken invariant of the stored data, one line each; empty when all is well."""
        ...

    async def backup(self, directory: str) -> None:
        """Write a consistent copy into ``directory`` while the store is in use."""
        ...

    async def close(self) -> None: ...
