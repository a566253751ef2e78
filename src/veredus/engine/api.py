"""The engine as the HTTP edge sees it: session, requests, upload, download (RFC 8620 §2, §3, §6)."""

from collections.abc import AsyncIterator
from typing import Any

from veredus.engine import blobs as blob_access
from veredus.engine.call import Services
from veredus.engine.dispatch import Dispatcher, decode
from veredus.engine.registry import Registry
from veredus.engine.session import NOTHING, Located, Sessions
from veredus.ports import AccountInfo, Identity
from veredus.wire.types import JsonObject


class Engine:
    """Answers authenticated requests."""

    def __init__(self, registry: Registry, services: Services, located: Located = NOTHING) -> None:
        """``located``: capabilities of the registry whose value in a session depends on its base URL."""
        self._services = services
        self._dispatcher = Dispatcher(registry, services)
        self._sessions = Sessions(registry.capabilities, services.directory, services.limits, located)

    async def session(self, identity: Identity, base_url: str) -> tuple[bytes, str]:
        """The Session object as JSON, and its state."""
        return await self._sessions.get(identity, base_url)

    def forget_sessions(self) -> None:
        """A capability has changed: sessions are made anew, with a new state."""
        self._sessions.forget()

    async def process(self, body: bytes, identity: Identity, base_url: str) -> bytes:
        """The Response to a Request, both as JSON. Raises RequestError."""
        return await self.answer(decode(body), identity, base_url)

    async def answer(self, document: Any, identity: Identity, base_url: str) -> bytes:
        """The same for a Request that was decoded as I-JSON (wire.json.decode)."""
        _, state = await self._sessions.get(identity, base_url)
        return await self._dispatcher.answer(document, identity, state)

    async def upload(
        self, identity: Identity, account: str, type: str, chunks: AsyncIterator[bytes]
    ) -> JsonObject:
        """Store a blob (§6.1). Raises TooLarge, LookupError: no such account, PermissionError: read-only."""
        found = await self._account(identity, account)
        if found.access != "write" or identity.scope != "write":
            raise PermissionError("This account is read-only.")
        services = self._services
        blob = await services.blobs.put(chunks, max_size=services.limits.max_size_upload)
        await blob_access.note_upload(
            services.store, found.id, identity.user, blob, type, services.clock.now()
        )
        return {"accountId": found.id, "blobId": blob.id, "type": type, "size": blob.size}

    async def download(self, identity: Identity, account: str, blob_id: str) -> blob_access.Download | None:
        """A blob (§6.2); None when the user sees no such blob or account."""
        try:
            found = await self._account(identity, account)
        except LookupError:
            return None
        services = self._services
        return await blob_access.find(services.store, services.blobs, found.id, identity.user, blob_id)

    async def _account(self, identity: Identity, account: str) -> AccountInfo:
        for found in await self._services.directory.accounts(identity.user):
            if found.id == account:
                return found
        raise LookupError("No such account.")
