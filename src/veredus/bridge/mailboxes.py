"""The Mailboxes of an account: what gives filters, routes and headers their names and roles; and a bucket of
them, in which consumers look up what an id means."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import structlog

from veredus.bridge.nats.errors import Conflict, NatsError, NatsLost
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.source import AccountSource
from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, MethodError
from veredus.client.search.mailboxes import Mailboxes
from veredus.wire.types import Id, JsonObject, is_id

log = structlog.get_logger("veredus.bridge")
PROPERTIES = "id name parentId role sortOrder totalEmails unreadEmails totalThreads unreadThreads".split()
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


class MailboxIndex:
    """As they were at the last ``refresh`` or ``update``; ``all`` by id."""

    def __init__(self, source: AccountSource) -> None:
        self._source = source
        self.account = source.account
        self._state: str | None = None
        self.all: Mapping[Id, JsonObject] = {}
        self.roles: Mapping[Id, str] = {}
        self.search = Mailboxes()

    async def refresh(self) -> None:
        """Read all. Raises what the client raises."""
        got = await self._source.client.get("Mailbox", None, PROPERTIES, account=self._source.account)
        self._set({record.id: record.json for record in got.list}, got.state)

    async def update(self) -> None:
        """Read what has changed. Raises what the client raises."""
        while await self._page():
            pass

    async def _page(self) -> bool:
        """Whether there is more."""
        if self._state is None:
            await self.refresh()
            return False
        try:
            async with self._source.client.batch(self._source.account) as batch:
                changes = batch.changes("Mailbox", self._state, max_changes=self._source.most)
                created = batch.get("Mailbox", changes.created_ref, PROPERTIES)
                updated = batch.get("Mailbox", changes.updated_ref, PROPERTIES)
        except MethodError:
            # The server cannot calculate, or something else is odd: all of them anew.
            await self.refresh()
            return False
        page = changes.result
        read = {record.id: record.json for record in (*created.list, *updated.list)}
        changed = {*page.created, *page.updated, *page.destroyed}
        self._set({id: box for id, box in self.all.items() if id not in changed} | read, page.new_state)
        return page.has_more_changes and page.new_state != page.old_state

    def _set(self, mailboxes: Mapping[Id, JsonObject], state: str) -> None:
        self._state, self.all = state, mailboxes
        usable = {id: box for id, box in mailboxes.items() if _is_usable(box)}
        self.roles = {id: box["role"] for id, box in usable.items() if box.get("role")}
        self.search = Mailboxes(usable.values())


def _is_usable(mailbox: JsonObject) -> bool:
    """Whether its name and role are what RFC 8621 §2 says; others must not suffer by one that is not so."""
    return isinstance(mailbox.get("name"), str) and isinstance(mailbox.get("role"), str | None)


class MailboxBucket:
    """Keeps the index as the server has it, and a bucket as the index: ``<account>.<mailboxId>`` is the
    Mailbox as JSON. Only for who holds the lease."""

    def __init__(self, index: MailboxIndex, bucket: KeyValue | None, account: Id, *, poll_s: float) -> None:
        """``bucket`` None: only the index."""
        self._index, self._bucket, self._account, self._poll_s = index, bucket, account, poll_s
        self._written: dict[str, bytes] | None = None
        self._wake = asyncio.Event()

    def look(self) -> None:
        """A Mailbox may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Returns never. Raises NatsLost; after anything else it tries again."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            self._wake.clear()
            try:
                await self._index.update()
                await self._write()
            except (NatsLost, Conflict):
                raise
            except (JMAPError, NatsError) as error:
                wait_s = backoff.next_s()
                log.warning(
                    "mailboxes_wait", account=self._account, error=str(error), seconds=round(wait_s, 1)
                )
                await asyncio.sleep(wait_s)
            else:
                backoff.reset()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):  # wait_for may swallow a cancellation
                        await self._wake.wait()

    async def _write(self) -> None:
        """What differs from what is there."""
        if self._bucket is None:
            return
        if self._written is None:
            entries = self._bucket.entries(self._account)
            self._written = {entry.key: entry.value async for entry in entries if entry.value is not None}
        wanted = {
            f"{self._account}.{id}": msgspec.json.encode(box)
            for id, box in self._index.all.items()
            if is_id(id)
        }
        changed: dict[str, bytes | None] = {
            key: value for key, value in wanted.items() if self._written.get(key) != value
        }
        changed |= dict.fromkeys(self._written.keys() - wanted.keys())
        self._written = None  # unknown, should this fail half way
        await self._bucket.put_many(changed)
        self._written = wanted
