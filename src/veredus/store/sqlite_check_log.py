"""What must hold of the log of a SQLite database, of the states, and between the log and the records."""

from collections.abc import Iterator
from typing import get_args

import msgspec

from veredus.ports import Kind
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_schema import Layout

_KINDS = frozenset(get_args(Kind))
# Accounts that are being moved are not whole (``store.moving``).
_WHOLE = "n NOT IN (SELECT n FROM account WHERE id LIKE ':%')"


def check(db: Connection, layouts: list[Layout]) -> Iterator[str]:
    """Every broken invariant, a line each."""
    yield from _states(db, layouts)
    yield from _sequence(db)
    yield from _entries(db)
    for layout in layouts:
        if layout.table.logged:
            yield from _last(db, layout)
    for table in ("state", "log"):
        for n, type in db.rows(
            f"SELECT DISTINCT n, type FROM {table} WHERE n NOT IN (SELECT n FROM account) ORDER BY n"
        ):
            yield f"account {n}: a {'state' if table == 'state' else 'log'} of {type}, but no account"
    for blob, type in db.rows("SELECT blob, type FROM blob WHERE type NOT IN (SELECT type FROM declared)"):
        yield f"blob reference of no type: {type}, {blob}"


def _states(db: Connection, layouts: list[Layout]) -> Iterator[str]:
    """The state of each type is its last change; that of ``Table.creations`` the last creation."""
    logged = {layout.name: (layout.name, "%") for layout in layouts}
    logged |= {
        layout.table.creations: (layout.name, "created") for layout in layouts if layout.table.creations
    }
    for n, name, state in db.rows(f"SELECT n, type, modseq FROM state WHERE {_WHOLE}"):
        if name not in logged:  # of a declaration that has changed, or of a plug-in that is gone
            continue
        type, kind = logged[name]
        last = db.number(
            "SELECT coalesce(max(modseq), 0) FROM log WHERE n = ? AND type = ? AND kind LIKE ?",
            (n, type, kind),
        )
        floor = db.rows("SELECT floor FROM state WHERE n = ? AND type = ?", (n, type))
        if state != last and not (last == 0 and floor and state <= floor[0][0]):
            yield f"account {n}: the state of {name} is {state}, its last change {last}"
    for name, (type, kind) in logged.items():
        for (n,) in db.rows(
            f"SELECT DISTINCT n FROM log WHERE type = ?1 AND kind LIKE ?2 AND {_WHOLE}"
            " EXCEPT SELECT n FROM state WHERE type = ?3",
            (type, kind, name),
        ):
            yield f"account {n}: changes of {type}, but no state of {name}"


def _sequence(db: Connection) -> Iterator[str]:
    """The log is an unbroken sequence, and ends at the account's modseq."""
    for n, modseq, last in db.rows(
        "SELECT n, modseq, (SELECT max(modseq) FROM state WHERE state.n = account.n) AS last FROM account"
        f" WHERE modseq <> coalesce(last, 0) AND {_WHOLE}"
    ):
        yield f"account {n}: modseq {modseq}, its last state {last}"
    for n, modseq, last in db.rows(
        "SELECT n, modseq, (SELECT max(modseq) FROM log WHERE log.n = account.n) AS last FROM account"
        f" WHERE modseq <> last AND {_WHOLE}"
    ):
        yield f"account {n}: modseq {modseq}, its last change {last}"
    for seq, n in db.rows(
        "SELECT seq, n FROM"
        " (SELECT seq, n, modseq, lag(modseq) OVER (PARTITION BY n ORDER BY seq) AS before FROM log)"
        f" WHERE modseq <> before + 1 AND {_WHOLE}"
    ):
        yield f"account {n}: change {seq} does not follow the one before"
    for n, type, floor in db.rows(
        "SELECT n, type, floor FROM state WHERE EXISTS(SELECT 1 FROM log"
        " WHERE log.n = state.n AND log.type = state.type AND log.modseq <= state.floor)"
    ):
        yield f"account {n}: changes of {type} up to {floor} are forgotten, but one is there"


def _entries(db: Connection) -> Iterator[str]:
    for seq, n, kind, names in db.db.execute("SELECT seq, n, kind, names FROM log"):
        if kind not in _KINDS:
            yield f"account {n}: change {seq} is of no kind: {kind}"
        try:
            names is None or msgspec.json.decode(names, type=list[str])
        except msgspec.DecodeError as error:
            yield f"account {n}: the names of change {seq} are damaged: {error}"


def _last(db: Connection, layout: Layout) -> Iterator[str]:
    """What the log says last of a record is true of it."""
    for n, id, kind in db.db.execute(
        "SELECT n, last.id, kind"
        " FROM (SELECT n, id, kind, max(modseq) FROM log WHERE type = ? GROUP BY n, id) AS last"
        f" LEFT JOIN {layout.records} r ON r.a = last.n AND r.id = last.id"
        f" WHERE (kind = 'destroyed') <> (r.id IS NULL) AND {_WHOLE}",
        (layout.name,),
    ):
        there = "is there" if kind == "destroyed" else "is not there"
        yield f"{layout.name}: {id} of account {n} {there}, but its last change says {kind}"
