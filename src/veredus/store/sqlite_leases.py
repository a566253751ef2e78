"""Leases of a SQLite database, between the processes of one machine (ADR 0021).

Times are since the machine was started, and go on while it sleeps: a clock that is set changes nothing. After
a restart of the machine they begin anew; a lease that was taken later than now is of the time before.
"""

import time
from typing import Any

from veredus.ports import Lease
from veredus.store.process import is_dead, this_process
from veredus.store.sqlite_connection import Connection

SCHEMA = """
CREATE TABLE lease(name TEXT PRIMARY KEY, holder TEXT NOT NULL, token INTEGER NOT NULL, at REAL NOT NULL,
  ttl REAL NOT NULL, process TEXT NOT NULL) WITHOUT ROWID;
"""

# macOS has no such clock; its monotonic one is the same for all processes, too.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds since the machine was started."""
    return time.clock_gettime(_CLOCK)


def is_anothers(db: Connection, name: str, holder: str) -> bool:
    """Whether somebody else has the lease; one whose process has died has it no longer."""
    found = _row(db, name)
    return found is not None and _runs(found) and found[0] != holder and not is_dead(found[4])


def take(db: Connection, name: str, holder: str, ttl_s: float) -> Lease | None:
    """The lease for ``ttl_s`` from now; None: somebody else has it."""
    if is_anothers(db, name, holder):
        return None
    found = _row(db, name)
    token = 1
    if found is not None:
        has_it = found[0] == holder and _runs(found)
        token = found[1] if has_it else found[1] + 1
    db.run(
        "REPLACE INTO lease(name, holder, token, at, ttl, process) VALUES(?, ?, ?, ?, ?, ?)",
        (name, holder, token, now(), ttl_s, this_process()),
    )
    return Lease(name, holder, token)


def is_held(db: Connection, lease: Lease) -> bool:
    found = _row(db, lease.name)
    return found is not None and found[:2] == (lease.holder, lease.token) and _runs(found)


def give_back(db: Connection, lease: Lease) -> None:
    """Its row stays, so that tokens go on rising."""
    db.run(
        "UPDATE lease SET ttl = 0 WHERE name = ? AND holder = ? AND token = ?",
        (lease.name, lease.holder, lease.token),
    )


def _row(db: Connection, name: str) -> tuple[Any, ...] | None:
    """Holder, token, when it was taken, for how long, and by which process."""
    found = db.rows("SELECT holder, token, at, ttl, process FROM lease WHERE name = ?", (name,))
    return found[0] if found else None


def _runs(row: tuple[Any, ...]) -> bool:
    return bool(row[2] <= now() < row[2] + row[3])
