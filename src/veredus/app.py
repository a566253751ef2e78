"""The one place that names implementations: from settings to everything but sockets (``serving``)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import entry_points

from msgspec import Struct

from veredus.auth.accounts import AccountError, Accounts
from veredus.auth.authenticator import StoreAuthenticator
from veredus.auth.directory import StoreDirectory
from veredus.auth.password import PasswordVerifier
from veredus.auth.tables import TABLES as AUTH_TABLES
from veredus.blob.file import FileBlobs
from veredus.blob.memory import MemoryBlobs
from veredus.blob.names import id_of as id_of_blob
from veredus.blobs.methods import CAPABILITY as BLOB_CAPABILITY
from veredus.blobs.methods import account_capability as blob_capability
from veredus.blobs.methods import blob_methods
from veredus.bus.local import LocalBus
from veredus.config.settings import Config
from veredus.engine.api import Engine
from veredus.engine.blobs import UPLOADS, load
from veredus.engine.call import Services
from veredus.engine.core import BLOB_COPY
from veredus.engine.filters import compile_filter
from veredus.engine.limits import Limits
from veredus.engine.registry import Registry
from veredus.engine.session import Capability
from veredus.mail.email.admit import Admission, EmailLimits
from veredus.mail.email.body import part_reader
from veredus.mail.email.type import account_capability, email_type
from veredus.mail.mailbox import MailboxLimits, mailbox_type
from veredus.mail.mailbox_shape import CAPABILITY as MAIL_CAPABILITY
from veredus.mail.provision import provision
from veredus.mail.snippet import SnippetMethod
from veredus.mail.thread import THREAD
from veredus.ports import BlobStore, Clock, EventBus, Store
from veredus.push.hub import Hub
from veredus.quota.type import QUOTA, charge, set_limits
from veredus.schema import DataType, DeclarationError, Method
from veredus.store.memory import MemoryStore
from veredus.store.sqlite import SQLiteStore
from veredus.store.sqlite_restore import rename_accounts
from veredus.wire.types import Id

# The last two: what `backup` needs of the implementations beside their ports.
__all__ = ["AccountError", "App", "build_registry", "id_of_blob", "open_app", "rename_accounts"]

# Where packages declare data types of their own (docs/plugins.md).
PLUGINS = "veredus.data_types"


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
    admission: Admission
    registry: Registry
    engine: Engine
    clock: Clock

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
        """What keeps the server from serving; empty when nothing does."""
        try:
            async with self.store.read("system") as snapshot:
                await snapshot.state("User")
        except Exception as error:  # whatever it is, it is the answer
            return [f"store: {error}"]
        return []


def plugin_types() -> list[DataType]:
    """The data types that installed packages declare. Raises DeclarationError."""
    found: list[DataType] = []
    for entry in entry_points(group=PLUGINS):
        about = f"the plug-in {entry.name} ({entry.value})"
        try:
            loaded = entry.load()
        except Exception as error:  # whatever it is, it is the package's
            raise DeclarationError(
                f"{about} cannot be imported: {error.__class__.__name__}: {error}"
            ) from error
        types = [loaded] if isinstance(loaded, DataType) else loaded
        if not isinstance(types, list | tuple) or not all(isinstance(type, DataType) for type in types):
            raise DeclarationError(f"{about} must name a DataType or a list of them")
        found += types
    return found


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
    ]
    capabilities = {BLOB_CAPABILITY: Capability({}, blob_capability(limits.max_size_upload, types))}
    return Registry(types, methods, capabilities), admission


async def _open_store(config: Config, registry: Registry, clock: Clock, bus: EventBus) -> Store:
    tables = [*registry.tables(), *AUTH_TABLES, UPLOADS]
    if config.storage.url == "memory":
        return MemoryStore(tables, clock, bus.publish)
    return await SQLiteStore.open(config.data_dir / "veredus.db", tables, clock, bus.publish)


async def _open_blobs(config: Config) -> BlobStore:
    if config.blobs.url == "memory":
        return MemoryBlobs()
    return await FileBlobs.at(config.data_dir / "blobs")


@asynccontextmanager
async def open_app(config: Config, *, types: Sequence[DataType] | None = None) -> AsyncIterator[App]:
    """Open stores and build what works on them. ``types``: beside ours; None: those of installed packages."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        blobs = await _open_blobs(config)
        stack.push_async_callback(blobs.close)
        registry, admission = build_registry(config, blobs, plugin_types() if types is None else types)
        bus = LocalBus()
        stack.push_async_callback(bus.close)
        store = await _open_store(config, registry, clock, bus)
        stack.push_async_callback(store.close)
        separator = config.mail.subaddress_separator or ""
        directory = StoreDirectory(store, separator=separator)
        verifier = PasswordVerifier()
        stack.push_async_callback(verifier.close)
        limits = Limits(
            max_size_upload=config.limits.max_size_upload,
            max_concurrent_upload=config.limits.max_concurrent_upload,
            max_size_request=config.limits.max_size_request,
            max_concurrent_requests=config.limits.max_concurrent_requests,
            max_calls_in_request=config.limits.max_calls_in_request,
            max_objects_in_get=config.limits.max_objects_in_get,
            max_objects_in_set=config.limits.max_objects_in_set,
        )
        authenticator = StoreAuthenticator(directory, verifier, config.auth.cache_ttl)
        hub = Hub(store, bus, authenticator, directory)
        stack.push_async_callback(hub.close)
        yield App(
            config=config,
            store=store,
            bus=bus,
            hub=hub,
            blobs=blobs,
            directory=directory,
            accounts=Accounts(store),
            authenticator=authenticator,
            admission=admission,
            registry=registry,
            engine=Engine(registry, Services(store, blobs, directory, clock, limits)),
            clock=clock,
        )
