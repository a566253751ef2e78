"""Moving accounts between stores, and into files and back: states, log and order survive (ADR 0023).

Every store implements ``Moving``. It stands beside ``ports.store``, since only a few commands use it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from veredus.ports.store import Kind, Store, Table
from veredus.wire.types import Id


class Row(NamedTuple):
    """A record on its way between stores: the JSON objects it is kept as."""

    # Of records of the server's own not an Id of JMAP: an address, say.
    id: str
    # ``Table.live`` with the id, ``Table.cold``, and in ``fixed`` the others.
    live: bytes
    fixed: bytes
    cold: bytes | None
    # None: there is none, or the store cannot tell it any more.
    texts: dict[str, str] | None

    def canonical(self) -> bytes:
        """The record, the same in every store."""
        return b"\0".join((self.id.encode(), self.live, self.fixed, self.cold or b"{}", b""))


class LogRow(NamedTuple):
    """An entry of the log on its way between stores. ``names``: as JSON. ``time``: Unix seconds."""

    modseq: int
    type: str
    id: str
    kind: Kind
    names: str | None
    time: int


class Head(Struct, frozen=True, tag_field="piece", tag="head"):
    """What a dump begins with. ``stamp``: two dumps of an account with the same are the same."""

    account: Id
    stamp: str
    modseq: int
    # Of each type: its state, and the modseq of its last forgotten entry.
    states: dict[str, tuple[int, int]]
    tables: tuple[Table, ...]
    # How many records of each type will come.
    counts: dict[str, int]


class Rows(Struct, frozen=True, tag_field="piece", tag="rows"):
    """The next records of a type, in their table's order. ``place``: where a dump can go on behind them."""

    type: str
    place: str
    rows: list[Row]


class LogRows(Struct, frozen=True, tag_field="piece", tag="log"):
    """The next entries of the log, in its order; they come behind all records."""

    rows: list[LogRow]


class Delta(Struct, frozen=True):
    """What has become of an account since a dump: the log, the records that it names, as they are now, and
    all records of unlogged tables. ``head``: what a dump would begin with now."""

    head: Head
    log: list[LogRow]
    rows: list[Rows]


Piece: TypeAlias = Head | Rows | LogRows
# The pieces of one account from a place on (None: from the beginning), a Head first in any case.
Pieces: TypeAlias = AsyncGenerator[Piece, None]
Dump: TypeAlias = Callable[[str | None], Pieces]


class Dumps(Protocol):
    """Accounts that can be dumped: of a store, or of a backup."""

    async def accounts(self) -> list[Id]: ...

    def dump(self, account: Id, after: str | None = None) -> Pieces:
        """The account as of one moment, in pieces of bounded size: a Head, its records, its log.

        ``after``: the ``place`` of the last piece that is not needed again. Close the iterator when it is
        not read to its end.
        """
        ...

    async def changed_since(self, account: Id, stamp: str) -> Delta | None:
        """What has changed since the dump with that stamp. None: too much, or the log does not reach back."""
        ...


class Moving(Store, Dumps, Protocol):
    """A Store whose accounts can move."""

    async def load(self, account: Id, dump: Dump) -> None:
        """Put an account of another store, or of a file, in the place of what is here of it.

        Nothing of it is seen until all is there. States, log and the order of records are as they were. What
        an attempt has stored that was broken off is not asked for again, if the stamp is still the same.
        Nobody may have the account in use. Raises ValueError when the dump cannot be of this store's tables.
        """
        ...

    async def catch_up(self, account: Id, stamp: str, delta: Delta) -> bool:
        """Bring a loaded account with that stamp up to date. False: it is another, and nothing was done."""
        ...

    async def loaded(self) -> Mapping[Id, str]:
        """The stamps of the accounts that have come by ``load``; "" where only a part has come yet."""
        ...

    def unindexed(self, account: Id, type: str) -> AsyncGenerator[list[Id], None]:
        """Records without full text, newest first, a bounded number at once; no words find them."""
        ...

    async def index(
        self, account: Id, type: str, texts: Mapping[Id, Mapping[str, str]], state: int | None = None
    ) -> bool:
        """Index normalized full text by id and field, in place of what is; unknown ids are ignored.

        No change is logged. ``state``: only if that is the type's state still; False: it is not.
        """
        ...
