"""What a SQLite store is and holds, read without changing it."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import apsw
import msgspec

from veredus.ports import Table
from veredus.store.moving import HIDDEN
from veredus.store.sqlite_connection import translated
from veredus.store.sqlite_schema import MIGRATIONS, VERSION, Layout, newer
from veredus.store.status import StoreStatus


def status(path: str, tables: Sequence[Table]) -> StoreStatus:
    """Blocks. Raises Unavailable when there is a file that cannot be read."""
    empty = StoreStatus("sqlite", path, f"SQLite {apsw.sqlite_lib_version()}", 0, VERSION)
    if not os.path.exists(path):
        return msgspec.structs.replace(empty, pending=[f"create {path}"])
    try:
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)  # a reader of a WAL writes its index
        db.set_busy_timeout(5000)
        try:
            return _status(db, tables, empty)
        finally:
            db.close()
    except apsw.Error as error:
        raise translated(error) from error


def _status(db: apsw.Connection, tables: Sequence[Table], empty: StoreStatus) -> StoreStatus:
    version = _number(db, "PRAGMA user_version")
    if version == 0:
        return msgspec.structs.replace(empty, pending=["create the tables"])
    rows = db.execute("SELECT type, declaration FROM declared").fetchall()
    declared = {str(type): str(declaration) for type, declaration in rows}
    oldest = _number(db, "SELECT coalesce(min(at), -1) FROM log")
    return msgspec.structs.replace(
        empty,
        version=version,
        size=_number(db, "PRAGMA page_count") * _number(db, "PRAGMA page_size"),
        accounts=_number(db, f"SELECT count(*) FROM account WHERE id NOT LIKE '{HIDDEN}%'"),
        records={
            table.name: _number(db, f"SELECT count(*) FROM {Layout(table).records}")
            for table in tables
            if table.name in declared
        },
        log_entries=_number(db, "SELECT count(*) FROM log"),
        oldest=None if oldest < 0 else datetime.fromtimestamp(oldest, UTC),
        pending=_pending(db, version, declared, tables),
        refused=newer(version) if version > VERSION else None,
    )


def _pending(
    db: apsw.Connection, version: int, declared: dict[str, str], tables: Sequence[Table]
) -> list[str]:
    lines = [
        f"version {number} to {number + 1}" for number in range(version, VERSION) if number in MIGRATIONS
    ]
    missing = [table.name for table in tables if table.name not in declared]
    if missing:
        lines.append(f"create the tables of {', '.join(missing)}")
    for table in tables:
        if declared.get(table.name) not in (None, msgspec.json.encode(table).decode()):
            count = _number(db, f"SELECT count(*) FROM {Layout(table).records}")
            lines.append(f"index {count} records of {table.name} anew")
    return lines


def _number(db: apsw.Connection, sql: str) -> int:
    value: Any = db.execute(sql).fetchall()[0][0]
    return int(value)
