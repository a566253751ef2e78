"""Moving an account of a million Emails: SQLite to PostgreSQL and back, backup and restore.

``python -m tools.bench_copy DIRECTORY [RECORDS]``: the stored records are those of a real message, with a log
entry for each; there are no octets of messages. Every step is the command itself, in a process of its own;
PostgreSQL runs here, with fsync.
"""

import asyncio
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bench_million import MINUTES_BETWEEN, MODEL, NEWEST, PEOPLE, WORDS
from tools.cluster.postgres import PostgresServer
from veredus.app import open_store
from veredus.config import Config
from veredus.mail.email.admit import prepare
from veredus.ports import Table
from veredus.ports.moving import Head, LogRow, LogRows, Pieces, Row, Rows
from veredus.store.moving import LOG_ROWS_AT_ONCE, ROWS_AT_ONCE, divided
from veredus.wire.types import JsonObject

ACCOUNT = "amillion"
BOXES = [f"b{n}" for n in range(20)]


class Mail:
    """Made-up Emails, oldest first."""

    def __init__(self, table: Table, tables: tuple[Table, ...], count: int) -> None:
        self._table, self._tables, self._count = table, tables, count
        self._model = prepare(MODEL, "B", "2025-10-01T10:00:00Z").email

    def dump(self, place: str | None) -> Pieces:
        return self._dump()

    async def _dump(self) -> Pieces:
        states = {"Email": (self._count, 0), "EmailDelivery": (self._count, 0)}
        yield Head(ACCOUNT, "made", self._count, states, self._tables, {"Email": self._count})
        for first in range(0, self._count, ROWS_AT_ONCE):
            rows = [self._row(n) for n in range(first, min(first + ROWS_AT_ONCE, self._count))]
            yield Rows("Email", f"Email/{first}", rows)
        for first in range(0, self._count, LOG_ROWS_AT_ONCE):
            numbers = range(first, min(first + LOG_ROWS_AT_ONCE, self._count))
            yield LogRows([LogRow(n + 1, "Email", _id(n), "created", None, NEWEST) for n in numbers])

    def _row(self, n: int) -> Row:
        live, fixed, cold = divided(self._table, self._email(n))
        return Row(_id(n), live, fixed, cold, None)

    def _email(self, n: int) -> JsonObject:
        chance = random.Random(n)
        at = datetime.fromtimestamp(NEWEST - (self._count - n) * MINUTES_BETWEEN * 60, UTC)
        received = at.isoformat().replace("+00:00", "Z")
        name, address = chance.choice(PEOPLE)
        subject = f"{' '.join(chance.sample(WORDS, 4))} {n}"
        thread = n - chance.randrange(200) if chance.random() < 0.58 else n
        return {
            **self._model,
            "id": _id(n),
            # The name of bytes that nobody stored.
            "blobId": f"B{_id(n):a<52}",
            "threadId": "t" + _id(max(thread, 0))[1:],
            "mailboxIds": {chance.choice(BOXES): True},
            "keywords": {"$seen": True} if chance.random() < 0.8 else {},
            "size": int(chance.lognormvariate(9, 1.3)),
            "from": [{"name": name, "email": address}],
            "sortFrom": name,
            "subject": subject,
            "sortSubject": subject,
            "messageId": [f"{n}@example.org"],
            "threadKeys": [f"{n}@example.org"],
            "receivedAt": received,
            "sentAt": received,
            "sortSentAt": received,
        }


def _id(n: int) -> str:
    """Like real ones: not in the order of their dates."""
    return "e" + hashlib.blake2b(n.to_bytes(8, "big"), digest_size=8).hexdigest()


async def _make(directory: Path, count: int) -> None:
    async with open_store(Config(data_dir=directory)) as (store, registry):
        tables = tuple(registry.tables())
        email = next(table for table in tables if table.name == "Email")
        await store.load(ACCOUNT, Mail(email, tables, count).dump)


def _command(*words: str | Path, url: str = "sqlite", server: PostgresServer | None = None) -> dict[str, Any]:
    """What one command costs. ``peak``: its memory, in MB."""
    before = _cpu_of_children(server)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "veredus", *map(str, words)],
        env={**os.environ, "VEREDUS__STORAGE__URL": url}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"veredus {' '.join(map(str, words))} failed")
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "postgres_cpu": round(_cpu_of_children(server) - before, 1),
        "peak_mb": used.ru_maxrss // 1024,
    }


def _cpu_of_children(server: PostgresServer | None) -> float:
    """User and system time of the postmaster and of all that it has had."""
    if server is None or server.pid is None:
        return 0.0
    total = 0
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in (str(server.pid), *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Of the postmaster also what its children have had that are gone.
        total += sum(int(field) for field in fields[11 : 15 if pid == str(server.pid) else 13])
    return total / os.sysconf("SC_CLK_TCK")


def main(directory: Path, count: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    sqlite, back, backup, restored = (directory / name for name in ("sqlite", "back", "backup", "restored"))
    began = time.monotonic()
    asyncio.run(_make(sqlite, count))
    results: dict[str, Any] = {"records": count, "made_s": round(time.monotonic() - began, 1)}
    with PostgresServer(fsync=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as server:
        url, other = server.dsn(), server.create("other")
        data = ("--data-dir", sqlite)
        results["to postgres"] = _command("db", "copy", "--to", url, "--no-index", *data, server=server)
        results["once more"] = _command("db", "copy", "--to", url, "--no-index", *data, server=server)
        results["backup"] = _command("backup", "create", backup, *data, url=url, server=server)
        results["restore into postgres"] = _command(
            "backup", "restore", backup, "--same-ids", "--no-index", *data, url=other, server=server
        )
        results["to sqlite"] = _command(
            "db", "copy", "--to", back, "--no-index", *data, url=url, server=server
        )
        results["restore into sqlite"] = _command(
            "backup", "restore", backup, "--same-ids", "--no-index", "--data-dir", restored, server=server
        )
        results["backup_mb"] = sum(path.stat().st_size for path in backup.rglob("*.dump")) // 1_000_000
    results["own_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    os.environ.pop("VEREDUS_CONFIG", None)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
