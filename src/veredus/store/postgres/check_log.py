"""What must hold of the log, of the states of accounts, and between the log and the records."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, get_args

import msgspec
from msgspec import Struct, field

from veredus.ports import Kind
from veredus.store.postgres.schema import Layout

_PREFETCHED = 500
_KINDS = frozenset(get_args(Kind))
_ACCOUNTS = "SELECT a, id, modseq, writer, states::text FROM account ORDER BY a"
_LOG = "SELECT a, modseq, type, id, kind, names, writer FROM log ORDER BY a, modseq"
_NEWEST = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
# The last entry of each record, and whether there is one.
_LAST = """
SELECT last.a, last.id, last.kind FROM (
  SELECT DISTINCT ON (a, id) a, id, kind FROM log WHERE type = $1 ORDER BY a, id, modseq DESC) AS last
LEFT JOIN {records} r ON r.a = last.a AND r.id = last.id
WHERE (last.kind = 'destroyed') <> (r.id IS NULL) ORDER BY last.a, last.id
"""


async def cursor(connection: Any, sql: str, *values: Any) -> AsyncIterator[Any]:
    """The rows, some at a time."""
    async for row in connection.cursor(sql, *values, prefetch=_PREFETCHED):
        yield row


class _Seen(Struct):
    """What the log of one account has told."""

    modseq: int = 0
    writer: int = 0
    # By type: the last change, and the last creation.
    last: dict[str, int] = field(default_factory=dict)
    created: dict[str, int] = field(default_factory=dict)
    # By type: the first entry.
    first: dict[str, int] = field(default_factory=dict)


async def check(connection: Any, layouts: Sequence[Layout]) -> AsyncIterator[tuple[int, str]]:
    """Account number and problem, for each broken invariant."""
    newest = await connection.fetchval(_NEWEST)
    log = cursor(connection, _LOG)
    entry = await anext(log, None)
    async for a, id, modseq, writer, states in cursor(connection, _ACCOUNTS):
        while entry is not None and entry[0] < a:
            yield _of_no_account(entry)
            entry = await anext(log, None)
        seen = _Seen()
        while entry is not None and entry[0] == a:
            for problem in _entry(seen, entry, newest):
                yield a, f"account {id}: {problem}"
            entry = await anext(log, None)
        for problem in _account(seen, modseq, writer, states, layouts):
            yield a, f"account {id}: {problem}"
    while entry is not None:
        yield _of_no_account(entry)
        entry = await anext(log, None)
    for layout in layouts:
        if layout.table.logged:
            async for a, problem in _last(connection, layout):
                yield a, problem


def _of_no_account(entry: Any) -> tuple[int, str]:
    return entry[0], f"account {entry[0]}: change {entry[1]} of {entry[2]}, but no account"


async def _last(connection: Any, layout: Layout) -> AsyncIterator[tuple[int, str]]:
    """What the log says last of a record is true of it."""
    async for a, id, kind in cursor(connection, _LAST.format(records=layout.records), layout.name):
        there = "is there" if kind == "destroyed" else "is not there"
        yield a, f"{layout.name}: {id} of account {a} {there}, but its last change says {kind}"


def _entry(seen: _Seen, entry: Any, newest: int) -> Iterator[str]:
    """The log is an unbroken sequence, and later changes are of later transactions."""
    _, modseq, type, id, kind, names, writer = entry
    what = f"change {modseq} of {type} {id}"
    if seen.modseq and modseq != seen.modseq + 1:
        yield f"{what} does not follow the one before, {seen.modseq}"
    if kind not in _KINDS:
        yield f"{what} is of no kind: {kind}"
    if writer < seen.writer:
        yield f"{what}: transaction {writer} is older than that of the change before, {seen.writer}"
    if writer >= newest:
        yield f"{what}: transaction {writer} has not been yet, the next one is {newest}"
    try:
        names is None or msgspec.json.decode(names, type=list[str])
    except msgspec.DecodeError as error:
        yield f"{what}: its names are damaged: {error}"
    seen.modseq, seen.writer = modseq, max(seen.writer, writer)
    seen.last[type] = modseq
    seen.first.setdefault(type, modseq)
    if kind == "created":
        seen.created[type] = modseq


def _account(seen: _Seen, modseq: int, writer: int, encoded: str, layouts: Sequence[Layout]) -> Iterator[str]:
    """The log ends at the account's modseq, and that of each type at its state."""
    if seen.modseq and modseq != seen.modseq:
        yield f"modseq {modseq}, its last change {seen.modseq}"
    if writer < seen.writer:
        yield f"its last transaction is {writer}, that of a change {seen.writer}"
    try:
        states = msgspec.json.decode(encoded, type=dict[str, tuple[int, int]])
    except msgspec.DecodeError as error:
        yield f"its states are damaged: {error}"
        return
    last = max((state for state, _ in states.values()), default=0)
    if modseq != last:
        yield f"modseq {modseq}, its last state {last}"
    for type in sorted(seen.last.keys() - states.keys()):
        yield f"changes of {type}, but no state"
    for type, (_, floor) in sorted(states.items()):
        if seen.first.get(type, floor + 1) <= floor:
            yield f"changes of {type} up to {floor} are forgotten, but {seen.first[type]} is there"
    yield from _states(seen, states, layouts)


def _states(seen: _Seen, states: dict[str, tuple[int, int]], layouts: Sequence[Layout]) -> Iterator[str]:
    """That of ``Table.creations`` is the last creation. Types that nobody declares now may have one, too."""
    sources = {layout.name: (layout.name, seen.last) for layout in layouts}
    sources |= {
        layout.table.creations: (layout.name, seen.created) for layout in layouts if layout.table.creations
    }
    for name, (state, _) in sorted(states.items()):
        if name not in sources:
            continue
        type, told = sources[name]
        last, floor = told.get(type, 0), states.get(type, (0, 0))[1]
        if state != last and not (last == 0 and state <= floor):
            yield f"the state of {name} is {state}, its last change {last}"
    for name, (type, told) in sorted(sources.items()):
        if name not in states and name != type and type in told:
            yield f"creations of {type}, but no state of {name}"
