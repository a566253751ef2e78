"""Writing one account of a SQLite database, inside a transaction that others share."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from veredus.ports import Changes, Hint, Kind, Transaction, Unavailable
from veredus.store import order
from veredus.store.coalesce import Entry
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_reads import NO_ACCOUNT, Reads
from veredus.store.sqlite_schema import (
    Layout,
    add_members,
    insert,
    quoted,
    remove_members,
    sql_value,
)
from veredus.store.values import blob_ids, member_keys
from veredus.wire.types import Id, JsonObject


def _names(names: frozenset[str] | None) -> str | None:
    return None if names is None else msgspec.json.encode(sorted(names)).decode()


class Writes(Reads):
    """A Transaction. Its entries of the log wait in memory until ``flush``."""

    def __init__(self, connection: Connection, layouts: Mapping[str, Layout], id: Id, now: datetime) -> None:
        found = connection.rows("SELECT n, modseq FROM account WHERE id = ?", (id,))
        account, self._modseq = found[0] if found else (NO_ACCOUNT, 0)
        self._before = self._modseq
        # What the transaction has logged: the new state of each type.
        self._new_states: dict[str, int] = {}
        super().__init__(connection, layouts, account)
        self._id = id
        self._at = int(now.timestamp())
        self._entries_waiting: list[Entry] = []
        # The waiting entry of (type, id) that a further update may join.
        self._open: dict[tuple[str, Id], Entry] = {}

    # ------------------------------------------------------------ records

    async def put(self, type: str, record: JsonObject, texts: Mapping[str, str] | None = None) -> None:
        layout = self._layouts[type]
        self._ensure_account()
        old = self._stored(layout, record["id"])
        if old is None:
            rid = self._next(layout, record)
            had_texts = False
        else:
            rid, had_texts, before = old
            if layout.table.order and before.get(layout.table.order) != record.get(layout.table.order):
                raise ValueError(f"{type}.{layout.table.order} never changes")
            self._remove(layout, rid, before)
        insert(self._db, layout, rid, record, had_texts or texts is not None)
        if texts is not None and layout.fts:
            self._index_texts(layout, rid, texts, had_texts)
        self._log(layout, record["id"], "created" if old is None else "updated", None)

    def _ensure_account(self) -> None:
        if self._account != NO_ACCOUNT:
            return
        self._db.run("INSERT INTO account(id, modseq) VALUES(?, 0)", (self._id,))
        self._account = self._db.db.last_insert_rowid()
        if self._account >= order.MAX_ACCOUNTS:
            raise Unavailable(f"a SQLite store has at most {order.MAX_ACCOUNTS - 1} accounts")

    def _stored(self, layout: Layout, id: Id) -> tuple[int, bool, JsonObject] | None:
        """Row number, whether full text is indexed, and the record."""
        found = self._db.rows(
            f"SELECT rid, texts FROM {layout.records} WHERE a = ? AND id = ?", (self._account, id)
        )
        if not found:
            return None
        (whole,) = self._objects(layout, [id], None)
        return found[0][0], bool(found[0][1]), msgspec.json.decode(whole)

    def _next(self, layout: Layout, record: JsonObject) -> int:
        """The row number behind the last one of the record's second (without order: of the account)."""
        if layout.table.order is None:
            first, last = order.bounds(self._account)
            return self._last_between(layout, first, last) + 1
        second = order.second(record.get(layout.table.order))
        for at in range(second, second + order.MAX_SPILL + 1):
            first = order.first_of(self._account, at)
            last = first + order.RECORDS_OF_SECOND - 1
            used = self._last_between(layout, first, last)
            if used < last:
                return used + 1
        raise Unavailable(f"too many records of {record.get(layout.table.order)}")

    def _last_between(self, layout: Layout, first: int, last: int) -> int:
        return self._db.number(
            f"SELECT coalesce(max(rid), ?1 - 1) FROM {layout.records} WHERE rid BETWEEN ?1 AND ?2",
            (first, last),
        )

    def _index_texts(self, layout: Layout, rid: int, texts: Mapping[str, str], had_texts: bool) -> None:
        if had_texts:
            self._db.run(f"DELETE FROM {layout.fts} WHERE rowid = ?", (rid,))
        fields = layout.table.texts
        self._db.run(
            f"INSERT INTO {layout.fts}(rowid, {', '.join(map(quoted, fields))})"
            f" VALUES(?{', ?' * len(fields)})",
            (rid, *(texts.get(field) for field in fields)),
        )

    def _remove(self, layout: Layout, rid: int, record: JsonObject) -> None:
        """Remove a record and its index rows except full text."""
        self._db.run(f"DELETE FROM {layout.records} WHERE rid = ?", (rid,))
        if layout.cold:
            self._db.run(f"DELETE FROM {layout.cold} WHERE rid = ?", (rid,))
        for name in layout.members:
            remove_members(self._db, layout, name, member_keys(record.get(name)), rid)
        for blob in blob_ids(layout.table, record):
            self._forget_blob(layout, rid, blob)

    def _forget_blob(self, layout: Layout, rid: int, blob: str) -> None:
        self._db.run("DELETE FROM blob WHERE blob = ? AND rid = ? AND type = ?", (blob, rid, layout.name))

    async def delete(self, type: str, id: Id) -> None:
        layout = self._layouts[type]
        old = self._stored(layout, id)
        if old is None:
            raise KeyError(id)
        rid, has_texts, record = old
        self._remove(layout, rid, record)
        if has_texts and layout.fts:
            self._db.run(f"DELETE FROM {layout.fts} WHERE rowid = ?", (rid,))
        self._log(layout, id, "destroyed", None)

    # ------------------------------------------------------------ update

    async def update(self, type: str, id: Id, properties: JsonObject) -> None:
        layout = self._layouts[type]
        if layout.table.order in properties:
            raise ValueError(f"{type}.{layout.table.order} never changes")
        names = frozenset(properties)
        if names <= layout.simple:
            self._update_live(layout, id, properties)
        else:
            self._update_whole(layout, id, properties)
        self._log(layout, id, "updated", names)

    def _update_live(self, layout: Layout, id: Id, properties: JsonObject) -> None:
        """The frequent case: one short column of the record and a few rows of its members change."""
        found = self._db.rows(layout.select_live, (self._account, id))
        if not found:
            raise KeyError(id)
        *payload, live = found[0]
        record: JsonObject = msgspec.json.decode(live)
        changed = [name for name in layout.columns if name in properties]
        assignments = "".join(f", {layout.columns[name]} = ?" for name in changed)
        self._db.run(
            f"UPDATE {layout.records} SET live = ?{assignments} WHERE rid = ?",
            (
                msgspec.json.encode(record | properties).decode(),
                *(sql_value(properties[name]) for name in changed),
                payload[0],
            ),
        )
        for name in layout.members:
            if name in properties:
                self._change_members(layout, name, record.get(name), properties[name], payload)

    def _change_members(
        self, layout: Layout, name: str, before: object, after: object, payload: list[object]
    ) -> None:
        old, new = member_keys(before), member_keys(after)
        rid = payload[0]
        assert isinstance(rid, int)
        remove_members(self._db, layout, name, old - new, rid)
        add_members(self._db, layout, name, new - old, payload)

    def _update_whole(self, layout: Layout, id: Id, properties: JsonObject) -> None:
        old = self._stored(layout, id)
        if old is None:
            raise KeyError(id)
        rid, has_texts, record = old
        self._remove(layout, rid, record)
        insert(self._db, layout, rid, record | properties, has_texts)

    # ------------------------------------------------------------ log

    def _log(self, layout: Layout, id: Id, kind: Kind, names: frozenset[str] | None) -> None:
        """A further update of a record joins its first entry: nobody saw the state between."""
        if not layout.table.logged:
            return
        open = self._open.get((layout.name, id))
        if kind == "updated" and open is not None:
            if open.kind == "updated":
                open.names = open.names | names if open.names is not None and names is not None else None
            return
        self._modseq += 1
        entry = Entry(layout.name, id, kind, self._modseq, names)
        self._entries_waiting.append(entry)
        if kind == "destroyed":
            self._open.pop((layout.name, id), None)
        else:
            self._open[layout.name, id] = entry

    def flush(self) -> None:
        """Write what waits; afterwards no update joins an earlier entry."""
        waiting, self._entries_waiting = self._entries_waiting, []
        self._open.clear()
        if not waiting:
            return
        self._db.run_many(
            "INSERT INTO log(n, type, modseq, id, kind, names, at) VALUES(?, ?, ?, ?, ?, ?, ?)",
            [
                (self._account, entry.type, entry.modseq, entry.id, entry.kind, _names(entry.names), self._at)
                for entry in waiting
            ],
        )
        states = {entry.type: entry.modseq for entry in waiting}
        for entry in waiting:
            pseudo_type = self._layouts[entry.type].table.creations
            if pseudo_type is not None and entry.kind == "created":
                states[pseudo_type] = entry.modseq
        for type, modseq in states.items():
            self._db.run(
                "INSERT INTO state(n, type, modseq) VALUES(?, ?, ?)"
                " ON CONFLICT(n, type) DO UPDATE SET modseq = excluded.modseq",
                (self._account, type, modseq),
            )
        self._db.run("UPDATE account SET modseq = ? WHERE n = ?", (self._modseq, self._account))
        self._new_states |= states

    def hint(self) -> Hint | None:
        """What to tell once all of it is committed; None: nothing was logged."""
        return Hint(self._id, self._before, self._new_states) if self._new_states else None

    async def states(self) -> Mapping[str, int]:
        self.flush()
        return await super().states()

    async def state(self, type: str) -> int:
        """A state that is asked for may be given out, so what follows is logged behind it."""
        self.flush()
        return await super().state(type)

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        self.flush()
        return await super().changes(type, since, limit)


_: type[Transaction] = Writes
