"""One account: waits for its lease, then follows its types until the lease or the link is gone."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog

from veredus.bridge.emails.follow import email_follower
from veredus.bridge.emails.reading import Reading
from veredus.bridge.emails.select import Rules, Selection
from veredus.bridge.events.follow import event_follower, event_types
from veredus.bridge.follower import Follower
from veredus.bridge.mailboxes import MailboxBucket, MailboxIndex
from veredus.bridge.nats.errors import Conflict, NatsError, NatsLost
from veredus.bridge.nats.lease import Lease
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import AccountStatus
from veredus.bridge.streams import Streams
from veredus.bridge.tasks import stop
from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, TransportError

log = structlog.get_logger("veredus.bridge")


class AccountReader:
    """Reads one account for as long as it holds the lease, over many links; ``run`` is for one of them."""

    def __init__(
        self,
        settings: BridgeSettings,
        rules: Rules,
        source: AccountSource,
        lease: Lease,
        status: AccountStatus,
    ) -> None:
        self._settings, self._rules, self._source = settings, rules, source
        self._lease, self._status = lease, status
        self._mailboxes = MailboxIndex(source)
        self._bucket: MailboxBucket | None = None
        self._followers: list[Follower] = []

    def look(self, types: Mapping[str, str] | None) -> None:
        """Something may have changed: in these types, or (None) in any."""
        for follower in self._followers:
            if types is None or follower.type in types:
                follower.look()
        if self._bucket is not None and (types is None or "Mailbox" in types):
            self._bucket.look()

    def begin_anew(self) -> None:
        """Somebody may have asked for a snapshot, or moved a cursor."""
        for follower in self._followers:
            follower.begin_anew()

    def pause(self, paused: bool) -> None:
        """Stop after the page that is being worked on, or go on; the lease is kept."""
        self._status.paused = paused
        for follower in self._followers:
            follower.pause(paused)

    async def run(self, streams: Streams, transport: str) -> None:
        """Raises NatsLost."""
        backoff = Backoff()
        while True:
            try:
                log.info("standby", account=self._status.id)
                await self._lease.acquire(streams.state)
                backoff.connected()
                self._status.error = None
                await self._read(streams, transport)
                log.warning("lease_lost", account=self._status.id)
            except NatsLost:
                raise
            except Conflict as error:
                # Somebody without the lease, jmap2nats perhaps, has moved the cursor: read it again.
                log.warning("cursor_moved_by_another", account=self._status.id, error=str(error))
                await asyncio.sleep(backoff.next_s())
            except (NatsError, JMAPError) as error:
                self._status.error = f"{type(error).__name__}: {error}"
                log.warning("account_waits", account=self._status.id, error=str(error))
                await asyncio.sleep(backoff.next_s())

    async def close(self) -> None:
        """Let another take over at once."""
        await self._lease.release()

    async def _read(self, streams: Streams, transport: str) -> None:
        """Returns when the lease is lost; raises what ends following."""
        await self._mailboxes.refresh()
        settings, account = self._settings, self._source.account
        self._bucket = MailboxBucket(self._mailboxes, streams.mailboxes, account, poll_s=settings.poll_s)
        selection = Selection(self._rules, self._mailboxes)
        reading = Reading(settings, self._source, streams, self._status, selection, transport)
        self._followers = [await email_follower(reading)] if settings.stream.enabled else []
        self.pause(self._status.paused)
        self._status.active = True
        log.info("reading", account=self._status.id)
        work = [
            self._bucket.run(),
            *(follower.run() for follower in self._followers),
            *(self._events(reading, type) for type in event_types(settings, self._source)),
        ]
        try:
            await self._until_lost(work)
        finally:
            self._status.active = False

    async def _until_lost(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Returns when the lease is lost; raises what ends any of ``work``, which may return before."""
        lost = asyncio.create_task(self._lease.lost.wait())
        tasks: set[asyncio.Task[Any]] = {lost, *map(asyncio.create_task, work)}
        under_way = tasks
        try:
            while lost in under_way:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            await stop(tasks)

    async def _events(self, reading: Reading, type: str) -> None:
        """Returns when the server has no changes of ``type``. Raises what ends following."""
        if not await self._has_changes(type):
            log.warning("type_left_out", account=self._status.id, type=type, reason="it has no changes here")
            return
        follower = event_follower(reading, type)
        follower.pause(self._status.paused)
        self._followers.append(follower)
        await follower.run()

    async def _has_changes(self, type: str) -> bool:
        """Waits until the server says so or so: the other types need not."""
        backoff = Backoff()
        while True:
            try:
                return await self._source.has_changes(type)
            except JMAPError as error:
                asked_s = error.retry_after_s if isinstance(error, TransportError) else None
                log.warning("waiting", account=self._status.id, type=type, error=str(error))
                await asyncio.sleep(backoff.next_s(asked_s))
