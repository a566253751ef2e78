"""Reading one account of a PostgreSQL database, in one transaction that sees one moment.

The first statement tells the account's states, and what has changed since the states that this process
remembers (``store.cache``); what is remembered and still true needs no other. A window into a query brings
the records along that are not remembered: a list view costs two round trips at most, mostly one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
from msgspec import Struct, field

from veredus.conditions import EVERYTHING, Condition, Order, Text
from veredus.ports import Changes, Snapshot
from veredus.store import limits, projection
from veredus.store.cache import Cache, Known
from veredus.store.coalesce import Entry, coalesce
from veredus.store.postgres import plan
from veredus.store.postgres.link import Link
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.values import storable
from veredus.wire.types import BlobId, Id, JsonObject

# The number of an account that is not there; no row has it.
NO_ACCOUNT = -1
# How many ids are remembered one by one.
FOLLOWED = 1000
_NUMBERS = 100_000
# What stands in a question about texts.
_TEXT = f"{Text.__name__}("
# Windows up to this size bring their records along.
_BROUGHT = 256

# $1: account id; $2, $3: types, and the states of them that are remembered.
OPEN = f"""
SELECT a, modseq, states, writer, ARRAY(
  SELECT k.type || ' ' || changed.id
  FROM unnest($2::text[], $3::bigint[]) AS k(type, since) CROSS JOIN LATERAL (
    SELECT log.id FROM log WHERE log.a = account.a AND log.type = k.type AND log.modseq > k.since
    AND (account.states -> k.type ->> 0)::bigint > k.since LIMIT {FOLLOWED + 1}) AS changed)
FROM account WHERE id = $1
"""

States = dict[str, tuple[int, int]]
decode_states = msgspec.json.Decoder(States).decode


class Parts(Struct, frozen=True):
    """The stored JSON objects of a record; None: not read (or there is none)."""

    live: bytes
    fixed: bytes | None = None
    cold: bytes | None = None

    def joined(self) -> bytes:
        whole = self.live
        for part in (self.fixed, self.cold):
            if part is not None:
                whole = projection.splice(whole, part)
        return whole


class Opened(Struct):
    """What the first statement told. ``states``: of each type the state, and the modseq of the last forgotten
    entry."""

    account: int
    modseq: int
    states: States
    # By type: the state asked about, and what changed since (None: too much).
    changed: dict[str, tuple[int, list[Id] | None]]
    writer: int = 0


def opened(row: Any, asked: Mapping[str, int]) -> Opened:
    """``row``: of OPEN."""
    changed: dict[str, list[Id]] = {type: [] for type in asked}
    for pair in row[4]:
        type, _, id = pair.partition(" ")
        changed[type].append(id)
    told = {type: (asked[type], ids if len(ids) <= FOLLOWED else None) for type, ids in changed.items()}
    return Opened(row[0], row[1], decode_states(row[2]), told, row[3])


class Remembered(Struct):
    """What the readers of a process share: the cache, and the numbers of accounts.

    ``timeline``: of the servers that all of it was read from (``Link.timeline``).
    """

    timeline: str = ""
    cache: Cache = field(default_factory=Cache)
    numbers: dict[Id, int] = {}

    def asked(self, account: Id, layouts: Mapping[str, Layout]) -> dict[str, int]:
        """The states at which something is remembered of the account."""
        number = self.numbers.get(account)
        return {} if number is None else self.cache.states(number, layouts)

    def note(self, account: Id, number: int) -> None:
        if len(self.numbers) >= _NUMBERS:
            self.numbers.clear()
        self.numbers[account] = number


class Reads:
    """A Snapshot. ``link``: to a transaction of its own, as long as this is used."""

    def __init__(
        self, link: Link, layouts: Mapping[str, Layout], id: Id, remembered: Remembered | None
    ) -> None:
        self._link = link
        self._layouts = layouts
        self._id = id
        # Of what is committed; a transaction that writes has none.
        self._remembered = remembered
        self._opened: Opened | None = None
        # Parts that came along with a window.
        self._brought: dict[tuple[str, Id], Parts] = {}

    async def _open(self) -> Opened:
        if self._opened is None:
            assert self._remembered is not None
            asked = self._remembered.asked(self._id, self._layouts)
            rows = await self._link.first(OPEN, (self._id, list(asked), list(asked.values())))
            if self._link.timeline != self._remembered.timeline:
                self._remembered = None
            if rows:
                self._opened = opened(rows[0], asked)
                if self._remembered is not None:
                    self._remembered.note(self._id, self._opened.account)
            else:
                self._opened = Opened(NO_ACCOUNT, 0, {}, {})
        return self._opened

    async def _account(self) -> int:
        return (await self._open()).account

    async def _known(self, type: str) -> Known | None:
        """What is remembered of the type as this snapshot sees it; None when nothing may be."""
        if self._remembered is None or not self._layouts[type].table.logged:
            return None
        found = await self._open()
        # Opening it may have shown that nothing remembered is of use.
        remembered: Remembered | None = self._remembered
        if found.account == NO_ACCOUNT or remembered is None:
            return None
        state, floor = found.states.get(type, (0, 0))
        asked, ids = found.changed.get(type, (state, None))

        def changed(since: int) -> Iterable[Id] | None:
            return ids if floor <= since and asked <= since else None

        return remembered.cache.at(found.account, type, state, changed)

    # ------------------------------------------------------------ records

    async def get(
        self, type: str, ids: Sequence[Id] | None, names: Set[str] | None = None
    ) -> list[JsonObject]:
        found = await self._objects(self._layouts[type], ids, names)
        if names is not None:
            return projection.picker(frozenset(names)).read(found.values())
        return msgspec.json.decode(b"[" + b",".join(found.values()) + b"]", type=list[dict[str, Any]])

    async def project(self, type: str, ids: Sequence[Id] | None, names: Sequence[str]) -> list[Struct]:
        layout = self._layouts[type]
        known = await self._known(type) if ids is not None and len(ids) <= FOLLOWED else None
        if known is None or ids is None:
            return projection.reader(names).read((await self._objects(layout, ids, names)).values())
        return await self._from_known(layout, known, ids, tuple(names))

    async def _from_known(
        self, layout: Layout, known: Known, ids: Sequence[Id], names: tuple[str, ...]
    ) -> list[Struct]:
        """What is to be remembered is decoded by itself, for it to keep no more than its own text alive."""
        assert self._remembered is not None
        state, records = known.state, known.of(names)
        found: dict[Id, Any] = {id: records.get(id) for id in ids}
        missing = [id for id in found if found[id] is None]
        if not missing:
            return list(found.values())
        again = known.read_again(missing)
        objects = await self._objects(layout, missing, names)
        reader = projection.reader(names)
        once: list[Any] = reader.read(text for id, text in objects.items() if id not in again)
        found.update((record.id, record) for record in once)
        # Another reader may have gone on to a newer state meanwhile.
        is_current = known.state == state
        for id in again & objects.keys():
            found[id] = record = reader.one(objects[id])
            if is_current:
                self._remembered.cache.remember(known, names, id, record, len(objects[id]))
        return [record for record in found.values() if record is not None]

    async def _objects(
        self, layout: Layout, ids: Sequence[Id] | None, names: Collection[str] | None
    ) -> dict[Id, bytes]:
        """The stored JSON of records, of those parts that hold the names, in the order of ``ids``."""
        wanted = {"fixed", "cold"} if names is None else {layout.part(name) for name in names}
        if ids is None:
            return await self._rows(layout, wanted, None)
        found: dict[Id, bytes | None] = dict.fromkeys(ids)
        if self._brought and "cold" not in wanted:
            for id in found:
                if parts := self._brought.get((layout.name, id)):
                    found[id] = parts.joined()
        missing = [id for id, text in found.items() if text is None]
        if missing:
            found.update(await self._rows(layout, wanted, missing))
        return {id: text for id, text in found.items() if text is not None}

    async def _rows(self, layout: Layout, wanted: Set[str], ids: list[Id] | None) -> dict[Id, bytes]:
        account = await self._account()
        columns, join = "r.id, r.live", ""
        if "fixed" in wanted:
            columns += ", r.fixed"
        if "cold" in wanted and layout.cold:
            columns += ", c.json"
            join = f" LEFT JOIN {layout.cold} c ON c.a = r.a AND c.rid = r.rid"
        source = f"SELECT {columns} FROM {layout.records} r{join} WHERE r.a = $1"
        if ids is None:
            rows = await self._link.fetch(f"{source} ORDER BY r.rid", (account,))
        elif len(known := storable(ids)) == 1:
            rows = await self._link.fetch(f"{source} AND r.id = $2", (account, known[0]))
        else:
            rows = await self._link.fetch(f"{source} AND r.id = ANY($2::text[])", (account, known))
        splice = projection.splice
        match columns.count(","):
            case 1:
                return dict(map(tuple, rows))
            case 2:
                return {id: splice(live, more) for id, live, more in rows}
        return {id: splice(splice(live, fixed), cold) for id, live, fixed, cold in rows}

    # ------------------------------------------------------------ selections

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
        known = await self._known(type)
        question = self._question(where, order, limit, offset, distinct)
        if known is not None and question in known.results:
            return list(known.results[question])
        state = known.state if known is not None else 0
        wanted = plan.Selection(
            self._layouts[type], await self._account(), where, order, distinct, limit, offset
        )
        is_short = limit is not None and limit <= _BROUGHT
        window = plan.window(wanted) if is_short and self._remembered is not None else None
        ids = (
            await plan.select(wanted, self._link.fetch)
            if window is None
            else await self._bring(wanted.layout, window, known)
        )
        self._remember_result(known, state, question, ids)
        return list(ids)

    def _question(self, *asked: object) -> str:
        """What is asked, in words: as values, true and 1 would be the same.

        Texts may be indexed without a change of state (``Moving.index``), but not without a writer.
        """
        question = repr(asked)
        if _TEXT in question and self._opened is not None:
            question += str(self._opened.writer)
        return question

    def _remember_result(self, known: Known | None, state: int, question: str, answer: Any) -> None:
        if known is not None and known.state == state and self._remembered is not None:
            self._remembered.cache.remember_result(known, question, answer)

    async def _bring(self, layout: Layout, window: plan.Statement, known: Known | None) -> list[Id]:
        """The ids of a window; the records that are not remembered come along with them."""
        account, count = await self._account(), len(window.values)
        if known is not None and not known.brings:
            rows = await self._link.fetch(window.sql, window.values)
            ids = [row[1] for row in rows]
            # As long as most of them are remembered, nothing need come along.
            known.brings = 2 * sum(map(known.holds, ids)) < len(ids)
            return ids
        remembered = [] if known is None else [id for id in known.listed if known.holds(id)]
        rows = await self._link.fetch(
            f"SELECT w.id, r.live, r.fixed FROM (SELECT rid, id, row_number() OVER () AS place"
            f" FROM ({window.sql}) AS found) AS w LEFT JOIN {layout.records} r"
            f" ON r.a = ${count + 1} AND r.rid = w.rid AND w.id <> ALL(${count + 2}::text[]) ORDER BY place",
            (*window.values, account, remembered),
        )
        for id, live, fixed in rows:
            if live is not None:
                self._brought[layout.name, id] = Parts(live, fixed)
        ids = [row[0] for row in rows]
        if known is not None:
            needless = sum(1 for id, live, _ in rows if live is not None and known.holds(id))
            known.listed, known.brings = ids, 2 * needless < len(ids) + 1
        return ids

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        limits.check(where)
        known = await self._known(type)
        question = self._question(where, distinct)
        if known is not None and question in known.results:
            answer: int = known.results[question]
            return answer
        state = known.state if known is not None else 0
        wanted = plan.Selection(self._layouts[type], await self._account(), where, (), distinct)
        answer = await plan.count(wanted, self._link.fetch)
        self._remember_result(known, state, question, answer)
        return answer

    # ------------------------------------------------------------ states

    async def state(self, type: str) -> int:
        return (await self._state(type))[0]

    async def _state(self, type: str) -> tuple[int, int]:
        self._layouts[type]
        return (await self._open()).states.get(type, (0, 0))

    async def states(self) -> Mapping[str, int]:
        return {type: state for type, (state, _) in (await self._open()).states.items()}

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        state, floor = await self._state(type)
        if not floor <= since <= state:
            return None
        if since == state:
            return Changes([], [], [], state, False, frozenset())
        entries: list[Entry] = []
        page = 2 * min(limit, 10_000) + 100
        while True:
            last = entries[-1].modseq if entries else since
            rows = await self._link.fetch(
                "SELECT id, kind, modseq, names FROM log WHERE a = $1 AND type = $2 AND modseq > $3"
                " ORDER BY modseq LIMIT $4",
                (await self._account(), type, last, page),
            )
            entries.extend(Entry(type, id, kind, at, decode_names(names)) for id, kind, at, names in rows)
            is_all = len(rows) < page
            changes = coalesce(entries, limit, state if is_all else entries[-1].modseq)
            if is_all or changes.has_more:
                return changes
            page *= 2

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        rows = await self._link.fetch(
            "SELECT DISTINCT blob FROM blob WHERE a = $1 AND blob = ANY($2::text[])",
            (await self._account(), storable(ids)),
        )
        return {row[0] for row in rows}


def decode_names(names: str | None) -> frozenset[str] | None:
    return None if names is None else frozenset(msgspec.json.decode(names, type=list[str]))


_: Callable[..., Snapshot] = Reads
