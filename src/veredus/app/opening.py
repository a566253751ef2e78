"""Stores, blobs and bus of the settings, each of them alone; and what can be told of a store unopened."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from veredus.app.clock import SystemClock
from veredus.app.registry import build_registry, tables_of
from veredus.auth.tables import SYSTEM
from veredus.blob.file import FileBlobs
from veredus.blob.memory import MemoryBlobs
from veredus.bus.local import LocalBus
from veredus.config.settings import Blobs, Config, Storage
from veredus.engine.registry import Registry
from veredus.mail import outbox
from veredus.ports import BlobStore, Clock, EventBus, Hint, Table, Unavailable
from veredus.ports.moving import Moving
from veredus.schema.plugins import plugin_types
from veredus.store.memory import MemoryStore
from veredus.store.sqlite import SQLiteStore
from veredus.store.sqlite_status import status as sqlite_status
from veredus.store.status import StoreStatus

if TYPE_CHECKING:
    from veredus.store.postgres.store import Servers


async def store_of(config: Config, registry: Registry, clock: Clock, bus: EventBus) -> Moving:
    """The store, whose hints go to ``bus``."""
    tables = tables_of(registry)

    def announce(hint: Hint) -> None:
        bus.publish(hint)
        if outbox.TYPE in hint.states:
            # The queue cannot subscribe to every account: it listens to the server's own.
            bus.publish(Hint(SYSTEM, 0, {outbox.TYPE: hint.states[outbox.TYPE]}))

    if config.storage.url == "memory":
        return MemoryStore(tables, clock, announce)
    if config.storage.url != "sqlite":
        return await _open_postgres(config.storage, tables, clock, announce)
    return await SQLiteStore.open(config.data_dir / "veredus.db", tables, clock, announce)


async def _open_postgres(
    storage: Storage, tables: Sequence[Table], clock: Clock, announce: Callable[[Hint], None]
) -> Moving:
    with _postgres_needed():
        from veredus.store.postgres.store import PostgresStore  # noqa: PLC0415 - as of the bus
    return await PostgresStore.open(_servers(storage), tables, clock, announce)


@asynccontextmanager
async def open_store(config: Config) -> AsyncIterator[tuple[Moving, Registry]]:
    """The store of these settings alone, and the data types whose records it keeps; nothing is written."""
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    if config.storage.url == "sqlite":
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = await store_of(config, registry, SystemClock(), LocalBus())
    try:
        yield store, registry
    finally:
        await store.close()


async def store_status(config: Config, *, back: bool = False) -> StoreStatus:
    """What the store of these settings is and holds; it is not migrated. ``back``: see ``store_back``."""
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    tables = tables_of(registry)
    if config.storage.url == "sqlite":
        return await asyncio.to_thread(sqlite_status, str(config.data_dir / "veredus.db"), tables)
    with _postgres_needed():
        from veredus.store.postgres.status import status  # noqa: PLC0415 - as of the bus
    return await status(_servers(config.storage), tables, back=back)


async def store_back(config: Config) -> None:
    """Give PostgreSQL the declarations of this program, although those of a newer one are in force."""
    with _postgres_needed():
        from veredus.store.postgres.back import go_back  # noqa: PLC0415 - as of the bus
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    await go_back(_servers(config.storage), tables_of(registry))


@contextmanager
def _needed(setting: str, library: str, extra: str) -> Iterator[None]:
    """Around the import of a library that few need."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise Unavailable(f"{setting}, and that needs: pip install 'veredus[{extra}]'") from None


def _postgres_needed() -> AbstractContextManager[None]:
    return _needed("storage.url is PostgreSQL", "asyncpg", "postgres")


def _servers(storage: Storage) -> "Servers":
    from veredus.store.postgres.store import Servers  # noqa: PLC0415 - as of the bus

    return Servers(storage.url, storage.replicas, storage.connections, storage.schema)


async def open_bus(config: Config) -> EventBus:
    """The bus of these settings alone."""
    if config.bus.url is None:
        return LocalBus()
    with _needed("bus.url is set", "nats", "nats"):
        from veredus.bus.nats import NatsBus  # noqa: PLC0415 - an extra that few need
    return await NatsBus.open(config.bus.url, config.bus.prefix)


async def open_blobs(config: Config) -> BlobStore:
    """The blob store of these settings alone; ``open_app`` opens its own."""
    if config.blobs.url == "memory":
        return MemoryBlobs()
    if config.blobs.url.startswith("s3:"):
        return await _open_s3(config.blobs)
    return await FileBlobs.at(config.data_dir / "blobs")


async def _open_s3(settings: Blobs) -> BlobStore:
    with _needed("blobs.url is S3", "obstore", "s3"):
        from veredus.blob.s3 import S3Blobs  # noqa: PLC0415 - as of the bus
        from veredus.blob.s3_bucket import S3Settings  # noqa: PLC0415
    where = S3Settings(
        settings.url, settings.endpoint, settings.region, settings.access_key, settings.secret_key
    )
    return await S3Blobs.at(where)
