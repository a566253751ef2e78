"""Web push: tells the URLs of PushSubscriptions what has changed (RFC 8620 §7.2).

One process of all does it, under the lease LEASE; another takes over when that one ends, from what was
stored. Whatever happens to a process, what a URL was not told is told later: positions are stored once they
are behind, never before. While there is no subscription nobody keeps the lease, since that means a write
every few seconds.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress

import structlog

from veredus.leases import hold_if_free
from veredus.ports import EventBus, Hint, Lease, LeaseLost, Store, Unavailable
from veredus.push.hub import NotAllowed
from veredus.push.web import records
from veredus.push.web.device import Device, Owner, Tools
from veredus.push.web.outcome import PushCounts
from veredus.push.web.records import Progress, Record
from veredus.push.web.slots import Slots
from veredus.wire.types import Id

# How often the subscriptions are looked at without a hint, and at most how often progress is stored.
INTERVAL_S = 1.0
LEASE = "web-push"
# How often another process looks whether it may take over.
TAKE_OVER_S = 2.0
# How often keys that nobody uses any more are looked for.
_KEYS_INTERVAL_S = 3600.0
# Requests under way at a time.
_SLOTS = 100
_SLOTS_OF_USER = 10
# After so many subscriptions others have their turn: at the start there may be thousands.
_AT_ONCE = 100
_CHANGES_AT_ONCE = 1000
LAST_MOMENT_S = 3.0
SURE_AFTER_S = 2.0

log = structlog.get_logger("veredus.push")


class Pusher:
    """``run`` belongs to one task."""

    def __init__(self, store: Store, account: Id, bus: EventBus, tools: Tools) -> None:
        """``account``: the server's own."""
        self._store, self._account, self._bus, self._tools = store, account, bus, tools
        self._owner = Owner(Slots(_SLOTS, _SLOTS_OF_USER), self._note_changed, self._doom, self._note_lost)
        self._devices: dict[Id, Device] = {}
        # The state of the records that is known; None: nothing was read yet.
        self._state: int | None = None
        self._wake = asyncio.Event()
        self._unsaved: dict[Id, Progress] = {}
        self._saved_at = self._keys_seen_at = float("-inf")
        # To be destroyed, and why; to be told of changes again.
        self._doomed: dict[Id, str] = {}
        self._lost: dict[Id, Device] = {}
        # When credentials were first found to be no longer good.
        self._denied: dict[Id, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Push until ``stop``, while there are subscriptions and no other process does."""
        hints = self._bus.subscribe(self._receive)
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            await hints.add(self._account)
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._drop_keys()
                    if await self._is_needed():
                        await self._push_alone(stop)
                except Unavailable as error:
                    log.warning("web push waits", error=str(error))
                except LeaseLost:
                    log.warning("web push stopped here: the lease was lost")
                await _pause(self._wake, TAKE_OVER_S)
        finally:
            stopping.cancel()
            await hints.close()

    async def _is_needed(self) -> bool:
        """Whether there is a subscription."""
        async with self._store.read(self._account) as snapshot:
            if await snapshot.count(records.TYPE):
                return True
            self._state = await snapshot.state(records.TYPE)
        return False

    async def _drop_keys(self) -> None:
        """Now and then; any process may do it at any time."""
        now = asyncio.get_running_loop().time()
        if now >= self._keys_seen_at + _KEYS_INTERVAL_S:
            self._keys_seen_at = now
            await self._tools.vapid.drop_unused()

    async def _push_alone(self, stop: asyncio.Event) -> None:
        """As long as there are subscriptions; not at all while another process does it."""
        async with hold_if_free(self._store, LEASE) as lease:
            if lease is None:
                return
            try:
                await self._push(stop, lease)
                await self._close(lease)
            except BaseException:
                await self._abandon()
                self._state = None  # others push now: then only what is stored counts
                raise
            finally:
                self._unsaved.clear()

    def counts(self) -> PushCounts:
        devices = self._devices.values()
        return PushCounts(
            self._tools.sender.counts,
            subscriptions=len(devices),
            in_flight=sum(bool(device.under_way()) for device in devices),
            waiting=sum(device.is_waiting() for device in devices),
        )

    async def _push(self, stop: asyncio.Event, lease: Lease) -> None:
        while not stop.is_set():
            self._wake.clear()
            if await self._round(lease) and not self._devices:
                return
            await _pause(self._wake, INTERVAL_S)

    async def _round(self, lease: Lease) -> bool:
        """One look at everything; False: what could not be done now is tried again with the next."""
        try:
            await self._look(lease)
            await self._join_lost()
            self._find_over()
            await self._destroy_doomed(lease)
            now = asyncio.get_running_loop().time()
            if now >= self._saved_at + INTERVAL_S:
                await self._save(lease)
            await self._drop_keys()
        except Unavailable as error:
            log.warning("web push waits", error=str(error))
            return False
        return True

    def _receive(self, hint: Hint | None) -> None:
        if hint is None or records.TYPE in hint.states:
            self._wake.set()

    # ------------------------------------------------------------ subscriptions

    async def _look(self, lease: Lease) -> None:
        """Follow the records: new ones, changed ones, those that are gone."""
        while True:
            async with self._store.read(self._account) as snapshot:
                state = await snapshot.state(records.TYPE)
                if state == self._state:
                    return
                changes = None
                if self._state is not None:
                    changes = await snapshot.changes(records.TYPE, self._state, _CHANGES_AT_ONCE)
                ids = None if changes is None else [*changes.created, *changes.updated]
                found = await records.load(snapshot, ids)
                progress = await records.progress_of(snapshot, ids)
            if changes is None:
                there = {record.id for record in found}
                gone = [id for id in self._devices if id not in there]
            else:
                gone = changes.destroyed
            for id in gone:
                self._forget(id)
            new = set() if changes is None else set(changes.created) - progress.keys()
            await self._begin(new, lease)
            for number, record in enumerate(found, 1):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                is_new = record.id in new
                self._add(record, progress.get(record.id, None if is_new else Progress(id=record.id)))
            self._state = state if changes is None else changes.new_state

    async def _begin(self, ids: Collection[Id], lease: Lease) -> None:
        """Store that these are no longer new, before anything is sent to them.

        Whoever finds a subscription without progress knows by that that its URL was never told anything.
        """
        if ids:
            async with self._store.write(self._account, lease) as tx:
                await records.save_progress(tx, [Progress(id=id) for id in ids])

    def _add(self, record: Record, progress: Progress | None) -> None:
        device = self._devices.get(record.id)
        if device is None:
            device = Device(record, progress, self._tools, self._owner)
            self._devices[record.id] = device
            self._lost[record.id] = device
        elif device.update(record):
            self._lost[record.id] = device

    def _forget(self, id: Id) -> None:
        """Nothing of it stays in memory, nor is written again."""
        device = self._devices.pop(id, None)
        if device is not None:
            device.close()
        for kept in (self._unsaved, self._lost, self._denied, self._doomed):
            kept.pop(id, None)

    async def _join_lost(self) -> None:
        now = asyncio.get_running_loop().time()
        for number, (id, device) in enumerate(list(self._lost.items()), 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            del self._lost[id]
            try:
                await device.join()
            except NotAllowed:
                # What is known here of users may be a second behind what was changed elsewhere.
                if now - self._denied.setdefault(id, now) < SURE_AFTER_S:
                    self._lost[id] = device
                    continue
                self._doom(id, "its credentials have ended")
            except Unavailable:
                self._lost[id] = device
                raise
            self._denied.pop(id, None)

    def _find_over(self) -> None:
        now = self._tools.clock.now()
        for id, device in self._devices.items():
            reason = device.is_over(now)
            if reason is not None:
                self._doom(id, reason)

    async def _destroy_doomed(self, lease: Lease) -> None:
        if not self._doomed:
            return
        doomed = dict(self._doomed)
        async with self._store.write(self._account, lease) as tx:
            for id in doomed:
                await records.destroy(tx, id)
        for id, reason in doomed.items():
            log.info("push subscription destroyed", subscription=id, reason=reason)
            self._forget(id)

    # ------------------------------------------------------------ from the devices

    def _note_changed(self, device: Device) -> None:
        self._unsaved[device.record.id] = device.progress

    def _note_lost(self, device: Device) -> None:
        self._lost[device.record.id] = device
        self._wake.set()

    def _doom(self, id: Id, reason: str) -> None:
        if id in self._devices and id not in self._doomed:
            self._devices[id].stop()
            self._doomed[id] = reason
            self._wake.set()

    # ------------------------------------------------------------ storing

    async def _save(self, lease: Lease) -> None:
        self._saved_at = asyncio.get_running_loop().time()
        if not self._unsaved:
            return
        unsaved, self._unsaved = self._unsaved, {}
        try:
            async with self._store.write(self._account, lease) as tx:
                await records.save_progress(tx, list(unsaved.values()))
        except Unavailable:
            self._unsaved = unsaved | self._unsaved
            raise

    async def _close(self, lease: Lease) -> None:
        """Requests under way have a moment to end, so that they need not be sent again."""
        devices = self._devices.values()
        for device in devices:
            device.stop()
        under_way = [task for device in devices for task in device.under_way()]
        if under_way:
            await asyncio.wait(under_way, timeout=LAST_MOMENT_S)
        await self._abandon()
        try:
            await self._save(lease)
        except Unavailable as error:
            log.warning("progress of web push not stored: some will be sent twice", error=str(error))

    async def _abandon(self) -> None:
        """Cut off what is under way: another may be sending it already."""
        under_way = [task for device in self._devices.values() for task in device.under_way()]
        for id in list(self._devices):
            self._devices.pop(id).close()
        for kept in (self._lost, self._denied, self._doomed):
            kept.clear()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _pause(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event, but no longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
