"""A key-value bucket of NATS (its ADR-8): one value for each key, and compare-and-swap by revision."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from msgspec import Struct

from veredus.bridge.nats.errors import Conflict
from veredus.bridge.nats.jetstream import Stored, last_message
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import EXPECTED_SEQUENCE, check_bucket, check_key, encoded_headers
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.nats.window import Ack, Window

_OPERATION = "KV-Operation"
_GONE = frozenset({"DEL", "PURGE"})
# A server since 2.11 writes this for what an age limit took.
_MARKER = "Nats-Marker-Reason"


class Entry(Struct, frozen=True):
    """``revision``: grows with each write to the bucket. ``value`` None: deleted; only ``watch`` tells."""

    key: str
    value: bytes | None
    revision: int


class KeyValue:
    """One bucket on one link. A key that is no key raises BadName."""

    def __init__(self, link: Link, bucket: str) -> None:
        """Raises BadName."""
        check_bucket(bucket)
        self.link = link
        self.bucket = bucket
        self.stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."
        self._window = Window(link)

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """Value and revision; None: there is none. Never an old value: the leader answers."""
        entry = await self._last(key)
        return None if entry is None or entry.value is None else (entry.value, entry.revision)

    async def put(self, key: str, value: bytes) -> int:
        """The new revision, whatever was there."""
        return await self._write(key, value, {})

    async def create(self, key: str, value: bytes) -> int:
        """The new revision. Raises Conflict when there is a value."""
        try:
            return await self._write(key, value, {EXPECTED_SEQUENCE: "0"})
        except Conflict:
            # What is marked as deleted may be written over.
            entry = await self._last(key)
            if entry is not None and entry.value is not None:
                raise
            return await self._write(key, value, {EXPECTED_SEQUENCE: str(entry.revision if entry else 0)})

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """The new revision. Raises Conflict when ``revision`` is not that of the value any more."""
        return await self._write(key, value, {EXPECTED_SEQUENCE: str(revision)})

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Only if it still has ``revision``, else raises Conflict; None: in any case."""
        headers = {_OPERATION: "DEL"}
        if revision is not None:
            headers[EXPECTED_SEQUENCE] = str(revision)
        await self._write(key, b"", headers)

    async def put_many(self, values: Mapping[str, bytes | None]) -> None:
        """Many at once, without waiting for each; None deletes. When it raises, some are written."""
        gone = encoded_headers({_OPERATION: "DEL"})
        sent: list[asyncio.Future[Ack]] = []
        for key, value in values.items():
            check_key(key)
            headers = gone if value is None else b""
            sent.append(await self._window.send(self._prefix + key, value or b"", headers))
        for future in sent:
            await future

    async def entries(self, prefix: str = "", *, values: bool = True) -> AsyncGenerator[Entry, None]:
        """What is there below ``prefix`` (whole tokens, as ``ckpt``; empty: everything).

        Without ``values`` they are not sent, and each is empty.
        """
        reading = Reading(self.stream, self._below(prefix), "last_per_subject", headers_only=not values)
        async with aclosing(read(self.link, reading)) as messages:
            async for message in messages:
                entry = None if message is None else self._entry(message)
                if entry is not None and entry.value is not None:
                    yield entry

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys below ``prefix``, sorted."""
        return sorted([entry.key async for entry in self.entries(prefix, values=False)])

    async def watch(self, prefix: str = "") -> AsyncGenerator[Entry | None, None]:
        """What is there, then None, then each change as it comes. Close it (``aclosing``)."""
        reading = Reading(self.stream, self._below(prefix), "last_per_subject", follow=True)
        current = True
        async with aclosing(read(self.link, reading)) as messages:
            async for message in messages:
                entry = None if message is None else self._entry(message)
                current = current and message is not None
                if entry is None or entry.value is not None or not current:
                    yield entry

    async def _last(self, key: str) -> Entry | None:
        check_key(key)
        message = await last_message(self.link, self.stream, self._prefix + key)
        return None if message is None else self._entry(message)

    async def _write(self, key: str, value: bytes, headers: Mapping[str, str]) -> int:
        check_key(key)
        future = await self._window.send(self._prefix + key, value, encoded_headers(headers))
        return (await future).sequence

    def _below(self, prefix: str) -> str:
        if not prefix:
            return self._prefix + ">"
        check_key(prefix)
        return f"{self._prefix}{prefix}.>"

    def _entry(self, message: Stored) -> Entry:
        gone = message.headers.get(_OPERATION) in _GONE or _MARKER in message.headers
        key = message.subject.removeprefix(self._prefix)
        return Entry(key, None if gone else message.data, message.sequence)
