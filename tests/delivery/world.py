"""An account in a real server without sockets, its rules, and what arrives for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Storage
from veredus.delivery.inbound import Inbound
from veredus.delivery.terms import Terms
from veredus.mail import outbox
from veredus.mail.outbox import Departure
from veredus.reception import Envelope, Reply
from veredus.wire.ids import new_id

ALICE, BOB = "alice@example.com", "bob@example.com"
SENDER = "sender@example.net"

MESSAGE = """\
From: Sender <sender@example.net>
To: Alice <alice@example.com>
Subject: Lunch on Friday
Message-ID: <m1@example.net>
Date: Mon, 5 Jan 2026 10:00:00 +0000

Shall we meet?
"""


class StandingClock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 5, 10, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **kwargs: float) -> None:
        self.time += timedelta(**kwargs)


class Sent(Struct, frozen=True):
    """A Departure and its octets."""

    departure: Departure
    data: bytes

    @property
    def to(self) -> list[str]:
        return [address.email for address in self.departure.recipients]

    def field(self, name: str) -> str | None:
        """The value of a header field, unfolded."""
        block = self.data.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ").replace("\r\n\t", " ")
        for line in block.split("\r\n"):
            known, _, value = line.partition(":")
            if known.lower() == name.lower():
                return value.strip()
        return None


class World:
    """``alice`` and ``bob``: account ids."""

    def __init__(self, app: App, clock: StandingClock, alice: str, bob: str) -> None:
        self.app, self.clock, self.alice, self.bob = app, clock, alice, bob
        self.terms = Terms(hostname="mx.example.com", reach="everybody")
        self.configure()

    def configure(self, **terms: Any) -> None:
        self.terms = structs.replace(self.terms, **terms)
        app = self.app
        self.inbound = Inbound(app.store, app.blobs, app.directory, app.admission, self.clock, self.terms)

    async def script(
        self, text: str, *, name: str = "main", is_active: bool = True, account: str | None = None
    ) -> None:
        """A script in the place of the one that was there."""
        blob = await self.app.blobs.put(text.encode(), max_size=10_000_000)
        async with self.app.store.write(account or self.alice) as tx:
            record = {"id": f"s{name}", "name": name, "blobId": blob.id, "isActive": is_active}
            await tx.put("SieveScript", record)

    async def vacation(self, **properties: Any) -> None:
        record = {"id": "singleton", "isEnabled": True, "fromDate": None, "toDate": None, "subject": None}
        async with self.app.store.write(self.alice) as tx:
            await tx.put("VacationResponse", {**record, "textBody": None, "htmlBody": None, **properties})

    async def mailbox(self, name: str, parent: str | None = None, role: str | None = None) -> str:
        id = new_id("m")
        counters = dict.fromkeys(("totalEmails", "unreadEmails", "totalThreads", "unreadThreads"), 0)
        async with self.app.store.write(self.alice) as tx:
            record = {"id": id, "name": name, "parentId": parent, "role": role, "sortOrder": 10}
            await tx.put("Mailbox", {**record, "isSubscribed": True, **counters})
        return id

    async def deliver(
        self,
        message: str | bytes = MESSAGE,
        *to: str,
        sender: str = SENDER,
        protocol: Any = "LMTP",
    ) -> Sequence[Reply]:
        data = message.encode() if isinstance(message, str) else message
        crlf = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        trace = f"Return-Path: <{sender}>\r\nReceived: from a by b; Mon, 5 Jan 2026 10:00:00 +0000\r\n"
        envelope = Envelope(sender, to or (ALICE,), "192.0.2.1", "mail.example.net", protocol)
        return await self.inbound.deliver(envelope, trace.encode() + crlf)

    async def stored(self, account: str | None = None) -> list[str]:
        """Each Email as "Mailbox, Parent/Child: keyword ...", sorted."""
        async with self.app.store.read(account or self.alice) as snapshot:
            mailboxes = {box["id"]: box for box in await snapshot.get("Mailbox", None)}
            emails = await snapshot.get("Email", None)
        lines = []
        for email in emails:
            places = sorted(_path(mailboxes, id) for id in email["mailboxIds"])
            keywords = sorted(email["keywords"])
            lines.append(", ".join(places) + "".join(f" {keyword}" for keyword in keywords))
        return sorted(lines)

    async def emails(self, account: str | None = None) -> list[dict[str, Any]]:
        async with self.app.store.read(account or self.alice) as snapshot:
            return await snapshot.get("Email", None)

    async def sent(self, account: str | None = None) -> list[Sent]:
        """What leaves, in the order of creation."""
        async with self.app.store.read(account or self.alice) as snapshot:
            departures = await outbox.load(snapshot, None)
        found = []
        for departure in departures:
            data = await self.app.blobs.get(departure.blob_id)
            assert data is not None
            assert len(data) == departure.size
            found.append(Sent(departure, data))
        return found

    async def outcome(self) -> list[str]:
        """What became of mail for alice: Emails, then departures as "origin to, to"."""
        leaving = [f"{sent.departure.origin} {', '.join(sent.to)}" for sent in await self.sent()]
        return [*await self.stored(), *sorted(leaving)]


def _path(mailboxes: dict[str, Any], id: str | None) -> str:
    names = []
    while id is not None:
        names.append(mailboxes[id]["name"])
        id = mailboxes[id]["parentId"]
    return "/".join(reversed(names))


@asynccontextmanager
async def opened(storage: Storage, directory: Path) -> AsyncIterator[World]:
    config = Config(data_dir=directory, storage=storage, blobs=Blobs(url="memory"), hostname="mx.example.com")
    async with open_app(config, types=()) as app:
        alice = await app.add_account(ALICE, None)
        bob = await app.add_account(BOB, None)
        yield World(app, StandingClock(), alice, bob)
        assert await app.store.check() == []
