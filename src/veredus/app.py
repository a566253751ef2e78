"""The one place that names implementations: from settings to everything but sockets (``serving``)."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct

from veredus.auth.accounts import AccountError, Accounts
from veredus.auth.authenticator import StoreAuthenticator
from veredus.auth.directory import StoreDirectory
from veredus.auth.password import PasswordVerifier
from veredus.auth.tables import SYSTEM
from veredus.auth.tables import TABLES as AUTH_TABLES
from veredus.auth.tickets import CAPABILITY as TICKET_CAPABILITY
from veredus.auth.tickets import Tickets
from veredus.auth.tickets import capability as ticket_capability
from veredus.blob.copying import Copied, copy_blobs, is_intact
from veredus.blob.file import FileBlobs
from veredus.blob.memory import MemoryBlobs
from veredus.blob.names import id_of as id_of_blob
from veredus.blobs.methods import CAPABILITY as BLOB_CAPABILITY
from veredus.blobs.methods import account_capability as blob_capability
from veredus.blobs.methods import blob_methods
from veredus.bus.local import LocalBus
from veredus.config.settings import Blobs, Config, Storage
from veredus.engine.api import Engine
from veredus.engine.blobs import UPLOADS, load
from veredus.engine.call import Services
from veredus.engine.core import BLOB_COPY
from veredus.engine.filters import compile_filter
from veredus.engine.limits import Limits
from veredus.engine.registry import Registry
from veredus.engine.session import Capability, Located
from veredus.mail.email.admit import Admission, EmailLimits
from veredus.mail.email.body import part_reader
from veredus.mail.email.type import account_capability, email_type
from veredus.mail.mailbox import MailboxLimits, mailbox_type
from veredus.mail.mailbox_shape import CAPABILITY as MAIL_CAPABILITY
from veredus.mail.provision import provision
from veredus.mail.snippet import SnippetMethod
from veredus.mail.thread import THREAD
from veredus.ports import BlobStore, Clock, EventBus, Store, Table, Unavailable
from veredus.ports.moving import Moving
from veredus.push.hub import Hub
from veredus.push.web.email_push import CAPABILITY as EMAIL_PUSH_CAPABILITY
from veredus.push.web.email_push import EmailPushChecks, NewEmails
from veredus.push.web.records import TABLES as PUSH_TABLES
from veredus.push.web.service import Sending, WebPush
from veredus.push.web.subscriptions import PushSubscriptions
from veredus.push.web.vapid import CAPABILITY as VAPID_CAPABILITY
from veredus.push.web.vapid import TABLE as VAPID_TABLE
from veredus.push.web.vapid import Vapid
from veredus.quota.type import QUOTA, charge, set_limits
from veredus.readiness import Readiness
from veredus.schema import DataType, Method
from veredus.schema.plugins import plugin_types
from veredus.store.dump_files import DumpFiles
from veredus.store.memory import MemoryStore
from veredus.store.sqlite import SQLiteStore
from veredus.store.sqlite_restore import rename_accounts
from veredus.store.sqlite_status import status as sqlite_status
from veredus.store.status import StoreStatus
from veredus.wire.types import Id
from veredus.wire.websocket import CAPABILITY as WEBSOCKET_CAPABILITY
from veredus.wire.websocket import capability as websocket_capability

# Besides the app: what commands need of the implementations beside their ports.
__all__ = [
    "AccountError",
    "App",
    "Copied",
    "DumpFiles",
    "StoreStatus",
    "build_registry",
    "copy_blobs",
    "id_of_blob",
    "is_intact",
    "open_app",
    "open_blobs",
    "open_bus",
    "open_store",
    "rename_accounts",
    "store_back",
    "store_status",
]

# Capabilities of which a session gives URLs.
LOCATED: Located = {TICKET_CAPABILITY: ticket_capability, WEBSOCKET_CAPABILITY: websocket_capability}


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class App(Struct):
    """Everything that runs in one process, without its sockets."""

    config: Config
    store: Store
    bus: EventBus
    hub: Hub
    blobs: BlobStore
    directory: StoreDirectory
    accounts: Accounts
    authenticator: StoreAuthenticator
    tickets: Tickets
    vapid: Vapid
    admission: Admission
    registry: Registry
    engine: Engine
    web_push: WebPush
    clock: Clock
    readiness: Readiness

    async def add_account(self, address: str, password: str | None, name: str | None = None) -> Id:
        """A user with a ready account: mailboxes with roles, and quota."""
        account = await self.accounts.add_user(address, password, name)
        await self.make_ready(account)
        return account

    async def make_ready(self, account: Id) -> None:
        """Give an account what it lacks; what it has stays."""
        async with self.store.write(account) as tx:
            await provision(tx)
            if not await tx.count("Quota"):
                quota = self.config.quota
                await set_limits(tx, quota.default_octets, quota.default_messages)
        self.directory.drop()

    async def ready(self) -> list[str]:
        """What keeps the server from serving; empty when nothing does. Answers within about a second."""
        return await self.readiness.problems()

    def degraded(self) -> list[str]:
        """What makes the server worse without keeping it from serving: without a bus, the changes of other
        processes are found within a second, in the log; without blobs, lists of mail are still read."""
        trouble = self.bus.trouble()
        return [*([] if trouble is None else [f"bus: {trouble}"]), *self.readiness.worse()]


def build_registry(config: Config, blobs: BlobStore, extra: Sequence[DataType]) -> tuple[Registry, Admission]:
    """All data types and methods."""
    limits = config.limits
    email_limits = EmailLimits(
        limits.max_mailboxes_per_email, limits.max_keywords_per_email, limits.max_size_attachments_per_email
    )
    admission = Admission(blobs, charge, email_limits)
    mailbox_limits = MailboxLimits(limits.max_mailbox_depth, limits.max_size_mailbox_name)
    reader = part_reader(blobs, load)
    capability = account_capability(admission, mailbox_limits.max_depth, mailbox_limits.max_name_size)
    email = email_type(admission, reader, config.hostname, capability)
    types = [mailbox_type(mailbox_limits, charge), THREAD, email, QUOTA, *extra]
    methods: list[tuple[str, Method]] = [
        ("urn:ietf:params:jmap:core", BLOB_COPY),
        (MAIL_CAPABILITY, SnippetMethod(compile_filter, email, reader).method()),
        *((BLOB_CAPABILITY, method) for method in blob_methods()),
        *PushSubscriptions(
            SYSTEM,
            partial(_push_url_problem, config.push.allow),
            EmailPushChecks(email, compile_filter),
            config.push.max_subscriptions,
        ).methods(),
    ]
    capabilities = {
        BLOB_CAPABILITY: Capability({}, blob_capability(limits.max_size_upload, types)),
        EMAIL_PUSH_CAPABILITY: Capability({}, {}),
        **dict.fromkeys((*LOCATED, VAPID_CAPABILITY), Capability({}, None)),
    }
    return Registry(types, methods, capabilities), admission


def _push_url_problem(allow: Sequence[str], url: str) -> str | None:
    """Why a push URL would not be called; None: it may be."""
    from veredus.push.web.target import Blocked, Guard  # noqa: PLC0415 - see push.service

    try:
        Guard(allow).check_url(url)
    except Blocked as error:
        return str(error)
    return None


def _tables(registry: Registry) -> list[Table]:
    return [*registry.tables(), *AUTH_TABLES, UPLOADS, VAPID_TABLE, *PUSH_TABLES]


async def _open_store(config: Config, registry: Registry, clock: Clock, bus: EventBus) -> Moving:
    tables = _tables(registry)
    if config.storage.url == "memory":
        return MemoryStore(tables, clock, bus.publish)
    if config.storage.url != "sqlite":
        return await _open_postgres(config.storage, tables, clock, bus)
    return await SQLiteStore.open(config.data_dir / "veredus.db", tables, clock, bus.publish)


async def _open_postgres(storage: Storage, tables: Sequence[Table], clock: Clock, bus: EventBus) -> Moving:
    with _postgres_needed():
        from veredus.store.postgres.store import PostgresStore, Servers  # noqa: PLC0415 - as of the bus
    servers = Servers(storage.url, storage.replicas, storage.connections, storage.schema)
    return await PostgresStore.open(servers, tables, clock, bus.publish)


@asynccontextmanager
async def open_store(config: Config) -> AsyncIterator[tuple[Moving, Registry]]:
    """The store of these settings alone, and the data types whose records it keeps; nothing is written."""
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    if config.storage.url == "sqlite":
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = await _open_store(config, registry, SystemClock(), LocalBus())
    try:
        yield store, registry
    finally:
        await store.close()


async def store_status(config: Config, *, back: bool = False) -> StoreStatus:
    """What the store of these settings is and holds; it is not migrated. ``back``: see ``store_back``."""
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    tables = _tables(registry)
    if config.storage.url == "sqlite":
        return await asyncio.to_thread(sqlite_status, str(config.data_dir / "veredus.db"), tables)
    with _postgres_needed():
        from veredus.store.postgres.status import status  # noqa: PLC0415 - as of the bus
        from veredus.store.postgres.store import Servers  # noqa: PLC0415
    storage = config.storage
    return await status(Servers(storage.url, storage.replicas, storage.connections), tables, back=back)


async def store_back(config: Config) -> None:
    """Give PostgreSQL the declarations of this program, although those of a newer one are in force."""
    with _postgres_needed():
        from veredus.store.postgres.back import go_back  # noqa: PLC0415 - as of the bus
        from veredus.store.postgres.store import Servers  # noqa: PLC0415
    registry, _ = build_registry(config, MemoryBlobs(), plugin_types())
    await go_back(Servers(config.storage.url), _tables(registry))


@contextmanager
def _postgres_needed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise Unavailable(
            "storage.url is PostgreSQL, and that needs: pip install 'veredus[postgres]'"
        ) from None


async def open_bus(config: Config) -> EventBus:
    """The bus of these settings alone."""
    if config.bus.url is None:
        return LocalBus()
    try:
        from veredus.bus.nats import NatsBus  # noqa: PLC0415 - an extra that few need
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise Unavailable("bus.url is set, and that needs: pip install 'veredus[nats]'") from None
    return await NatsBus.open(config.bus.url, config.bus.prefix)


async def open_blobs(config: Config) -> BlobStore:
    """The blob store of these settings alone; ``open_app`` opens its own."""
    if config.blobs.url == "memory":
        return MemoryBlobs()
    if config.blobs.url.startswith("s3:"):
        return await _open_s3(config.blobs)
    return await FileBlobs.at(config.data_dir / "blobs")


async def _open_s3(settings: Blobs) -> BlobStore:
    try:
        from veredus.blob.s3 import S3Blobs  # noqa: PLC0415 - as of the bus
        from veredus.blob.s3_bucket import S3Settings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise Unavailable("blobs.url is S3, and that needs: pip install 'veredus[s3]'") from None
    where = S3Settings(
        settings.url, settings.endpoint, settings.region, settings.access_key, settings.secret_key
    )
    return await S3Blobs.at(where)


def _sending(config: Config) -> Sending:
    push = config.push
    return Sending(push.allow, push.contact or f"mailto:postmaster@{config.hostname}", push.ca_file)


def _limits(config: Config) -> Limits:
    """Those of the core capability."""
    return Limits(**{name: getattr(config.limits, name) for name in Limits.__struct_fields__})


@asynccontextmanager
async def open_app(config: Config, *, types: Sequence[DataType] | None = None) -> AsyncIterator[App]:
    """Open stores and build what works on them. ``types``: beside ours; None: those of installed packages."""
    if config.storage.url == "sqlite" or config.blobs.url == "file":
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        blobs = await open_blobs(config)
        stack.push_async_callback(blobs.close)
        registry, admission = build_registry(config, blobs, plugin_types() if types is None else types)
        bus = await open_bus(config)
        stack.push_async_callback(bus.close)
        store = await _open_store(config, registry, clock, bus)
        stack.push_async_callback(store.close)
        separator = config.mail.subaddress_separator or ""
        directory = StoreDirectory(store, separator=separator)
        verifier = PasswordVerifier()
        stack.push_async_callback(verifier.close)
        limits = _limits(config)
        authenticator = StoreAuthenticator(directory, verifier, config.auth.cache_ttl)
        hub = Hub(store, bus, authenticator, directory, registry.states())
        stack.push_async_callback(hub.close)
        vapid = await Vapid.open(store, SYSTEM, clock)
        located: Located = {**LOCATED, VAPID_CAPABILITY: vapid.capability}
        readiness = Readiness(store, _tables(registry), blobs, id_of_blob(b""))
        stack.push_async_callback(readiness.close)
        engine = Engine(registry, Services(store, blobs, directory, clock, limits), located)
        yield App(
            config=config,
            store=store,
            bus=bus,
            hub=hub,
            blobs=blobs,
            directory=directory,
            accounts=Accounts(store),
            authenticator=authenticator,
            tickets=Tickets(store, authenticator, clock),
            vapid=vapid,
            admission=admission,
            registry=registry,
            engine=engine,
            web_push=WebPush(
                store=store,
                account=SYSTEM,
                bus=bus,
                hub=hub,
                vapid=vapid,
                emails=NewEmails(
                    store,
                    directory,
                    engine,
                    registry.types["Email"],
                    compile_filter,
                    limits.max_objects_in_get,
                ),
                clock=clock,
                sending=_sending(config),
            ),
            clock=clock,
            readiness=readiness,
        )
