"""Writing one account of a PostgreSQL database, whose row is locked from the first statement on.

What is written waits in memory until it is asked for by a selection, or until the end: then it is one
statement, and the commit another.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime

import msgspec

from veredus.conditions import EVERYTHING, Condition, Order
from veredus.ports import Changes, Hint, Kind, Lease, LeaseLost, Transaction
from veredus.store import projection
from veredus.store.postgres.batch import Batch, Writing
from veredus.store.postgres.entries import Entries
from veredus.store.postgres.link import Link
from veredus.store.postgres.lock import lock
from veredus.store.postgres.pending import Held, Pending, read_by, read_by_order
from veredus.store.postgres.reads import Opened, Parts, Reads, decode_states
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.values import key, storable
from veredus.wire.types import BlobId, Id, JsonObject

# Kept until the end: whoever takes the lease over waits for that (``leases``).
_FENCE = """
SELECT 1 FROM lease WHERE name = $1 AND holder = $2 AND token = $3 AND until > clock_timestamp() FOR KEY SHARE
"""


class Writes(Reads):
    """A Transaction; ``begin`` comes first, ``finish`` last."""

    _lease: Lease | None

    def __init__(self, link: Link, layouts: Mapping[str, Layout], id: Id, now: datetime) -> None:
        super().__init__(link, layouts, id, None)
        self._at = int(now.timestamp())
        self._rows_held: dict[tuple[str, Id], Held] = {}
        # Looked for, and not there.
        self._absent: set[tuple[str, Id]] = set()
        self._pending: dict[str, dict[Id, Pending]] = {}
        self._wrote = False
        # Of what was written since the row of the account was.
        self._is_behind = False

    async def begin(self, lease: Lease | None) -> None:
        """Lock the account, which is made if there is none. Raises LeaseLost."""
        found = await lock(self._link, self._id, create=True)
        account, modseq, states, self._arrivals, _, self.writer, _ = found
        self._opened = Opened(account, modseq, decode_states(states), {})
        self._entries = Entries(self._layouts, self._opened)
        self._a, self._before = account, modseq
        self._lease = lease
        await self._check_lease()

    async def _check_lease(self) -> None:
        lease = self._lease
        if lease and not await self._link.fetch(_FENCE, (lease.name, lease.holder, lease.token)):
            raise LeaseLost(f"{lease.name} is no longer held by {lease.holder}")

    @property
    def _seen(self) -> Opened:
        assert self._opened is not None
        return self._opened

    # ------------------------------------------------------------ reading its own writes

    async def _objects(
        self, layout: Layout, ids: Sequence[Id] | None, names: Collection[str] | None
    ) -> dict[Id, bytes]:
        """Nobody else writes the account meanwhile: what was read once need not be read again."""
        if ids is None:
            await self._write_records()
            return await super()._objects(layout, ids, names)
        pending = self._pending.get(layout.name, {})
        wants_cold = layout.cold is not None and (names is None or not layout.cold_names.isdisjoint(names))
        found: dict[Id, bytes] = {}
        missing = []
        for id in dict.fromkeys(ids):
            if id in pending:
                if not pending[id].is_gone:
                    found[id] = await self._joined(layout, pending[id], wants_cold)
                continue
            held = self._rows_held.get((layout.name, id))
            if held is not None and not (wants_cold and held.parts.cold is None):
                found[id] = held.parts.joined()
            elif (layout.name, id) not in self._absent:
                missing.append(id)
        if missing:
            found.update(await super()._objects(layout, missing, names))
        return {id: found[id] for id in dict.fromkeys(ids) if id in found}

    async def _joined(self, layout: Layout, pending: Pending, wants_cold: bool) -> bytes:
        if pending.record is not None:
            return msgspec.json.encode(pending.record)
        assert pending.live is not None
        assert pending.held is not None
        held = pending.held
        if wants_cold:
            held = await self._with_cold(layout, pending.live["id"], held)
        return Parts(msgspec.json.encode(pending.live), held.parts.fixed, held.parts.cold).joined()

    async def _rows(self, layout: Layout, wanted: Set[str], ids: list[Id] | None) -> dict[Id, bytes]:
        """Everything of a row is kept: what is read here is mostly written next."""
        columns, join = "r.id, r.rid, r.texts, r.live, r.fixed", ""
        if "cold" in wanted and layout.cold:
            columns += ", c.json"
            join = f" LEFT JOIN {layout.cold} c ON c.a = r.a AND c.rid = r.rid"
        source = f"SELECT {columns} FROM {layout.records} r{join} WHERE r.a = $1"
        if ids is None:
            rows = await self._link.fetch(f"{source} ORDER BY r.rid", (self._a,))
        else:
            rows = await self._link.fetch(f"{source} AND r.id = ANY($2::text[])", (self._a, storable(ids)))
        found = {}
        for id, rid, has_texts, *stored in rows:
            held = self._rows_held[layout.name, id] = Held(rid, has_texts, Parts(*stored))
            found[id] = held.parts.joined()
        self._absent.update((layout.name, id) for id in ids or () if id not in found)
        return found

    async def _held(self, layout: Layout, id: Id) -> Held | None:
        """The stored record, without its cold part if that is all the same."""
        held = self._rows_held.get((layout.name, id))
        if held is None and (layout.name, id) not in self._absent:
            await self._rows(layout, {"fixed", "cold"}, [id])
            held = self._rows_held.get((layout.name, id))
        return held

    async def _with_cold(self, layout: Layout, id: Id, held: Held) -> Held:
        held = self._rows_held.get((layout.name, id), held)
        if layout.cold is None or held.parts.cold is not None:
            return held
        await self._rows(layout, {"fixed", "cold"}, [id])
        return self._rows_held[layout.name, id]

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
        read = read_by(where).union(*map(read_by_order, order))
        await self._write_what_counts(type, read | ({distinct} if distinct else set()))
        return await super().select(type, where, order, limit=limit, offset=offset, distinct=distinct)

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        await self._write_what_counts(type, read_by(where) | ({distinct} if distinct else set()))
        return await super().count(type, where, distinct=distinct)

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        await self._write_records()
        return await super().owns_blob(ids)

    async def state(self, type: str) -> int:
        """A state that is asked for may be given out, so what follows is logged behind it."""
        self._entries.number()
        return await super().state(type)

    async def states(self) -> Mapping[str, int]:
        self._entries.number()
        return await super().states()

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        await self._write(with_log=True)
        return await super().changes(type, since, limit)

    # ------------------------------------------------------------ records

    async def put(self, type: str, record: JsonObject, texts: Mapping[str, str] | None = None) -> None:
        layout, id = self._layouts[type], record["id"]
        pending = self._of(type).get(id)
        if pending is not None and pending.is_gone:
            # The row of the old one must be out of the way.
            await self._write_records()
            pending = None
        held = pending.held if pending is not None else await self._held(layout, id)
        record = msgspec.to_builtins(record)
        await self._check_order(layout, pending, held, record)
        is_new = held is None and pending is None
        if texts is None and pending is not None:
            texts = pending.texts
        self._of(type)[id] = Pending(held, record, texts=texts)
        self._log(layout, id, "created" if is_new else "updated", None)

    async def _check_order(
        self, layout: Layout, pending: Pending | None, held: Held | None, record: JsonObject
    ) -> None:
        name = layout.table.order
        if name is None or (held is None and pending is None):
            return
        before = pending.record if pending is not None else None
        if before is None:
            assert held is not None
            # It need not be in the part that was read.
            before = msgspec.json.decode((await self._with_cold(layout, record["id"], held)).parts.joined())
        if before.get(name) != record.get(name):
            raise ValueError(f"{layout.name}.{name} never changes")

    def _of(self, type: str) -> dict[Id, Pending]:
        return self._pending.setdefault(type, {})

    async def update(self, type: str, id: Id, properties: JsonObject) -> None:
        layout = self._layouts[type]
        if layout.table.order in properties:
            raise ValueError(f"{type}.{layout.table.order} never changes")
        names = frozenset(properties)
        # What is the caller's may change before it is written.
        properties = msgspec.to_builtins(properties)
        pending = await self._pending_of(layout, id)
        if pending.record is None and not names <= layout.simple:
            assert pending.held is not None
            whole = msgspec.json.decode(await self._joined(layout, pending, True))
            pending.record, pending.live = whole, None
        if pending.record is not None:
            pending.record |= properties
        else:
            assert pending.live is not None
            pending.live |= properties
            pending.names |= names
        self._of(type)[id] = pending
        self._log(layout, id, "updated", names)

    async def _pending_of(self, layout: Layout, id: Id) -> Pending:
        """What is written of a record that exists (else KeyError)."""
        pending = self._of(layout.name).get(id)
        if pending is None:
            held = await self._held(layout, id)
            if held is None:
                raise KeyError(id)
            return Pending(held, live=msgspec.json.decode(held.parts.live))
        if pending.is_gone:
            raise KeyError(id)
        return pending

    async def delete(self, type: str, id: Id) -> None:
        layout = self._layouts[type]
        held = (await self._pending_of(layout, id)).held
        if held is None:
            del self._of(type)[id]
        else:
            self._of(type)[id] = Pending(await self._with_cold(layout, id, held))
        self._log(layout, id, "destroyed", None)

    # ------------------------------------------------------------ log

    def _log(self, layout: Layout, id: Id, kind: Kind, names: frozenset[str] | None) -> None:
        self._entries.add(layout, id, kind, names)

    def hint(self) -> Hint | None:
        """What to tell once all of it is committed; None: nothing was logged."""
        states = self._entries.new_states
        return Hint(self._id, self._before, states) if states else None

    # ------------------------------------------------------------ writing

    async def _write_what_counts(self, type: str, read: set[str]) -> None:
        """For a selection of ``type`` that reads these properties: changes of others can wait."""
        for pending in self._pending.get(type, {}).values():
            if pending.live is None or not read.isdisjoint(pending.names):
                await self._write_records()
                return

    async def _write_records(self) -> None:
        await self._write(with_log=False)

    async def _write(self, *, with_log: bool) -> None:
        """Everything that waits, in one statement."""
        batch = Batch(self._a)
        for type, pending in sorted(self._pending.items()):
            writing = Writing(self._layouts[type])
            for id, one in pending.items():
                await self._add(writing, id, one)
            writing.into(batch)
        self._pending.clear()
        if with_log:
            self._entries.write(batch, self._at, self.writer)
            if self._is_behind or not batch.is_empty:
                self._add_account(batch)
        statement = batch.statement()
        if statement is not None:
            self._wrote, self._is_behind = True, not with_log
            await self._link.fetch(*statement)

    async def _add(self, writing: Writing, id: Id, pending: Pending) -> None:
        layout, held = writing.layout, pending.held
        if pending.is_gone:
            assert held is not None
            self._rows_held.pop((layout.name, id), None)
            self._absent.add((layout.name, id))
            writing.gone(held.rid, msgspec.json.decode(held.parts.joined()))
            return
        if pending.live is not None:
            assert held is not None
            encoded = msgspec.json.encode(pending.live)
            before = msgspec.json.decode(held.parts.live)
            covers = self._covers(layout, held)
            writing.live(held.rid, before, pending.live, encoded, pending.names, covers)
            now = Parts(encoded, held.parts.fixed, held.parts.cold)
            self._rows_held[layout.name, id] = Held(held.rid, held.has_texts, now)
            return
        assert pending.record is not None
        before = None
        if held is None:
            self._arrivals += 1
            self._absent.discard((layout.name, id))
            held = Held(layout.rid(pending.record, self._arrivals), False, Parts(b""))
        else:
            held = await self._with_cold(layout, id, held)
            before = msgspec.json.decode(held.parts.joined())
        encoded_parts = layout.parts(pending.record)
        has_texts = held.has_texts or pending.texts is not None
        writing.whole(held.rid, before, pending.record, encoded_parts, has_texts)
        if pending.texts is not None and layout.txt:
            writing.texts(held.rid, pending.texts)
        live, fixed, cold = encoded_parts
        now = Parts(live, fixed, cold if layout.cold else None)
        self._rows_held[layout.name, id] = Held(held.rid, has_texts, now)

    def _covers(self, layout: Layout, held: Held) -> list[bytes | None]:
        if not layout.covers or not layout.members:
            return []
        record = projection.picker(frozenset(layout.covers)).read([held.parts.joined()])[0]
        return [key(record.get(name)) for name in layout.covers]

    def _add_account(self, batch: Batch) -> None:
        """Of every transaction that writes: by the writer others see that something is new."""
        batch.add(
            f"UPDATE account SET modseq = {batch.bind(self._seen.modseq)},"
            f" arrivals = {batch.bind(self._arrivals)}, writer = {batch.bind(self.writer)},"
            f" states = {batch.bind(msgspec.json.encode(self._seen.states).decode())}::text::jsonb"
            " WHERE a = $1"
        )

    async def finish(self) -> bool:
        """Write what waits; whether there is anything to commit. Raises LeaseLost."""
        await self._write(with_log=True)
        await self._check_lease()
        return self._wrote

    @property
    def last(self) -> tuple[int, int] | None:
        """Account number and modseq of the last entry of the log; None: nothing was logged."""
        return (self._a, self._seen.modseq) if self._entries.new_states else None


_: type[Transaction] = Writes
