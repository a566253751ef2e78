"""What a transaction writes, gathered into one statement: one round trip, however many records and tables.

Its text depends on which tables are concerned and how, not on the records, so that it is prepared once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from veredus.store.coalesce import Entry
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.values import key, member
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import JsonObject


class Rows(Struct):
    """Rows to write into one table; ``columns``: name and SQL type of each value."""

    columns: Sequence[tuple[str, str]]
    rows: list[Sequence[Any]] = field(default_factory=list)


class Batch:
    """Collects; ``statement`` gives the SQL and its values, ``None`` when there is nothing to do."""

    def __init__(self, account: int) -> None:
        self._values: list[Any] = [account]
        self._parts: list[str] = []

    def bind(self, value: Any) -> str:
        self._values.append(value)
        return f"${len(self._values)}"

    def source(self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> str:
        """The SQL of a table ``u`` with these rows."""
        arrays = [
            f"{self.bind(list(values))}::{type}[]"
            for (_, type), values in zip(columns, zip(*rows, strict=True), strict=True)
        ]
        return f"unnest({', '.join(arrays)}) AS u({', '.join(name for name, _ in columns)})"

    @property
    def is_empty(self) -> bool:
        return not self._parts

    def add(self, sql: str) -> None:
        self._parts.append(sql)

    def put(self, table: str, conflict: str, rows: Rows, replace: Sequence[str]) -> None:
        """Insert rows; where there is one with the same ``conflict``, replace these of its columns."""
        if not rows.rows:
            return
        names = ", ".join(name for name, _ in rows.columns)
        action = ", ".join(f"{name} = excluded.{name}" for name in replace)
        self.add(
            f"INSERT INTO {table}(a, {names}) SELECT $1, u.* FROM {self.source(rows.columns, rows.rows)}"
            f" ON CONFLICT({conflict}) DO {f'UPDATE SET {action}' if action else 'NOTHING'}"
        )

    def remove(self, table: str, rows: Rows) -> None:
        if rows.rows:
            test = " AND ".join(f"t.{name} = u.{name}" for name, _ in rows.columns)
            source = self.source(rows.columns, rows.rows)
            self.add(f"DELETE FROM {table} t USING {source} WHERE t.a = $1 AND {test}")

    def statement(self) -> tuple[str, list[Any]] | None:
        if not self._parts:
            return None
        with_ = ", ".join(f"w{number} AS ({part})" for number, part in enumerate(self._parts))
        return f"WITH {with_} SELECT $1::bigint", self._values


class Writing:
    """What is to be written of the records of one type."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        columns = [(column, "bytea") for column in layout.columns.values()]
        covers = [(column, "bytea") for column in layout.covers.values()]
        self._records = Rows(
            [
                *(("rid", "bigint"), ("id", "text"), ("texts", "boolean")),
                *columns,
                *(("live", "bytea"), ("fixed", "bytea")),
            ]
        )
        # By the columns that change with them.
        self._lives: dict[tuple[str, ...], Rows] = {}
        self._cold = Rows([("rid", "bigint"), ("json", "bytea")])
        self._texts = Rows([("rid", "bigint"), *((column, "text") for column in layout.texts.values())])
        self._members = {
            name: Rows([("key", "bytea"), ("rid", "bigint"), ("id", "text"), *covers])
            for name in layout.members
        }
        self._no_members = {name: Rows([("key", "bytea"), ("rid", "bigint")]) for name in layout.members}
        of_blobs = [("blob", "text"), ("type", "text"), ("rid", "bigint")]
        self._blobs, self._no_blobs = Rows(of_blobs), Rows(of_blobs)
        self._gone = Rows([("rid", "bigint")])

    def whole(
        self,
        rid: int,
        before: JsonObject | None,
        record: JsonObject,
        parts: tuple[bytes, bytes, bytes],
        has_texts: bool,
    ) -> None:
        """A record as it is now. ``before``: as it was; None: there was none."""
        layout, id = self.layout, record["id"]
        keys = layout.keys(record)
        self._records.rows.append((rid, id, has_texts, *keys, parts[0], parts[1]))
        if layout.cold:
            self._cold.rows.append((rid, parts[2]))
        covers = [key(record.get(name)) for name in layout.covers]
        repeat = before is None or covers != [key(before.get(name)) for name in layout.covers]
        for name in layout.members:
            old = set() if before is None else member_keys(before.get(name))
            new = member_keys(record.get(name))
            self._change_members(name, rid, old - new, new if repeat else new - old, [id, *covers])
        old_blobs = set() if before is None else blob_ids(layout.table, before)
        new_blobs = blob_ids(layout.table, record)
        self._blobs.rows.extend((blob, layout.name, rid) for blob in sorted(new_blobs - old_blobs))
        self._no_blobs.rows.extend((blob, layout.name, rid) for blob in sorted(old_blobs - new_blobs))

    def _change_members(
        self, name: str, rid: int, old: Iterable[str], new: Iterable[str], payload: Sequence[Any]
    ) -> None:
        self._no_members[name].rows.extend((member(one), rid) for one in sorted(old))
        self._members[name].rows.extend((member(one), rid, *payload) for one in sorted(new))

    def live(
        self,
        rid: int,
        before: JsonObject,
        live: JsonObject,
        encoded: bytes,
        names: Iterable[str],
        covers: list[Any],
    ) -> None:
        """A record of which only ``live`` has changed, in its properties ``names``."""
        layout = self.layout
        changed = tuple(name for name in layout.columns if name in names)
        if changed not in self._lives:
            columns = [(layout.columns[name], "bytea") for name in changed]
            self._lives[changed] = Rows([("rid", "bigint"), ("live", "bytea"), *columns])
        self._lives[changed].rows.append((rid, encoded, *(key(live.get(name)) for name in changed)))
        for name in layout.members:
            if name in names:
                old, new = member_keys(before.get(name)), member_keys(live.get(name))
                self._change_members(name, rid, old - new, new - old, [live["id"], *covers])

    def texts(self, rid: int, texts: Mapping[str, str]) -> None:
        self._texts.rows.append((rid, *(texts.get(field) for field in self.layout.texts)))

    def gone(self, rid: int, record: JsonObject) -> None:
        layout = self.layout
        self._gone.rows.append((rid,))
        for name in layout.members:
            self._change_members(name, rid, member_keys(record.get(name)), (), ())
        self._no_blobs.rows.extend(
            (blob, layout.name, rid) for blob in sorted(blob_ids(layout.table, record))
        )

    def into(self, batch: Batch) -> None:
        layout = self.layout
        names = [name for name, _ in self._records.columns if name != "rid"]
        batch.put(layout.records, "a, rid", self._records, names)
        for rows in self._lives.values():
            sets = ", ".join(f"{name} = u.{name}" for name, _ in rows.columns if name != "rid")
            batch.add(
                f"UPDATE {layout.records} t SET {sets} FROM {batch.source(rows.columns, rows.rows)}"
                " WHERE t.a = $1 AND t.rid = u.rid"
            )
        if layout.cold:
            batch.put(layout.cold, "a, rid", self._cold, ["json"])
        if layout.txt:
            batch.put(layout.txt, "a, rid", self._texts, list(layout.texts.values()))
        for name, table in layout.members.items():
            batch.put(table, "a, key, rid", self._members[name], list(layout.covers.values()))
            batch.remove(table, self._no_members[name])
        batch.put("blob", "a, blob, type, rid", self._blobs, [])
        batch.remove("blob", self._no_blobs)
        for of_record in (layout.records, layout.cold, layout.txt):
            if of_record is not None:
                batch.remove(of_record, self._gone)


def log_entries(
    batch: Batch, entries: Sequence[Entry], at: int, writer: int, names: Sequence[str | None]
) -> None:
    """``at``: Unix seconds; ``writer``: the transaction; ``names``: of each entry, as JSON."""
    columns = [("modseq", "bigint"), ("type", "text"), ("id", "text"), ("kind", "text"), ("names", "text")]
    rows = [
        (entry.modseq, entry.type, entry.id, entry.kind, changed)
        for entry, changed in zip(entries, names, strict=True)
    ]
    same = f"{batch.bind(at)}::bigint, {batch.bind(writer)}::bigint"
    batch.add(
        "INSERT INTO log(a, modseq, type, id, kind, names, at, writer)"
        f" SELECT $1, u.*, {same} FROM {batch.source(columns, rows)}"
    )
