"""The outgoing queue: follows the log, sends what is due, and tells what became of it.

One process of all does it at a time, under the lease LEASE, and only while there is something to do soon:
then others see that there is, and try for the lease. Whatever happens to a process, a row says what is left.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from veredus.leases import TTL_S, hold_if_free
from veredus.mail import outbox
from veredus.outgoing import records
from veredus.outgoing.attempt import BackOff, Counts, Deliver, Tools
from veredus.outgoing.intake import Intake, Patience, Route
from veredus.outgoing.ledger import Ledger
from veredus.outgoing.message import Messages, Sign
from veredus.outgoing.settle import Report, Settling
from veredus.outgoing.work import Work
from veredus.ports import BlobStore, Clock, EventBus, Hint, Lease, LeaseLost, Relay, Store, Unavailable
from veredus.ports.trouble import described
from veredus.wire.types import Id

LEASE = "outgoing"
# How often it is looked for work of others, and how long the lease is kept without any.
LOOK_S = 2.0
LINGER_S = 10.0
# What messages under way may take when the server stops: broken off, they may come twice.
LAST_MOMENT_S = 3.0
_BREATH_S = 0.02
# Destinations that are sent to at a time.
_DESTINATIONS = 20
# Of those that are due, to choose from.
_LOOKED_AT = 200

log = structlog.get_logger("veredus.outgoing")


class Policy(Struct, frozen=True):
    """``connections``: to one destination at a time."""

    patience: Patience
    back_off: BackOff
    connections: int = 5


class Ways(Struct, frozen=True):
    """Where messages go: ``relay`` to other hosts; here, as ``route`` says, through ``deliver``.

    ``report``: puts a report into the mailbox of a sender of this server. ``sign``: see ``message.Sign``.
    """

    relay: Relay
    route: Route
    deliver: Deliver
    report: Report
    sign: Sign


class Place(Struct, frozen=True):
    """Where the queue is kept. ``account``: the server's own; ``hostname``: who reports are from."""

    store: Store
    account: Id
    blobs: BlobStore
    bus: EventBus
    clock: Clock
    hostname: str


class Queue:
    """``run`` belongs to one task of a server."""

    def __init__(self, place: Place, ways: Ways, policy: Policy) -> None:
        self._place, self._ways, self._policy = place, ways, policy
        self._intake = Intake(place.store, place.account, ways.route, policy.patience)
        self._messages = Messages(place.blobs, ways.sign)
        self._wake = asyncio.Event()
        self.counts = Counts()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``, whenever there is something to send and no other process does."""
        hints = self._place.bus.subscribe(self._receive)
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            await hints.add(self._place.account)
            while not stop.is_set():
                self._wake.clear()
                try:
                    pause_s = await self._until_due()
                    if pause_s <= 0:
                        await self._work_alone(stop)
                        pause_s = LOOK_S
                except Unavailable as error:
                    log.warning("the outgoing queue waits", error=str(error))
                    pause_s = LOOK_S
                except LeaseLost:
                    log.warning("the outgoing queue stopped here: the lease was lost")
                    pause_s = LOOK_S
                except Exception as error:  # a mistake of ours, after which mail leaves all the same
                    log.error("the outgoing queue begins again", **described(error))
                    pause_s = LOOK_S
                await _pause(self._wake, min(pause_s, LOOK_S))
        finally:
            stopping.cancel()
            await hints.close()
            await self._ways.relay.close()

    def _receive(self, hint: Hint | None) -> None:
        if hint is None or outbox.TYPE in hint.states:
            self._wake.set()

    async def _until_due(self) -> float:
        """Seconds until there is something to do; not more than 0: there is already."""
        if await self._intake.is_behind():
            return 0.0
        async with self._place.store.read(self._place.account) as snapshot:
            first = await records.first_destinations(snapshot, 1)
        if not first or first[0].due == records.NEVER:
            return LOOK_S
        return (datetime.fromisoformat(first[0].due) - self._place.clock.now()).total_seconds()

    async def _work_alone(self, stop: asyncio.Event) -> None:
        async with hold_if_free(self._place.store, LEASE) as lease:
            if lease is None:
                return
            self._intake.forget()
            async with self._working(lease) as work:
                try:
                    await self._work(stop, lease, work)
                except Unavailable:
                    # What is under way may still end well, until the lease does.
                    await work.finish(TTL_S)
                    raise

    @asynccontextmanager
    async def _working(self, lease: Lease) -> AsyncIterator[Work]:
        ledger = Ledger(self._place.store, self._place.account, lease)
        policy, ways = self._policy, self._ways
        tools = Tools(
            store=self._place.store,
            lease=lease,
            ledger=ledger,
            relay=ways.relay,
            deliver=ways.deliver,
            messages=self._messages,
            clock=self._place.clock,
            back_off=policy.back_off,
            counts=self.counts,
            ended=self._intake.ended,
        )
        settling = Settling(tools, self._place.blobs, ways.report, self._place.account, self._place.hostname)
        work = Work(tools, settling, self._place.account, policy.connections)
        try:
            yield work
        finally:
            await work.close()
            await ledger.close()

    async def _work(self, stop: asyncio.Event, lease: Lease, work: Work) -> None:
        """Until ``stop``, or nothing was to be done for a while."""
        loop = asyncio.get_running_loop()
        busy_at = loop.time()
        while not stop.is_set():
            self._wake.clear()
            while await self._intake.take(lease):
                pass
            work.look()
            due, next_due = await self._due(work.busy())
            for destination in due:
                work.begin(destination, self._wake.set)
            if work.busy():
                busy_at = loop.time()
            elif loop.time() - busy_at > LINGER_S:
                return
            work.raise_errors()
            pause = timedelta(seconds=LOOK_S) if next_due is None else next_due - self._place.clock.now()
            await _pause(self._wake, max(0.0, min(pause.total_seconds(), LOOK_S)))
            if work.busy():
                await asyncio.sleep(_BREATH_S)  # each end of a message wakes us: some of them at a time
        await work.finish(LAST_MOMENT_S)

    async def _due(self, busy: Sequence[str]) -> tuple[list[records.Destination], datetime | None]:
        """Destinations to begin with, and when the next one is due."""
        now = self._place.clock.now()
        async with self._place.store.read(self._place.account) as snapshot:
            found = await records.first_destinations(snapshot, _LOOKED_AT + len(busy))
            here = await records.destinations(snapshot, [records.LOCAL])
        # Whoever is here waits for no other host.
        found = here + [one for one in found if one.id != records.LOCAL]
        waiting = [one for one in found if one.id not in busy and one.due != records.NEVER]
        room = max(0, _DESTINATIONS - sum(id != records.LOCAL for id in busy))
        past = [one for one in waiting if datetime.fromisoformat(one.due) <= now]
        # However many hosts are dead, the others are first where a place is free.
        past.sort(key=lambda one: one.failures > 0 and one.id != records.LOCAL)
        due = past[: room + any(one.id == records.LOCAL for one in past)]
        later = [datetime.fromisoformat(one.due) for one in waiting if one not in due]
        return due, min(later, default=None) if room > len(due) else None


async def _pause(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event, but no longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
