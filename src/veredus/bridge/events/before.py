"""What records were when their last event was acknowledged: by it, an update says what has changed.

A value is written after the acknowledgement. A reader that dies in between finds the older value, makes the
same event again, which the stream knows by its id, and then writes what that event said.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.tasks import all_of
from veredus.wire.types import Id, JsonObject, is_id

# What can change of an Email (RFC 8621 §4.1.1); nothing else of it is worth comparing.
_OF_EMAIL = frozenset(("mailboxIds", "keywords"))
# A larger value is not kept, and the next update of that record says nothing of what has changed.
LARGEST = 64 * 1024
# Octets of values in memory, for each type: in front of a bucket, and where there is none.
CACHE, ALONE = 8 * 1024 * 1024, 32 * 1024 * 1024
# Of Python around each value.
_AROUND = 200
_READS = 64
_KEYS = 200


class Before:
    """Old values of one type of one account, for as long as a lease lasts: another may write them later."""

    def __init__(self, account: Id, type: str, bucket: KeyValue | None, octets: int) -> None:
        """``bucket`` None: only what fits into ``octets`` of memory; with 0, nothing is known."""
        self._prefix, self._bucket = f"{account}.{type.lower()}", bucket
        self._compared: Collection[str] | None = _OF_EMAIL if type == "Email" else None
        self._cache, self._room = OrderedDict[Id, bytes](), octets
        self._slots = asyncio.Semaphore(_READS)

    @property
    def remembers(self) -> bool:
        """Whether ``write`` is of any use."""
        return self._bucket is not None or self._room > 0

    async def read(self, ids: Collection[Id]) -> dict[Id, JsonObject]:
        """The values that are known. Raises NatsError."""
        found = {id: self._cache[id] for id in ids if id in self._cache}
        if self._bucket is not None:
            missing = [id for id in dict.fromkeys(ids) if id not in found and is_id(id)]
            values = await all_of(self._get(self._bucket, id) for id in missing)
            found |= {id: value for id, value in zip(missing, values, strict=True) if value is not None}
        decoded = {id: _decoded(value) for id, value in found.items()}
        return {id: value for id, value in decoded.items() if value is not None}

    async def write(self, records: Mapping[Id, JsonObject | None]) -> None:
        """Durable when it returns; None: it is gone, or nobody knows. Raises NatsError."""
        values = {id: self._encoded(record) for id, record in records.items() if is_id(id)}
        new = {id: value for id, value in values.items() if value is None or self._cache.get(id) != value}
        for id in new:
            self._forget(id)
        if self._bucket is not None:
            await self._bucket.put_many({f"{self._prefix}.{id}": value for id, value in new.items()})
        for id, value in new.items():
            if value is not None:
                self._remember(id, value)

    async def known(self) -> AsyncIterator[list[Id]]:
        """All ids of which there is a value in the bucket, some at a time. Raises NatsError."""
        if self._bucket is None:
            return
        page: list[Id] = []
        async with aclosing(self._bucket.entries(self._prefix, values=False)) as entries:
            async for entry in entries:
                page.append(entry.key.rpartition(".")[2])
                if len(page) == _KEYS:
                    yield page
                    page = []
        if page:
            yield page

    async def _get(self, bucket: KeyValue, id: Id) -> bytes | None:
        async with self._slots:
            found = await bucket.get(f"{self._prefix}.{id}")
        if found is None:
            return None
        self._remember(id, found[0])
        return found[0]

    def _encoded(self, record: JsonObject | None) -> bytes | None:
        if record is None:
            return None
        compared = self._compared
        kept = {
            name: value
            for name, value in record.items()
            if (name != "id" if compared is None else name in compared)
        }
        value = msgspec.json.encode(kept)
        return value if len(value) <= LARGEST else None

    def _remember(self, id: Id, value: bytes) -> None:
        self._forget(id)
        self._cache[id] = value
        self._room -= len(value) + _AROUND
        while self._room < 0 and self._cache:
            self._forget(next(iter(self._cache)))

    def _forget(self, id: Id) -> None:
        value = self._cache.pop(id, None)
        if value is not None:
            self._room += len(value) + _AROUND


def _decoded(value: bytes) -> JsonObject | None:
    """None: somebody else wrote it."""
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
