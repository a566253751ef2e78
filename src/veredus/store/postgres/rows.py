"""The rows that a stored record stands in, made from the record alone: to build them anew, and to check."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from veredus.store.postgres.schema import Layout
from veredus.store.postgres.values import key, member
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import JsonObject


class Stored(Struct):
    """A record as it was read; ``cold`` None: there is no such row."""

    a: int
    rid: int
    id: str
    has_texts: bool
    live: bytes
    fixed: bytes
    cold: bytes | None

    def decoded(self) -> tuple[JsonObject, list[str]]:
        """The record as far as it can be read, and what is wrong with the rest."""
        record: JsonObject = {}
        problems = []
        for name, part in (("live", self.live), ("fixed", self.fixed), ("cold", self.cold)):
            try:
                record |= msgspec.json.decode(part, type=dict[str, Any]) if part is not None else {}
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                problems.append(f"its {name} part is damaged: {error}")
        return record, problems


def select(layout: Layout, more: str = "") -> str:
    """The SQL of what ``Stored`` has, and ``more``, of a table ``r``; a condition may follow."""
    cold = "c.json" if layout.cold else "NULL::bytea"
    join = f" LEFT JOIN {layout.cold} c ON c.a = r.a AND c.rid = r.rid" if layout.cold else ""
    return f"SELECT r.a, r.rid, r.id, r.texts, r.live, r.fixed, {cold}{more} FROM {layout.records} r{join}"


def covers(layout: Layout, record: JsonObject) -> list[bytes | None]:
    return [key(record.get(name)) for name in layout.covers]


def members(layout: Layout, name: str, record: JsonObject) -> set[bytes]:
    """What stands in the table of a property's members."""
    return {member(one) for one in member_keys(record.get(name))}


def record_row(layout: Layout, stored: Stored, record: JsonObject, is_whole: bool) -> tuple[Any, ...]:
    """Of ``rec``. ``is_whole``: False when the record could not be read; its parts stay as they are."""
    live, fixed, _ = layout.parts(record) if is_whole else (stored.live, stored.fixed, None)
    return (stored.a, stored.rid, stored.id, stored.has_texts, *layout.keys(record), live, fixed)


def cold_row(layout: Layout, stored: Stored, record: JsonObject, is_whole: bool) -> tuple[Any, ...]:
    cold = layout.parts(record)[2] if is_whole else stored.cold
    return (stored.a, stored.rid, cold if cold is not None else b"{}")


def member_rows(layout: Layout, name: str, stored: Stored, record: JsonObject) -> Iterator[tuple[Any, ...]]:
    repeated = covers(layout, record)
    for one in sorted(members(layout, name, record)):
        yield (stored.a, one, stored.rid, stored.id, *repeated)


def blob_rows(layout: Layout, stored: Stored, record: JsonObject) -> Iterator[tuple[Any, ...]]:
    """Account, blob, row."""
    for blob in sorted(blob_ids(layout.table, record)):
        yield (stored.a, blob, stored.rid)
