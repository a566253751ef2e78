"""What the HTTP edge asks of the engine. It knows no more of JMAP than this (RFC 8620 §2, §3, §6)."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from veredus.ports import Identity
from veredus.wire.types import JsonObject


class Download(Protocol):
    """A blob to send."""

    @property
    def size(self) -> int: ...

    @property
    def data(self) -> bytes | None:
        """All of it, when it is small."""
        ...

    def open(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The octets in [start, end); called only when there is no ``data``."""
        ...


class Api(Protocol):
    """The JMAP server behind the edge."""

    async def session(self, identity: Identity, base_url: str) -> tuple[bytes, str]:
        """The Session object as JSON, and its state (§2)."""
        ...

    async def process(self, body: bytes, identity: Identity, base_url: str) -> bytes:
        """The Response to a Request (§3.3, §3.4), both JSON. Raises RequestError."""
        ...

    async def answer(self, document: Any, identity: Identity, base_url: str) -> bytes:
        """The same for a Request that was decoded (wire.json.decode). Raises RequestError."""
        ...

    async def upload(
        self, identity: Identity, account: str, type: str, chunks: AsyncIterator[bytes]
    ) -> JsonObject:
        """Keep a blob; the answer of §6.1.

        Raises TooLarge; LookupError: no such account; PermissionError: it may not be written to;
        SetError (overQuota). What ``chunks`` raises passes through.
        """
        ...

    async def download(self, identity: Identity, account: str, blob_id: str) -> Download | None:
        """The blob (§6.2), or None when this identity sees no such account or blob."""
        ...
