"""What a method is given of the outside (schema.Access): one per method call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from msgspec import Struct, field

from veredus.engine import blobs as blob_access
from veredus.engine.limits import Budget, Limits
from veredus.engine.snapshots import Snapshots
from veredus.ports import (
    AccountInfo,
    Blob,
    BlobStore,
    Clock,
    Directory,
    Identity,
    Snapshot,
    Store,
    Transaction,
)
from veredus.schema import DataType
from veredus.wire.errors import MethodError
from veredus.wire.types import BlobId, Id, JsonObject


class Services(Struct, frozen=True):
    """The ports an engine works with."""

    store: Store
    blobs: BlobStore
    directory: Directory
    clock: Clock
    limits: Limits


class RequestScope(Struct):
    """What the calls of one request share."""

    services: Services
    snapshots: Snapshots
    identity: Identity
    using: frozenset[str]
    created_ids: dict[Id, Id]
    accounts: Mapping[Id, AccountInfo]
    types: Mapping[str, DataType]
    limits: Mapping[str, int]
    # Runs a method as part of the running one; set by the dispatcher.
    implicit: Callable[[str, JsonObject, str], Awaitable[JsonObject | None]]
    budget: Budget = field(default_factory=Budget)


class Call:
    """``schema.Access`` for one method call."""

    def __init__(self, scope: RequestScope, account: AccountInfo, call_id: str) -> None:
        self._scope, self.account, self._call_id = scope, account, call_id
        self._addresses: Sequence[str] | None = None

    @property
    def identity(self) -> Identity:
        return self._scope.identity

    @property
    def using(self) -> frozenset[str]:
        return self._scope.using

    @property
    def created_ids(self) -> dict[Id, Id]:
        return self._scope.created_ids

    def now(self) -> datetime:
        return self._scope.services.clock.now()

    def limit(self, name: str) -> int:
        return self._scope.limits[name]

    def account_info(self, account: str) -> AccountInfo | None:
        return self._scope.accounts.get(account)

    async def addresses(self) -> Sequence[str]:
        if self._addresses is None:
            await self._scope.snapshots.end()
            self._addresses = await self._scope.services.directory.addresses(self.account.id)
        return self._addresses

    def read(self, account: Id | None = None) -> AbstractAsyncContextManager[Snapshot]:
        return self._scope.snapshots.read(account or self.account.id)

    @asynccontextmanager
    async def write(self, account: Id | None = None) -> AsyncIterator[Transaction]:
        if self.account.id and account not in (None, self.account.id):
            # Two accounts are never locked at once; the other one is written by a call of its own.
            raise MethodError.server_fail("A method writes in its own account only.")
        # What is read after this must see it.
        await self._scope.snapshots.end()
        async with self._scope.services.store.write(account or self.account.id) as tx:
            yield tx

    async def load_blob(self, id: BlobId, account: Id | None = None) -> bytes | None:
        if not await self.blob_exists(id, account):
            return None
        await self._scope.snapshots.end()
        return await blob_access.load(self._scope.services.blobs, self._real(id))

    async def open_blob(self, id: BlobId, account: Id | None = None) -> blob_access.Download | None:
        services, owner = self._scope.services, account or self.account.id
        await self._scope.snapshots.end()
        return await blob_access.find(
            services.store, services.blobs, owner, self.identity.user, self._real(id)
        )

    async def blob_exists(self, id: BlobId, account: Id | None = None) -> bool:
        async with self.read(account) as snapshot:
            return bool(await blob_access.visible(snapshot, [self._real(id)], self.identity.user))

    def _real(self, id: str) -> BlobId:
        """A blob may be named by its creation id in this request (RFC 9404 §4.1)."""
        return self.created_ids.get(id[1:], id) if id.startswith("#") else id

    async def store_blob(self, data: bytes) -> Blob:
        await self._scope.snapshots.end()
        return await self._scope.services.blobs.put(data, max_size=len(data))

    async def upload_blob(
        self, data: bytes | AsyncIterator[bytes], type: str, account: Id | None = None
    ) -> Blob:
        await self._scope.snapshots.end()
        blob = await self._scope.services.blobs.put(data, max_size=self.limit("maxSizeUpload"))
        await self._note_upload(blob, type, account)
        return blob

    async def copy_blob(self, id: BlobId, account: Id) -> Blob | None:
        found = await self.open_blob(id, account)
        if found is None:
            return None
        self.work(found.size)
        # Put again although accounts share the store: its age counts from the last time.
        blob = await self._scope.services.blobs.put(found.open(0, found.size), max_size=found.size)
        await self._note_upload(blob, "application/octet-stream")
        return blob

    async def _note_upload(self, blob: Blob, type: str, account: Id | None = None) -> None:
        await self._scope.snapshots.end()
        services, owner = self._scope.services, account or self.account.id
        await blob_access.note_upload(services.store, owner, self.identity.user, blob, type, self.now())

    def work(self, octets: int) -> None:
        self._scope.budget.take_work(octets)

    def hold(self, octets: int) -> None:
        self._scope.budget.take_hold(octets)

    async def call(self, name: str, arguments: JsonObject) -> JsonObject | None:
        return await self._scope.implicit(name, arguments, self._call_id)

    def type_names(self) -> tuple[str, ...]:
        return tuple(name for name, type in self._scope.types.items() if type.capability in self.using)

    def data_type(self, name: str) -> DataType | None:
        found = self._scope.types.get(name)
        return found if found is not None and found.capability in self.using else None
