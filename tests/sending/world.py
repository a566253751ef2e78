"""A server that sends: an account, the outgoing queue, and a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jmap
from contract.stores import FakeClock
from veredus.app import App, open_app
from veredus.app.outgoing import queue_of
from veredus.auth.tables import SYSTEM
from veredus.config.mail_settings import Outgoing
from veredus.config.settings import Blobs, Config
from veredus.delivery.inbound import Inbound
from veredus.mail import outbox
from veredus.mail.outbox import Departure
from veredus.outgoing import records
from veredus.outgoing.records import Queued
from veredus.ports import Address, Hint
from veredus.wire.dates import utc_date
from veredus.wire.types import JsonObject
from waiting import until

MESSAGE = (
    b"From: alice@example.com\r\nTo: bob@example.org\r\nBcc: secret@example.net\r\n"
    b"Subject: Hello\r\nMessage-ID: <one@example.com>\r\n\r\nHi.\r\n"
)


class World:
    """One server; ``queue`` runs in ``running``."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.clock = FakeClock()
        app.clock = self.clock
        self.inbound = Inbound(app.store, app.blobs, app.directory, app.admission, self.clock)
        self.queue = queue_of(app, self.inbound)

    async def begin(self) -> None:
        self.alice = await jmap.new_user(self.app)

    async def depart(self, *recipients: str | Address, message: bytes = MESSAGE, **more: Any) -> str:
        """A message of alice's leaves; gives the id of its Departure."""
        blob = await self.app.blobs.put(message, max_size=len(message))
        now = utc_date(self.clock.now())
        delay = more.pop("delay", 0)
        departure = Departure(
            sender=more.pop("sender", Address("alice@example.com")),
            recipients=tuple(Address(it) if isinstance(it, str) else it for it in recipients),
            blob_id=blob.id,
            size=blob.size,
            created_at=now,
            send_at=utc_date(self.clock.now() + timedelta(seconds=delay)),
            is_held=delay > 0,
            origin=more.pop("origin", "smtp"),
            **more,
        )
        async with self.app.store.write(self.alice.account) as tx:
            await outbox.depart(tx, departure)
        return departure.id

    async def cancel(self, departure: str) -> bool:
        async with self.app.store.write(self.alice.account) as tx:
            return await outbox.cancel(tx, departure)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The queue is at work."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.queue.run(stop))
        try:
            yield
            if task.done():
                task.result()
        finally:
            stop.set()
            await task

    def advance(self, **time: float) -> None:
        """Move the clock, and let the queue look at it."""
        self.clock.pass_by(**time)
        self.app.bus.publish(Hint(SYSTEM, 0, {outbox.TYPE: 0}))

    async def rows(self) -> list[Queued]:
        async with self.app.store.read(SYSTEM) as snapshot:
            return await records.rows(snapshot, None)

    async def destinations(self) -> list[records.Destination]:
        async with self.app.store.read(SYSTEM) as snapshot:
            return await records.destinations(snapshot)

    async def departures(self) -> list[Departure]:
        async with self.app.store.read(self.alice.account) as snapshot:
            return await outbox.load(snapshot, None)

    async def inbox(self) -> list[JsonObject]:
        """alice's Emails."""
        async with self.app.store.read(self.alice.account) as snapshot:
            return await snapshot.get("Email", None)

    async def empty(self) -> None:
        """Wait until nothing is queued, and every Departure is gone."""

        async def is_empty() -> bool:
            return not await self.departures() and not await self.rows()

        await until(is_empty)


@asynccontextmanager
async def world(directory: Path, url: str, *, store: str = "sqlite", **settings: Any) -> AsyncIterator[World]:
    """``url``: of ``outgoing``; ``settings``: its others."""
    async with worlds(1, directory, url, store=store, **settings) as (it,):
        yield it


@asynccontextmanager
async def worlds(
    count: int, directory: Path, url: str, *, store: str = "sqlite", **settings: Any
) -> AsyncIterator[list[World]]:
    """Several nodes with the same data."""
    async with jmap.storage(store, directory) as storage, AsyncExitStack() as stack:
        config = Config(
            hostname="mail.example.com",
            data_dir=directory,
            storage=storage,
            blobs=Blobs(url="file"),
            outgoing=Outgoing(url=url, **settings),
        )
        nodes = [World(await stack.enter_async_context(open_app(config, types=[]))) for _ in range(count)]
        await nodes[0].begin()
        yield nodes
