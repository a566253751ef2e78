"""The tables of the PostgreSQL store (ADR 0020). The account's number ``a`` leads every key.

For each Table T: ``rec:T:d`` (the records), ``cold:T:d``, ``mem:T:d:p`` (the members of property p),
``txt:T:f`` (the normalized full text). d is the digest of T's declaration, f that of its text fields: a node
with another declaration finds no table, and so can neither misread nor miswrite one (``migrate``). A record's
place in its table's order is ``rid = second << 30 | arrival``, arrivals being counted in each account.
"""

import hashlib

import msgspec

from veredus.ports import Table
from veredus.store import order
from veredus.store.postgres.values import key
from veredus.wire.types import JsonObject

ARRIVAL_BITS = 30
# How much of a value is indexed: an entry of a B-tree has less than a third of a page.
INDEXED_OCTETS = 1000

_DEFAULTS = dict(zip(Table.__struct_fields__[1:], Table.__struct_defaults__, strict=True))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Layout:
    """The SQL names of one Table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        # Without what has its default: a field that Table gains later changes no declaration.
        declared = {name: getattr(table, name) for name in Table.__struct_fields__}
        changed = {name: value for name, value in declared.items() if value != _DEFAULTS.get(name)}
        self.declaration = msgspec.json.encode(changed, order="sorted").decode()
        # What the names of the tables have in common, and what belongs to the full text alone.
        self.mark = f"{table.name}:{_digest(self.declaration)}"
        self.text_mark = f"{table.name}:{_digest(' '.join(table.texts))}"
        self.records = quoted(f"rec:{self.mark}")
        self.cold = quoted(f"cold:{self.mark}") if table.cold else None
        self.txt = quoted(f"txt:{self.text_mark}") if table.texts else None
        self.texts = {field: quoted(f"t_{field}") for field in table.texts}
        own = (table.order,) if table.order else ()
        # Scalars that stand in a column of their own; the order property is one of them.
        self.columns = {name: quoted(f"p_{name}") for name in dict.fromkeys((*table.scalars, *own))}
        self.members = {name: quoted(f"mem:{self.mark}:{name}") for name in table.members}
        self.covers = {name: self.columns[name] for name in table.covers}
        # Columns with an index of their own (see ``indexed``).
        self.indexed = frozenset(table.scalars) - set(own)
        self.live = frozenset(table.live)
        self.cold_names = frozenset(table.cold)
        # Properties whose change touches the live part and their own members alone.
        self.simple = self.live - set(table.covers) - set(table.blobs)

    def part(self, property: str) -> str:
        """Which of the stored JSON objects holds the property."""
        if property in self.live or property == "id":
            return "live"
        return "cold" if property in self.cold_names else "fixed"

    def rid(self, record: JsonObject, arrival: int) -> int:
        """The place of a new record."""
        at = order.second(record.get(self.table.order)) if self.table.order else 0
        return at << ARRIVAL_BITS | arrival

    def parts(self, record: JsonObject) -> tuple[bytes, bytes, bytes]:
        """The stored JSON objects: live, fixed, cold."""
        live = {name: record[name] for name in ("id", *self.table.live) if name in record}
        cold = {name: record[name] for name in self.table.cold if name in record}
        fixed = {name: value for name, value in record.items() if name not in live and name not in cold}
        encode = msgspec.json.encode
        return encode(live), encode(fixed), encode(cold)

    def keys(self, record: JsonObject) -> list[bytes | None]:
        """The values of the columns."""
        return [key(record.get(name)) for name in self.columns]

    def words(self, row: str) -> str:
        """The SQL of what is indexed of a row of ``txt``."""
        return " || ".join(
            f"words_of({row}a, {number}, {row}{column})" for number, column in enumerate(self.texts.values())
        )


def indexed(column: str) -> str:
    """The SQL of what an index has of a column."""
    return f"substring({column} FOR {INDEXED_OCTETS})"


def tables(layout: Layout) -> list[str]:
    """The statements that make the tables of the records, and their indexes."""
    columns = "".join(f", {column} bytea" for column in layout.columns.values())
    covers = "".join(f", {column} bytea" for column in layout.covers.values())
    included = ", ".join(["id", *layout.covers.values()])
    # Room in each page for the next version of a row, so that a changed keyword touches no index.
    statements = [
        f'CREATE TABLE {layout.records}(a bigint, rid bigint, id text COLLATE "C" NOT NULL,'
        f" texts boolean NOT NULL{columns}, live bytea NOT NULL, fixed bytea NOT NULL,"
        " PRIMARY KEY(a, rid)) WITH (fillfactor = 80)",
    ]
    if layout.cold:
        statements.append(
            f"CREATE TABLE {layout.cold}(a bigint, rid bigint, json bytea NOT NULL, PRIMARY KEY(a, rid))"
        )
    statements.extend(
        f'CREATE TABLE {member}(a bigint, key bytea, rid bigint, id text COLLATE "C" NOT NULL{covers},'
        f" PRIMARY KEY(a, key, rid) INCLUDE ({included}))"
        for member in layout.members.values()
    )
    return [*statements, *_indexes(layout)]


def _indexes(layout: Layout) -> list[str]:
    """Beside the primary keys."""
    statements = [f"CREATE UNIQUE INDEX {quoted('id:' + layout.mark)} ON {layout.records}(a, id)"]
    statements.extend(
        f"CREATE INDEX {quoted('ix:' + layout.mark + ':' + name)} ON {layout.records}"
        f"(a, {indexed(layout.columns[name])}, rid)"
        for name in sorted(layout.indexed)
    )
    return statements


def text_tables(layout: Layout) -> list[str]:
    """They outlive a change of the declaration that leaves the text fields as they are."""
    if layout.txt is None:
        return []
    fields = ", ".join(f"{column} text" for column in layout.texts.values())
    index = quoted("words:" + layout.text_mark)
    # New words wait in a list (kB), and whoever fills it sorts them in while the account is locked: 0.3 s at
    # most, with PostgreSQL's own 4 MB it was 1.5 s.
    return [
        f"CREATE TABLE {layout.txt}(a bigint, rid bigint, {fields}, PRIMARY KEY(a, rid))",
        f"CREATE INDEX {index} ON {layout.txt} USING gin (({layout.words('')}))"
        " WITH (gin_pending_list_limit = 512)",
    ]
