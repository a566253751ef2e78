"""The reference store: plain dicts, and conditions by their reference meaning."""

import asyncio
import time
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
    Set,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from veredus.conditions import EVERYTHING, Condition, Order, Texts, matches
from veredus.ports import (
    Change,
    Changes,
    Clock,
    Cursor,
    Hint,
    Kind,
    Lease,
    LeaseLost,
    Snapshot,
    Table,
    Transaction,
)
from veredus.ports.moving import Delta, Dump, Moving, Pieces
from veredus.store import limits, memory_moving, moving, order, projection
from veredus.store.announce import silence
from veredus.store.coalesce import Entry, coalesce
from veredus.store.memory_state import Row as _Row
from veredus.store.memory_state import State as _State
from veredus.store.memory_state import row as _row
from veredus.store.values import blob_ids, descending, is_own_order, sort_key
from veredus.wire.types import BlobId, Id, JsonObject


class _Snapshot:
    def __init__(self, tables: Mapping[str, Table], state: _State) -> None:
        self._tables = tables
        self._state = state

    def _rows(self, type: str) -> dict[Id, _Row]:
        self._tables[type]
        return self._state.rows.get(type, {})

    def _found(self, type: str, ids: Sequence[Id] | None) -> list[_Row]:
        rows = self._rows(type)
        if ids is None:
            return sorted(rows.values(), key=lambda row: row.place)
        return [rows[id] for id in dict.fromkeys(ids) if id in rows]

    async def get(
        self, type: str, ids: Sequence[Id] | None, names: Set[str] | None = None
    ) -> list[JsonObject]:
        return [msgspec.json.decode(row.encoded) for row in self._found(type, ids)]

    async def project(self, type: str, ids: Sequence[Id] | None, names: Sequence[str]) -> list[Struct]:
        return projection.reader(names).read(row.encoded for row in self._found(type, ids))

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
        limits.check(where, order)
        rows = self._sorted(type, where, order)
        if distinct is not None:
            rows = _first_of_each(rows, distinct)
        end = None if limit is None else offset + limit
        return [row.record["id"] for row in rows[offset:end]]

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        limits.check(where)
        rows = self._matching(type, where)
        return len(rows if distinct is None else _first_of_each(rows, distinct))

    def _matching(self, type: str, where: Condition) -> list[_Row]:
        siblings = _Siblings(self._rows(type).values())
        return [row for row in self._rows(type).values() if matches(where, row.record, row.texts, siblings)]

    def _sorted(self, type: str, where: Condition, orders: Sequence[Order]) -> list[_Row]:
        table = self._tables[type]
        siblings = _Siblings(self._rows(type).values())
        rows = self._matching(type, where)
        rows.sort(key=lambda row: row.place, reverse=descending(table, list(orders)))
        for one in reversed(orders):
            rows.sort(key=lambda row: _key(table, one, row, siblings), reverse=not one.ascending)
        return rows

    async def state(self, type: str) -> int:
        self._tables[type]
        return self._state.states.get(type, 0)

    async def states(self) -> Mapping[str, int]:
        return dict(self._state.states)

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        state = await self.state(type)
        if not max(0, self._state.floors.get(type, 0)) <= since <= state:
            return None
        entries = (entry for entry in self._state.log if entry.type == type and entry.modseq > since)
        return coalesce(entries, limit, state)

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        return _referenced(self._tables, self._state, ids)


class _Siblings:
    """The records of one type by the value of a property; an index is made when it is first asked for."""

    def __init__(self, rows: Collection[_Row]) -> None:
        self._rows = rows
        self._by: dict[str, dict[bytes, list[tuple[JsonObject, Texts]]]] = {}

    def __call__(self, property: str, value: Any) -> Iterable[tuple[JsonObject, Texts]]:
        if property not in self._by:
            groups = self._by[property] = defaultdict(list)
            for row in self._rows:
                groups[msgspec.json.encode(row.record.get(property))].append((row.record, row.texts))
        return self._by[property].get(msgspec.json.encode(value), ())


def _first_of_each(rows: Iterable[_Row], property: str) -> list[_Row]:
    first: dict[bytes, _Row] = {}
    for row in rows:
        first.setdefault(msgspec.json.encode(row.record.get(property)), row)
    return list(first.values())


def _key(table: Table, by: Order, row: _Row, siblings: _Siblings) -> Any:
    if is_own_order(table, by):
        return row.place[0]
    if isinstance(by.by, str):
        return sort_key(row.record.get(by.by), by.collation)
    return matches(by.by, row.record, row.texts, siblings)


def _referenced(tables: Mapping[str, Table], state: _State, ids: Collection[BlobId]) -> set[BlobId]:
    wanted = set(ids)
    found: set[BlobId] = set()
    for type, rows in state.rows.items():
        if tables[type].blobs:
            for row in rows.values():
                found |= wanted & blob_ids(tables[type], row.record)
    return found


class _Transaction(_Snapshot):
    """Works on copies of what it touches; the store takes the whole over when the body has passed."""

    def __init__(self, tables: Mapping[str, Table], state: _State) -> None:
        super().__init__(
            tables, msgspec.structs.replace(state, states=dict(state.states), rows=dict(state.rows))
        )
        self._state.log = list(state.log)
        self._copied: set[str] = set()

    def _writable(self, type: str) -> dict[Id, _Row]:
        if type not in self._copied:
            self._state.rows[type] = dict(self._rows(type))
            self._copied.add(type)
        return self._state.rows[type]

    async def put(self, type: str, record: JsonObject, texts: Mapping[str, str] | None = None) -> None:
        table = self._tables[type]
        rows = self._writable(type)
        old = rows.get(record["id"])
        if old is None:
            self._state.arrivals += 1
            second = order.second(record.get(table.order)) if table.order else 0
            place = (second, self._state.arrivals)
        else:
            place = old.place
            if table.order and old.record.get(table.order) != record.get(table.order):
                raise ValueError(f"{type}.{table.order} never changes")
        kept = old.texts if old is not None and texts is None else dict(texts or {})
        rows[record["id"]] = _row(place, record, kept)
        self._log(type, record["id"], "created" if old is None else "updated", None)

    async def update(self, type: str, id: Id, properties: JsonObject) -> None:
        old = self._rows(type)[id]
        if self._tables[type].order in properties:
            raise ValueError(f"{type}.{self._tables[type].order} never changes")
        self._writable(type)[id] = _row(old.place, old.record | properties, old.texts)
        self._log(type, id, "updated", frozenset(properties))

    async def delete(self, type: str, id: Id) -> None:
        del self._writable(type)[id]
        self._log(type, id, "destroyed", None)

    def _log(self, type: str, id: Id, kind: Kind, names: frozenset[str] | None) -> None:
        table = self._tables[type]
        if not table.logged:
            return
        self._state.modseq += 1
        self._state.states[type] = self._state.modseq
        if table.creations is not None and kind == "created":
            self._state.states[table.creations] = self._state.modseq
        self._state.log.append(Entry(type, id, kind, self._state.modseq, names))


class _Unlogged(_Transaction):
    """What is written was logged elsewhere."""

    def _log(self, type: str, id: Id, kind: Kind, names: frozenset[str] | None) -> None: ...


class MemoryStore:
    """Records in this process only."""

    def __init__(
        self, tables: Sequence[Table], clock: Clock, announce: Callable[[Hint], None] = silence
    ) -> None:
        self._tables = {table.name: table for table in tables}
        self._clock = clock
        self._announce = announce
        self._accounts: dict[Id, _State] = {}
        self._locks: defaultdict[Id, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Of all accounts in commit order; the first of them is change number ``_forgotten`` + 1.
        self._log: list[tuple[Change, datetime]] = []
        self._forgotten = 0
        self._loads = memory_moving.Loads(self._tables, self._replace)
        # By name: the last one given out, and until when, by the monotonic clock.
        self._leases: dict[str, tuple[Lease, float]] = {}

    def read(self, account: Id, *, optimistic: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        return self._read(account)

    @asynccontextmanager
    async def _read(self, account: Id) -> AsyncIterator[Snapshot]:
        yield _Snapshot(self._tables, self._accounts.get(account, _State()))

    def write(self, account: Id, lease: Lease | None = None) -> AbstractAsyncContextManager[Transaction]:
        return self._write(account, lease)

    @asynccontextmanager
    async def _write(self, account: Id, lease: Lease | None) -> AsyncIterator[Transaction]:
        async with self._locks[account]:
            self._must_hold(lease)
            before = self._accounts.get(account, _State())
            tx = _Transaction(self._tables, before)
            yield tx
            self._must_hold(lease)
            after = tx._state
            self._accounts[account] = after
            now = self._clock.now()
            self._log.extend(
                (Change(account, e.type, e.id, e.kind, e.modseq, e.names), now)
                for e in after.log[len(before.log) :]
            )
        if after.modseq > before.modseq:
            new = {type: state for type, state in after.states.items() if state > before.modseq}
            self._announce(Hint(account, before.modseq, new))

    # ------------------------------------------------------------ leases

    def _must_hold(self, lease: Lease | None) -> None:
        if lease is not None and self._held(lease.name) != lease:
            raise LeaseLost(lease.name)

    def _held(self, name: str) -> Lease | None:
        lease, until = self._leases.get(name, (None, 0.0))
        return lease if time.monotonic() < until else None

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        lease = self._held(name)
        if lease is None:
            last = self._leases[name][0].token if name in self._leases else 0
            lease = Lease(name, holder, last + 1)
        elif lease.holder != holder:
            return None
        self._leases[name] = (lease, time.monotonic() + ttl_s)
        return lease

    async def release(self, lease: Lease) -> None:
        """The token is kept, so that the next one is higher."""
        if self._held(lease.name) == lease:
            self._leases[lease.name] = (lease, 0.0)

    # ------------------------------------------------------------ all accounts

    async def feed(
        self, after: Cursor, limit: int, types: Collection[str] | None = None
    ) -> tuple[list[Change], Cursor]:
        start = max(int(after.position or 0), self._forgotten) - self._forgotten
        found: list[Change] = []
        end = start
        for change, _ in islice(self._log, start, None):
            end += 1
            if types is None or change.type in types:
                found.append(change)
                if len(found) == limit:
                    break
        return found, Cursor(str(self._forgotten + end)) if end > start else after

    async def head(self) -> Cursor:
        return Cursor(str(self._forgotten + len(self._log)))

    async def accounts(self) -> list[Id]:
        return sorted(id for id, state in self._accounts.items() if state.log or any(state.rows.values()))

    async def referenced_blobs(self, ids: Collection[BlobId]) -> set[BlobId]:
        """Also those of accounts that are being loaded."""
        found: set[BlobId] = set()
        states = (*self._accounts.values(), *self._loads.states())
        return found.union(*(_referenced(self._tables, state, ids) for state in states))

    async def prune(self, before: datetime) -> None:
        """The last entry of all stays, as in every store: positions in the log go on from there."""
        while len(self._log) > 1 and self._log[0][1] < before:
            async with self._locks[self._log[0][0].account]:
                self._forget_first()

    def _forget_first(self) -> None:
        change, _ = self._log.pop(0)
        self._forgotten += 1
        state = self._accounts[change.account]
        floors = state.floors | {change.type: change.modseq}
        self._accounts[change.account] = msgspec.structs.replace(state, floors=floors, log=state.log[1:])

    async def check(self) -> list[str]:
        return []

    # ------------------------------------------------------------ moving

    def dump(self, account: Id, after: str | None = None) -> Pieces:
        state = self._accounts.get(account, _State())
        return memory_moving.dump(self._tables, account, state, self._log, after)

    async def load(self, account: Id, dump: Dump) -> None:
        await self._loads.load(account, dump)

    def _replace(self, account: Id, state: _State, entries: list[memory_moving.Logged]) -> None:
        """Positions of what comes later in the log stay."""
        kept = [one for one in self._log if one[0].account != account]
        self._forgotten += len(self._log) - len(kept)
        self._log[:] = kept + entries
        self._accounts[account] = state

    async def changed_since(self, account: Id, stamp: str) -> Delta | None:
        state = self._accounts.get(account, _State())
        return memory_moving.changed_since(self._tables, account, state, self._log, stamp)

    async def catch_up(self, account: Id, stamp: str, delta: Delta) -> bool:
        async with self._locks[account]:
            before = self._accounts.get(account, _State())
            if self._loads.whole(account) != stamp or before.modseq != moving.modseq_of(stamp):
                return False
            tx = _Unlogged(self._tables, before)
            await moving.apply(tx, self._tables, delta)
            self._replace(account, *memory_moving.caught_up(account, tx._state, self._log, delta))
            self._loads.caught_up(account, delta.head.stamp)
        return True

    async def loaded(self) -> Mapping[Id, str]:
        return self._loads.stamps()

    async def unindexed(self, account: Id, type: str) -> AsyncGenerator[list[Id], None]:
        ids = memory_moving.unindexed(self._tables[type], self._accounts.get(account, _State()))
        if ids:
            yield ids

    async def index(
        self, account: Id, type: str, texts: Mapping[Id, Mapping[str, str]], state: int | None = None
    ) -> bool:
        async with self._locks[account]:
            before = self._accounts.get(account, _State())
            if state is not None and before.states.get(type, 0) != state:
                return False
            self._accounts[account] = memory_moving.index(self._tables[type], before, texts)
        return True

    async def backup(self, directory: str) -> None:
        """There is nothing that could be copied."""

    async def close(self) -> None:
        self._accounts.clear()


_: type[Moving] = MemoryStore
