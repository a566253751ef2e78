"""An account of a million Emails beside one of ten thousand, and what the list view costs in both.

``python -m tools.bench_million DIRECTORY`` builds the data: the stored records are those of a real message,
their threads and counters settled as after a delivery, but there are no octets of messages and no full text.
"""

import asyncio
import hashlib
import os
import random
import shutil
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bench_server import PASSWORD, configure, run, server
from veredus.app import App, build_registry, open_app
from veredus.auth.tables import TABLES as AUTH_TABLES
from veredus.blob.memory import MemoryBlobs
from veredus.config import Config, load
from veredus.engine.blobs import UPLOADS
from veredus.mail.email.admit import prepare
from veredus.mail.provision import create_mailbox
from veredus.mail.settle import settle
from veredus.mail.threading import thread_keys
from veredus.quota.type import charge
from veredus.schema import Changed
from veredus.store.sqlite_connection import Connection
from veredus.store.sqlite_schema import Layout, migrate
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

ACCOUNTS = {"tenk": 10_000, "million": 1_000_000}
# The shares of the harness: 30 % in the inbox.
FOLDERS = {"archive": 20, "sent": 10, "drafts": 1, "junk": 3, "trash": 2}
OTHERS = (6, 3, 2, 3, 4, 4, 3, 2, 2, 2, 1, 0.7, 0.7, 0.6)
PEOPLE = [(f"Person Number {n}", f"person{n}@example{n % 7}.org") for n in range(400)]
WORDS = "meeting project budget update review report invoice contract schedule draft order delivery".split()
BATCH = 500
# To be raised when what is written here changes.
MADE = 1
NEWEST = int(datetime(2025, 10, 1, tzinfo=UTC).timestamp())
MINUTES_BETWEEN = 5

WORKLOADS = ("query50_inbox", "list50_inbox", "list50_random_page", "first_screen_collapsed",
             "set_keyword_1", "list50_after_change")  # fmt: skip


def version() -> str:
    """Data of another layout is built anew."""
    registry, _ = build_registry(Config(), MemoryBlobs(), ())
    connection = Connection(":memory:")
    migrate(connection, [Layout(table) for table in [*registry.tables(), *AUTH_TABLES, UPLOADS]])
    layout = connection.rows("SELECT sql FROM sqlite_master")
    connection.close()
    return hashlib.sha256(repr((MADE, layout)).encode()).hexdigest()


class Writer:
    """Writes made-up mail into one account, oldest first."""

    def __init__(self, app: App, account: Id, count: int) -> None:
        self._app, self._account, self._count = app, account, count
        self._random = random.Random(count)
        self._model = prepare(MODEL, "B", "2025-10-01T10:00:00Z").email
        self._boxes: list[Id] = []
        self._weights: list[float] = []
        # Threads that may go on: id, subject, the message ids so far.
        self._open: list[tuple[Id, str, list[str]]] = []

    async def write(self) -> None:
        await self._make_mailboxes()
        for first in range(0, self._count, BATCH):
            emails = [self._email(n) for n in range(first, min(first + BATCH, self._count))]
            async with self._app.store.write(self._account) as tx:
                await charge(tx, "Email", len(emails), sum(email["size"] for email in emails))
                for email in emails:
                    await tx.put("Email", email)
                await settle(tx, [Changed(None, email) for email in emails], charge)
            if first % 50_000 == 0:
                print(f"  {first} of {self._count} at {time.process_time():.0f} s of CPU", flush=True)

    async def _make_mailboxes(self) -> None:
        async with self._app.store.write(self._account) as tx:
            roles = {box["role"]: box["id"] for box in await tx.get("Mailbox", None)}
            self._boxes = [roles["inbox"], *(roles[role] for role in FOLDERS)]
            self._boxes += [await create_mailbox(tx, f"Folder {n}") for n in range(len(OTHERS))]
        self._weights = [30, *FOLDERS.values(), *OTHERS]

    def _email(self, n: int) -> JsonObject:
        at = datetime.fromtimestamp(NEWEST - (self._count - n) * MINUTES_BETWEEN * 60, UTC)
        message_id = f"{n}.{self._count}@example.org"
        if self._open and self._random.random() < 0.58:
            thread, subject, references = self._random.choice(self._open)
        else:
            thread, subject, references = new_id("t"), f"{' '.join(self._random.sample(WORDS, 4))} {n}", []
            self._open = [*self._open[-199:], (thread, subject, references)]
        email = self._placed(thread, at)
        email |= {
            "subject": subject,
            "sortSubject": subject,
            "messageId": [message_id],
            "references": references[-9:] or None,
        }
        email["threadKeys"] = thread_keys(email)
        references.append(message_id)
        return email

    def _placed(self, thread: Id, at: datetime) -> JsonObject:
        received = at.isoformat().replace("+00:00", "Z")
        keywords = {"$seen": True} if self._random.random() < 0.8 else {}
        if self._random.random() < 0.05:
            keywords["$flagged"] = True
        id = new_id("e")
        name, address = PEOPLE[int(self._random.random() ** 2 * len(PEOPLE))]
        return {
            **self._model,
            "id": id,
            # The name of bytes that nobody stored.
            "blobId": f"B{id:a<52}",
            "threadId": thread,
            "mailboxIds": {self._random.choices(self._boxes, self._weights)[0]: True},
            "keywords": keywords,
            "size": int(self._random.lognormvariate(9, 1.3)),
            "from": [{"name": name, "email": address}],
            "sortFrom": name,
            "receivedAt": received,
            "sentAt": received,
            "sortSentAt": received,
        }


MODEL = b"""\
From: Somebody <somebody@example.org>\r
To: Me <me@example.org>\r
Subject: none yet\r
Date: Wed, 01 Oct 2025 10:00:00 +0000\r
Message-ID: <none.yet@example.org>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
\r
Hello,\r
\r
please find the notes of our last meeting below, and tell me by Friday what is to change before the report\r
goes to the customer. The budget for the next quarter is not settled yet.\r
"""


async def _build(data: Path) -> None:
    config = load(Path(configure(data)[-1]), {}).config
    async with open_app(config, types=()) as app:
        for name, count in ACCOUNTS.items():
            account = await app.add_account(f"{name}@localhost", PASSWORD)
            await Writer(app, account, count).write()


def ready(directory: Path) -> Path:
    """The data of both accounts; built (some minutes) when it is not there."""
    mark = directory / "version"
    if not mark.is_file() or mark.read_text() != version():
        print(f"building accounts of {' and '.join(map(str, ACCOUNTS.values()))} in {directory}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        run(["nice", "-n", "19", sys.executable, "-m", "tools.bench_million", str(directory)])
        mark.write_text(version())
    return directory


def measured(directory: Path, out: Path, duration: float, rounds: int) -> dict[str, Any]:
    """CPU of the list view in both accounts, in turns."""
    out.unlink(missing_ok=True)
    with server(ready(directory), out) as target:
        for round in range(rounds):
            for name in ACCOUNTS:
                target.harness(
                    "run", "--user", target.user(name), "--tag", f"{name}-{round}", "--concurrency", "8",
                    "--only", ",".join(WORKLOADS), "--duration", str(duration), "--retries", "0",
                )  # fmt: skip
    cells: dict[str, dict[str, list[Any]]] = {}
    for cell in target.results()["results"]:
        cells.setdefault(cell["name"], {}).setdefault(cell["tag"].rpartition("-")[0], []).append(cell)
    return {
        name: {account: _mean(found) for account, found in accounts.items()}
        for name, accounts in cells.items()
    }


def _mean(cells: list[Any]) -> dict[str, float]:
    return {
        key: statistics.mean(cell[key] for cell in cells) for key in ("cpu_s_per_1000", "p50_ms", "p99_ms")
    }


if __name__ == "__main__":
    os.environ.pop("VEREDUS_CONFIG", None)
    asyncio.run(_build(Path(sys.argv[1])))
