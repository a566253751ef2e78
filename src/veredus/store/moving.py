"""What the stores share when an account moves: pieces, their stamp, and what indexes need of a record."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from veredus.ports import Table, Transaction, Unavailable
from veredus.ports.moving import Delta, Dump, Head, Pieces, Row, Rows
from veredus.store import projection
from veredus.wire.types import Id, JsonObject

# What is in memory of a dump at a time.
ROWS_AT_ONCE = 1000
OCTETS_AT_ONCE = 4 * 1024 * 1024
LOG_ROWS_AT_ONCE = 5000
PIECES_AT_ONCE = 8
# How many records are found, indexed or removed at a time.
RECORDS_AT_ONCE = 500
# More changes are a reason to load all anew.
MOST_CHANGES = 20_000

# Accounts that are not there for anybody have names that no account can have (RFC 8620 §1.2): those that are
# being loaded, and those that have been replaced and are being removed.
HIDDEN = ":"
GONE = ":gone:"


def staged(account: Id) -> str:
    """The name of an account until it is whole."""
    return HIDDEN + account


def stamp(
    modseq: int, states: Mapping[str, tuple[int, int]], tables: Iterable[Table], unlogged: Iterable[Row]
) -> str:
    """Every change of a logged table raises the modseq; the others are small, and read.

    ``states``: as of Head. An account whose log has been pruned has another stamp.
    """
    floors = sorted((type, floor) for type, (_, floor) in states.items() if floor)
    digest = hashlib.blake2b(msgspec.json.encode([list(tables), floors]), digest_size=16)
    for row in unlogged:
        digest.update(row.canonical())
    return f"{modseq}-{digest.hexdigest()}"


def modseq_of(stamp: str) -> int:
    """The account's modseq when it had that stamp."""
    return int(stamp.partition("-")[0])


def reaches_back(head: Head, since: int) -> bool:
    """Whether the log still has everything behind ``since``, and that is not too much."""
    floor = max((floor for _, floor in head.states.values()), default=0)
    return floor <= since <= head.modseq <= since + MOST_CHANGES


async def apply(tx: Transaction, tables: Mapping[str, Table], delta: Delta) -> None:
    """``tx``: of an account as it was; it must log nothing."""
    for name, table in tables.items():
        gone = {row.id for row in delta.log if row.type == name and row.kind == "destroyed"}
        ids = await tx.select(name) if not table.logged else sorted(gone)
        for record in await tx.get(name, ids, frozenset()):
            await tx.delete(name, record["id"])
    for piece in delta.rows:
        for row in piece.rows:
            texts = {
                field: text for field, text in (row.texts or {}).items() if field in tables[piece.type].texts
            }
            await tx.put(piece.type, msgspec.json.decode(whole(row)), texts or None)


def place(type: str, at: int) -> str:
    return f"{type}/{at}"


def place_of(place: str | None) -> tuple[str | None, int]:
    """Type, and the number of its last record that is not needed again."""
    if place is None:
        return None, -1
    type, _, at = place.rpartition("/")
    return type, int(at)


class Portion:
    """As many rows at once as are good to handle."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._octets = 0

    def add(self, row: Row) -> bool:
        """Whether they are enough."""
        self.rows.append(row)
        self._octets += len(row.live) + len(row.fixed) + len(row.cold or b"")
        if row.texts is not None:
            self._octets += sum(map(len, row.texts.values()))
        return len(self.rows) >= ROWS_AT_ONCE or self._octets >= OCTETS_AT_ONCE

    def take(self) -> list[Row]:
        rows, self.rows, self._octets = self.rows, [], 0
        return rows


def portions(rows: Iterator[Row]) -> Iterator[list[Row]]:
    portion = Portion()
    for row in rows:
        if portion.add(row):
            yield portion.take()
    if portion.rows:
        yield portion.rows


async def begun(pieces: Pieces) -> Head:
    """The Head of a dump."""
    async for piece in pieces:
        if isinstance(piece, Head):
            return piece
        break
    raise ValueError("the dump does not begin with a head")


async def resumed(dump: Dump, stamp: str | None, place: str | None) -> tuple[Head, Pieces, bool]:
    """Head and pieces of a dump, and whether they go on behind ``place``: only if the stamp is the same."""
    if stamp is not None:
        pieces = dump(place)
        head = await begun(pieces)
        if head.stamp == stamp:
            return head, pieces, True
        await pieces.aclose()
    pieces = dump(None)
    return await begun(pieces), pieces, False


class Loader:
    """Reads the rows of one type for a table of this store."""

    def __init__(self, table: Table, source: Table) -> None:
        self._table = table
        self._is_same = table == source
        names = {*table.scalars, *table.members, *table.blobs}
        self._picker = projection.picker(frozenset(names | ({table.order} if table.order else set())))
        self._keeps_texts = table.texts == source.texts

    def rows(self, piece: Rows) -> list[Row]:
        """The same, as this table divides records."""
        if self._is_same:
            return piece.rows
        return [self._divided(row) for row in piece.rows]

    def indexed(self, rows: Sequence[Row]) -> list[JsonObject]:
        """Of each record what indexes need; the rest is not decoded. Raises Unavailable: one is damaged."""
        try:
            return self._picker.read(whole(row) for row in rows)
        except msgspec.DecodeError:
            for row in rows:
                try:
                    self._picker.read([whole(row)])
                except msgspec.DecodeError as error:
                    raise Unavailable(
                        f"{self._table.name} {row.id} is damaged in the source ({error}) - `veredus db check`"
                        " finds all that are; destroy them, or restore a backup"
                    ) from error
            raise

    def _divided(self, row: Row) -> Row:
        live, fixed, cold = divided(self._table, msgspec.json.decode(whole(row)))
        return row._replace(live=live, fixed=fixed, cold=cold, texts=row.texts if self._keeps_texts else None)


def loaders(tables: Mapping[str, Table], head: Head) -> dict[str, Loader]:
    """By type. Raises ValueError when the dump has records of types that are not known here."""
    sources = {table.name: table for table in head.tables}
    unknown = sorted(name for name, count in head.counts.items() if count and name not in tables)
    if unknown:
        raise ValueError(
            f"there are records of {', '.join(unknown)}, and no such data type: install its plug-in"
        )
    for name, table in tables.items():
        if name in sources and sources[name].order != table.order:
            raise ValueError(f"the order of {name} cannot change")
    return {name: Loader(tables[name], source) for name, source in sources.items() if name in tables}


def whole(row: Row) -> bytes:
    """The record as one JSON object."""
    joined = projection.splice(row.live, row.fixed)
    return joined if row.cold is None else projection.splice(joined, row.cold)


def divided(table: Table, record: JsonObject) -> tuple[bytes, bytes, bytes | None]:
    """The JSON objects that a record is kept as: live, fixed, cold."""
    live = {name: record[name] for name in ("id", *table.live) if name in record}
    cold = {name: record[name] for name in table.cold if name in record}
    fixed = {name: value for name, value in record.items() if name not in live and name not in cold}
    encode = msgspec.json.encode
    return encode(live), encode(fixed), encode(cold) if table.cold else None
