"""A stored message as it goes over the wire: no Bcc, CRLF, and the signature of its author's domain."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from veredus.formats.mime.email import convenience
from veredus.formats.mime.fields import header_block, with_crlf, without_fields
from veredus.formats.mime.header import split_header_block
from veredus.mail.outbox import Origin
from veredus.ports import BlobStore
from veredus.wire.types import BlobId

# DKIM-Signature fields for a message of an author's domain; b"" when the server has no key of it.
Sign = Callable[[str, bytes], Awaitable[bytes]]
# Octets of messages that are kept for their further destinations and attempts.
_KEPT = 32 * 1024 * 1024
_INLINE = 256 * 1024


async def unsigned(domain: str, message: bytes) -> bytes:
    """Sign for a server without keys."""
    return b""


class Messages:
    """Messages ready to be sent, the latest ones remembered."""

    def __init__(self, blobs: BlobStore, sign: Sign) -> None:
        self._blobs, self._sign = blobs, sign
        self._ready: OrderedDict[tuple[BlobId, bool], bytes] = OrderedDict()
        self._octets = 0
        # Several destinations ask for the same message at the same time: once is enough.
        self._loading: WeakValueDictionary[tuple[BlobId, bool], asyncio.Lock] = WeakValueDictionary()

    async def load(self, blob: BlobId, origin: Origin) -> bytes | None:
        """None: its octets are gone."""
        key = blob, origin != "redirect"
        known = self._ready.get(key)
        if known is None:
            async with self._loading.setdefault(key, asyncio.Lock()):
                return self._ready.get(key) or await self._load(*key)
        self._ready.move_to_end(key)
        return known

    async def _load(self, blob: BlobId, is_ours: bool) -> bytes | None:
        data = await self._blobs.get(blob)
        if data is None:
            return None
        if len(data) > _INLINE:
            data = await asyncio.to_thread(_for_the_wire, data, is_ours)
        else:
            data = _for_the_wire(data, is_ours)
        if is_ours:
            data = await self._sign(_author_domain(data), data) + data
        self._keep((blob, is_ours), data)
        return data

    def _keep(self, key: tuple[BlobId, bool], data: bytes) -> None:
        self._ready[key] = data
        self._octets += len(data)
        while self._octets > _KEPT and len(self._ready) > 1:
            _, gone = self._ready.popitem(last=False)
            self._octets -= len(gone)


def _for_the_wire(data: bytes, is_ours: bool) -> bytes:
    """What is passed on for somebody else stays as it is: others have signed it."""
    return with_crlf(without_fields(data, ("Bcc", "Resent-Bcc")) if is_ours else data)


def _author_domain(data: bytes) -> str:
    """The domain of the first address in From, which a signature must agree with (RFC 7489 §3.1.1)."""
    headers, _ = split_header_block(header_block(data))
    authors = convenience(headers)["from"] or [{"email": ""}]
    return str(authors[0]["email"]).rpartition("@")[2].lower()
