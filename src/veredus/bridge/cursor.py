"""Where a reader stands, in a KV bucket: moved only by whoever saw its last value."""

import base64
from typing import Protocol

from veredus.bridge.nats.kv import KeyValue


class Cursor(Protocol):
    """The state up to which everything is in the stream."""

    async def load(self) -> str | None:
        """Raises NatsError."""
        ...

    async def save(self, state: str) -> None:
        """Durable when it returns. Raises Conflict when somebody else moved it, NatsError."""
        ...


class KvCursor:
    """One key of a bucket. ``others``: keys that hold it when the first does not, to be left alone."""

    def __init__(self, bucket: KeyValue, key: str, *others: str) -> None:
        self._bucket, self._key, self._others = bucket, key, others
        self._revision: int | None = None

    async def load(self) -> str | None:
        found = await self._bucket.get(self._key)
        self._revision = None if found is None else found[1]
        for key in self._others:
            found = found or await self._bucket.get(key)
        # What is no text is no state of any server, which will say so.
        return None if found is None else found[0].decode(errors="replace")

    async def save(self, state: str) -> None:
        value = state.encode()
        if self._revision is None:
            self._revision = await self._bucket.create(self._key, value)
        else:
            self._revision = await self._bucket.update(self._key, value, self._revision)


def email_cursor(bucket: KeyValue, account: str) -> KvCursor:
    """The cursor that jmap2nats 1.0 has, under its key: one can go back to it."""
    encoded = base64.urlsafe_b64encode(account.encode()).decode().rstrip("=")
    return KvCursor(bucket, f"account.{encoded}", account)


def event_cursor(bucket: KeyValue, account: str, type: str) -> KvCursor:
    """The cursor of one type in JMAP_EVENTS."""
    return KvCursor(bucket, f"ckpt.{account}.{type}")
