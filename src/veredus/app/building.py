"""From settings to everything but sockets (``serving``)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from veredus.app.clock import SystemClock
from veredus.app.opening import open_blobs, open_bus, store_of
from veredus.app.registry import LOCATED, build_registry, tables_of
from veredus.auth.accounts import Accounts
from veredus.auth.authenticator import StoreAuthenticator
from veredus.auth.directory import StoreDirectory
from veredus.auth.password import PasswordVerifier
from veredus.auth.tables import SYSTEM
from veredus.auth.tickets import Tickets
from veredus.blob.names import id_of as id_of_blob
from veredus.config.settings import Config
from veredus.domains.domains import Domains
from veredus.engine.api import Engine
from veredus.engine.call import Services
from veredus.engine.filters import compile_filter
from veredus.engine.limits import Limits
from veredus.engine.registry import Registry
from veredus.engine.session import Located
from veredus.mail.email.admit import Admission
from veredus.mail.provision import provision
from veredus.outgoing.operations import Operations
from veredus.ports import BlobStore, Clock, EventBus, Store
from veredus.push.hub import Hub
from veredus.push.web.email_push import NewEmails
from veredus.push.web.service import Sending, WebPush
from veredus.push.web.vapid import CAPABILITY as VAPID_CAPABILITY
from veredus.push.web.vapid import Vapid
from veredus.quota.type import set_limits
from veredus.readiness import Readiness
from veredus.resolver import Resolver
from veredus.schema import DataType
from veredus.schema.plugins import plugin_types
from veredus.wire.types import Id


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
    resolver: Resolver
    domains: Domains

    @property
    def queue_operations(self) -> Operations:
        """What people do with the outgoing queue."""
        return Operations(self.store, SYSTEM, self.clock)

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
        """What keeps the server from serving; empty when nothing does. Answers within 1.5 s."""
        return await self.readiness.problems()

    def degraded(self) -> list[str]:
        """What makes the server worse without keeping it from serving: without a bus, the changes of other
        processes are found within a second, in the log; without blobs, lists of mail are still read."""
        trouble = self.bus.trouble()
        return [*([] if trouble is None else [f"bus: {trouble}"]), *self.readiness.worse()]


def _sending(config: Config) -> Sending:
    push = config.push
    return Sending(push.allow, push.contact or f"mailto:postmaster@{config.hostname}", push.ca_file)


def _limits(config: Config) -> Limits:
    """Those of the core capability."""
    return Limits(**{name: getattr(config.limits, name) for name in Limits.__struct_fields__})


def _new_emails(services: Services, engine: Engine, registry: Registry) -> NewEmails:
    """What EmailPush looks new Emails up with."""
    most = services.limits.max_objects_in_get
    return NewEmails(
        services.store, services.directory, engine, registry.types["Email"], compile_filter, most
    )


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
        store = await store_of(config, registry, clock, bus)
        stack.push_async_callback(store.close)
        separator = config.mail.subaddress_separator or ""
        directory = StoreDirectory(store, separator=separator)
        verifier = PasswordVerifier()
        stack.push_async_callback(verifier.close)
        authenticator = StoreAuthenticator(directory, verifier, config.auth.cache_ttl)
        hub = Hub(store, bus, authenticator, directory, registry.states())
        stack.push_async_callback(hub.close)
        vapid = await Vapid.open(store, SYSTEM, clock)
        located: Located = {**LOCATED, VAPID_CAPABILITY: vapid.capability}
        readiness = Readiness(store, tables_of(registry), blobs, id_of_blob(b""))
        stack.push_async_callback(readiness.close)
        resolver = Resolver(config.dns.servers)
        stack.push_async_callback(resolver.close)
        services = Services(store, blobs, directory, clock, _limits(config))
        engine = Engine(registry, services, located)
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
                emails=_new_emails(services, engine, registry),
                clock=clock,
                sending=_sending(config),
            ),
            clock=clock,
            readiness=readiness,
            resolver=resolver,
            domains=Domains(store, SYSTEM, clock),
        )
