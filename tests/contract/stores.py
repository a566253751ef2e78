"""Every implementation of Store, the tables the tests keep in them, and records to put there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from contract import postgres
from veredus.conditions import EVERYTHING, Order
from veredus.ports import Hint, Store, Table
from veredus.store.announce import silence
from veredus.store.memory import MemoryStore
from veredus.store.postgres.store import PostgresStore, Servers
from veredus.store.sqlite import SQLiteStore

MESSAGE = Table(
    "Message",
    order="sentAt",
    scalars=("threadId", "size", "seen"),
    members=("boxIds", "tags"),
    covers=("threadId",),
    live=("boxIds", "tags", "note"),
    cold=("headers", "origin"),
    texts=("subject", "body"),
    blobs=("blobId", "reports"),
    creations="Delivery",
)
BOX = Table("Box", scalars=("name",))
CACHE = Table("Cache", logged=False)
TABLES = (MESSAGE, BOX, CACHE)

NEWEST = (Order("sentAt", ascending=False),)


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **kwargs: float) -> None:
        self.time += timedelta(**kwargs)


Announce = Callable[[Hint], None]


async def _memory(directory: Path, clock: FakeClock, announce: Announce = silence) -> Store:
    return MemoryStore(TABLES, clock, announce)


async def _sqlite(directory: Path, clock: FakeClock, announce: Announce = silence) -> Store:
    return await SQLiteStore.open(directory / "records.db", TABLES, clock, announce)


async def _postgres(directory: Path, clock: FakeClock, announce: Announce = silence) -> Store:
    servers = Servers(postgres.url(), connections=4, schema=postgres.schema_of(directory))
    return await PostgresStore.open(servers, TABLES, clock, announce)


Make = Callable[..., Awaitable[Store]]
STORES: dict[str, Make] = {"memory": _memory, "sqlite": _sqlite, "postgres": _postgres}
DURABLE: dict[str, Make] = {name: make for name, make in STORES.items() if name != "memory"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def announced() -> list[Hint]:
    """The hints of the transactions of ``store``."""
    return []


@pytest.fixture(params=STORES)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, announced: list[Hint]
) -> AsyncIterator[Store]:
    store = await STORES[request.param](tmp_path, clock, announced.append)
    yield store
    assert await store.check() == []
    await store.close()


@pytest.fixture(params=DURABLE)
def durable(request: pytest.FixtureRequest) -> Make:
    return DURABLE[request.param]


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Store]:
    """A new store for tests that cannot use a fixture, since hypothesis runs them many times."""
    with TemporaryDirectory() as directory:
        if name == "postgres":
            postgres.borrow(Path(directory))
        store = await STORES[name](Path(directory), FakeClock())
        try:
            yield store
            problems = await store.check()
            assert problems == [], problems
        finally:
            await store.close()
            if name == "postgres":
                await postgres.give_back(Path(directory))


def message(id: str, minute: int = 0, **properties: Any) -> dict[str, Any]:
    """A message with every kind of property."""
    return {
        "id": id,
        "sentAt": f"2026-01-02T{minute // 60 % 24:02}:{minute % 60:02}:00Z",
        "threadId": f"t{id}",
        "size": 100,
        "seen": False,
        "boxIds": {"in": True},
        "tags": {},
        "note": None,
        "headers": [{"name": "X-A", "value": "y"}],
        "origin": "here",
        "subject": "About " + id,
        "blobId": f"B{id}",
    } | properties


async def put(store: Store, *records: dict[str, Any], account: str = "A", type: str = "Message") -> None:
    """Each record in one transaction; messages are indexed by their subject."""
    async with store.write(account) as tx:
        for record in records:
            texts = (
                {"subject": record["subject"].lower(), "body": "some words"} if type == "Message" else None
            )
            await tx.put(type, record, texts)


async def ids(
    store: Store, where: Any = EVERYTHING, order: Any = (), account: str = "A", **how: Any
) -> list[str]:
    async with store.read(account) as snapshot:
        return await snapshot.select("Message", where, order, **how)


async def state(store: Store, type: str = "Message", account: str = "A") -> int:
    async with store.read(account) as snapshot:
        return await snapshot.state(type)


async def changes(store: Store, since: int, limit: int = 100, type: str = "Message") -> Any:
    async with store.read("A") as snapshot:
        return await snapshot.changes(type, since, limit)
