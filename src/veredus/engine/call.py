"""What a method is given of the outside (schema.Access): one per method call."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from msgspec import Struct

from veredus.engine import blobs as blob_access
from veredus.engine.limits import Limits
from veredus.ports import AccountInfo, Blob, BlobStore, Clock, Directory, Identity, Snapshot, Store, Transaction
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
    identity: Identity
    using: frozenset[str]
    created_ids: dict[Id, Id]
    accounts: Mapping[Id, AccountInfo]
    types: Mapping[str, DataType]
    limits: Mapping[str, int]
    # Runs a method as part of the running one; set by the dispatcher.
    implicit: Callable[[str, JsonObject, str], Awaitable[JsonObject | None]]


class Call:
    """``schema.Access`` for one method call."""

    def __init__(self, scope: RequestScope, account: AccountInfo, call_id: str) -> None:
        self._scope, self.account, self._call_id = scope, account, call_id

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

    def read(self, account: Id | None = None) -> AbstractAsyncContextManager[Snapshot]:
        return self._scope.services.store.read(account or self.account.id)

    def write(self, account: Id | None = None) -> AbstractAsyncContextManager[Transaction]:
        if account not in (None, self.account.id):
            # Two accounts are never locked at once; the other one is written by a call of its own.
            raise MethodError.server_fail("A method writes in its own account only.")
        return self._scope.services.store.write(self.account.id)

    async def load_blob(self, id: BlobId, account: Id | None = None) -> bytes | None:
        if not await self.blob_exists(id, account):
            return None
        return await blob_access.load(self._scope.services.blobs, id)

    async def blob_exists(self, id: BlobId, account: Id | None = None) -> bool:
        async with self.read(account) as snapshot:
            return bool(await blob_access.visible(snapshot, [id], self.identity.user))

    async def store_blob(self, data: bytes) -> Blob:
        return await self._scope.services.blobs.put(data, max_size=len(data))

    async def upload_blob(self, data: bytes, type: str, account: Id | None = None) -> Blob:
        blob = await self.store_blob(data)
        services = self._scope.services
        owner = account or self.account.id
        await blob_access.note_upload(services.store, owner, self.identity.user, blob, type, self.now())
        return blob

    async def call(self, name: str, arguments: JsonObject) -> JsonObject | None:
        return await self._scope.implicit(name, arguments, self._call_id)

    def data_type(self, name: str) -> DataType | None:
        found = self._scope.types.get(name)
        return found if found is not None and found.capability in self.using else None
