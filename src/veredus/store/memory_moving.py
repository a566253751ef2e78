"""Dump and load of an account of the memory store; what other stores do, in its plainest form."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from veredus.ports import Change, Table
from veredus.ports.moving import Delta, Dump, Head, LogRow, LogRows, Pieces, Row, Rows
from veredus.store import memory_state, moving, order
from veredus.store.coalesce import Entry
from veredus.store.memory_state import State
from veredus.wire.types import Id

# A change and when it was.
Logged = tuple[Change, datetime]


class _Part(Struct):
    """What there is of an account that is being loaded."""

    stamp: str
    place: str | None = None
    state: State = msgspec.field(default_factory=lambda: State(rows={}))


class Loads:
    """What has been loaded, and is being loaded."""

    def __init__(
        self, tables: Mapping[str, Table], replace: Callable[[Id, State, list[Logged]], None]
    ) -> None:
        self._tables, self._replace = tables, replace
        self._parts: dict[Id, _Part] = {}
        self._whole: dict[Id, str] = {}

    def stamps(self) -> dict[Id, str]:
        return dict.fromkeys(self._parts, "") | self._whole

    def states(self) -> list[State]:
        """Of what is being loaded, as far as it has come."""
        return [part.state for part in self._parts.values()]

    async def load(self, account: Id, dump: Dump) -> None:
        part = self._parts.get(account)
        head, pieces, goes_on = await moving.resumed(
            dump, part.stamp if part else None, part.place if part else None
        )
        try:
            loaders = moving.loaders(self._tables, head)
            if part is None or not goes_on:
                part = self._parts[account] = _Part(head.stamp)
            log: list[LogRow] = []
            async for piece in pieces:
                if isinstance(piece, Rows):
                    _insert(part.state, self._tables[piece.type], loaders[piece.type].rows(piece))
                    part.place = piece.place
                elif isinstance(piece, LogRows):
                    log += piece.rows
        finally:
            await pieces.aclose()
        self._replace(account, *_whole(account, part.state, head, log))
        del self._parts[account]
        self._whole[account] = head.stamp

    def whole(self, account: Id) -> str | None:
        """Its stamp, if nothing is being loaded."""
        return None if account in self._parts else self._whole.get(account)

    def caught_up(self, account: Id, stamp: str) -> None:
        self._whole[account] = stamp


def _insert(state: State, table: Table, rows: list[Row]) -> None:
    found = state.rows.setdefault(table.name, {})
    for row in rows:
        state.arrivals += 1
        record = msgspec.json.decode(moving.whole(row))
        second = order.second(record.get(table.order)) if table.order else 0
        found[row.id] = memory_state.row((second, state.arrivals), record, row.texts or {})


def _whole(account: Id, state: State, head: Head, log: list[LogRow]) -> tuple[State, list[Logged]]:
    entries = [Entry(row.type, row.id, row.kind, row.modseq, _names(row)) for row in log]
    times = [datetime.fromtimestamp(row.time, UTC) for row in log]
    changes = [Change(account, e.type, e.id, e.kind, e.modseq, e.names) for e in entries]
    whole = State(
        state.rows,
        {type: modseq for type, (modseq, _) in head.states.items()},
        {type: floor for type, (_, floor) in head.states.items() if floor},
        entries,
        head.modseq,
        state.arrivals,
    )
    return whole, list(zip(changes, times, strict=True))


def _names(row: LogRow) -> frozenset[str] | None:
    return None if row.names is None else frozenset(msgspec.json.decode(row.names))


async def dump(
    tables: Mapping[str, Table], account: Id, state: State, log: list[Logged], after: str | None
) -> Pieces:
    """``log``: of all accounts."""
    dumped = {type: list(_rows(tables[type], state)) for type in tables}
    yield _head(tables, account, state, dumped)
    first, skipped = moving.place_of(after)
    for type, rows in dumped.items():
        if first is not None and type != first:
            continue
        done = skipped + 1 if first is not None else 0
        first = None
        for portion in moving.portions(iter(rows[done:])):
            done += len(portion)
            yield Rows(type, moving.place(type, done - 1), portion)
    log_rows = _log_rows(account, state, log)
    for start in range(0, len(log_rows), moving.LOG_ROWS_AT_ONCE):
        yield LogRows(log_rows[start : start + moving.LOG_ROWS_AT_ONCE])


def _head(tables: Mapping[str, Table], account: Id, state: State, dumped: Mapping[str, list[Row]]) -> Head:
    unlogged = (row for table in tables.values() if not table.logged for row in dumped[table.name])
    states = {type: (modseq, state.floors.get(type, 0)) for type, modseq in state.states.items()}
    return Head(
        account,
        moving.stamp(state.modseq, states, tables.values(), unlogged),
        state.modseq,
        states,
        tuple(tables.values()),
        {type: len(rows) for type, rows in dumped.items()},
    )


def changed_since(
    tables: Mapping[str, Table], account: Id, state: State, log: list[Logged], stamp: str
) -> Delta | None:
    """``log``: of all accounts."""
    dumped = {type: list(_rows(tables[type], state)) for type in tables}
    head, since = _head(tables, account, state, dumped), moving.modseq_of(stamp)
    if not moving.reaches_back(head, since):
        return None
    changed = {(entry.type, entry.id) for entry in state.log if entry.modseq > since}
    rows = [
        Rows(type, "", [row for row in found if not tables[type].logged or (type, row.id) in changed])
        for type, found in dumped.items()
    ]
    return Delta(head, [row for row in _log_rows(account, state, log) if row.modseq > since], rows)


def caught_up(account: Id, state: State, log: list[Logged], delta: Delta) -> tuple[State, list[Logged]]:
    """``state``: with the records as they are now; with the log and the states of the source."""
    kept = [row for row in _log_rows(account, state, log) if row.modseq > delta.head.states[row.type][1]]
    return _whole(account, state, delta.head, [*kept, *delta.log])


def _log_rows(account: Id, state: State, log: list[Logged]) -> list[LogRow]:
    times = {change.modseq: at for change, at in log if change.account == account}
    return [_log_row(entry, times[entry.modseq]) for entry in state.log]


def _log_row(entry: Entry, at: datetime) -> LogRow:
    names = None if entry.names is None else msgspec.json.encode(sorted(entry.names)).decode()
    return LogRow(entry.modseq, entry.type, entry.id, entry.kind, names, int(at.timestamp()))


def _rows(table: Table, state: State) -> Iterator[Row]:
    for row in sorted(state.rows.get(table.name, {}).values(), key=lambda row: row.place):
        live, fixed, cold = moving.divided(table, row.record)
        yield Row(row.record["id"], live, fixed, cold, row.texts or None)


def index(table: Table, state: State, texts: Mapping[Id, Mapping[str, str]]) -> State:
    """The same with other full text."""
    rows = dict(state.rows.get(table.name, {}))
    for id in rows.keys() & texts.keys():
        whole = {field: texts[id].get(field, "") for field in table.texts}
        rows[id] = msgspec.structs.replace(rows[id], texts=whole)
    return msgspec.structs.replace(state, rows=state.rows | {table.name: rows})


def unindexed(table: Table, state: State) -> list[Id]:
    """Newest first."""
    rows = state.rows.get(table.name, {}).values() if table.texts else ()
    newest = sorted(rows, key=lambda row: row.place, reverse=True)
    return [row.record["id"] for row in newest if not row.texts]
