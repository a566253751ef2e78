"""Web push: tells the URLs of PushSubscriptions what has changed (RFC 8620 §7.2).

One process of a server does it; another takes over when that one ends, from what was stored. Whatever
happens to a process, what a URL was not told is told later: positions are stored once they are behind, never
before.
"""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import structlog

from veredus.locks import locked
from veredus.ports import EventBus, Hint, Store, Unavailable
from veredus.push.hub import NotAllowed
from veredus.push.web import records
from veredus.push.web.device import Device, Owner, Tools
from veredus.push.web.outcome import PushCounts
from veredus.push.web.records import Progress, Record
from veredus.push.web.slots import Slots
from veredus.wire.types import Id

# How often the subscriptions are looked at without a hint, and at most how often progress is stored.
INTERVAL_S = 1.0
# How soon another process takes over.
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

    def __init__(self, store: Store, account: Id, bus: EventBus, tools: Tools, lock: Path | None) -> None:
        """``account``: the server's own. ``lock``: a file that keeps other processes out (None: there are
        none)."""
        self._store, self._account, self._bus, self._tools = store, account, bus, tools
        self._lock = lock
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
        """Push until ``stop``, as soon as no other process does."""
        while not stop.is_set():
            with nullcontext(True) if self._lock is None else locked(self._lock) as is_free:
                if is_free:
                    await self._push(stop)
                    return
            await _pause(stop, TAKE_OVER_S)

    def counts(self) -> PushCounts:
        devices = self._devices.values()
        return PushCounts(
            self._tools.sender.counts,
            subscriptions=len(devices),
            in_flight=sum(bool(device.under_way()) for device in devices),
            waiting=sum(device.is_waiting() for device in devices),
        )

    async def _push(self, stop: asyncio.Event) -> None:
        hints = self._bus.subscribe(self._receive)
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            await hints.add(self._account)
            while not stop.is_set():
                self._wake.clear()
                await self._round()
                await _pause(self._wake, INTERVAL_S)
        finally:
            stopping.cancel()
            await hints.close()
            await self._close()

    async def _round(self) -> None:
        """One look at everything; what cannot be done now is tried again with the next."""
        try:
            await self._look()
            await self._join_lost()
            self._find_over()
            await self._destroy_doomed()
            now = asyncio.get_running_loop().time()
            if now >= self._saved_at + INTERVAL_S:
                await self._save()
            if now >= self._keys_seen_at + _KEYS_INTERVAL_S:
                self._keys_seen_at = now
                await self._tools.vapid.drop_unused()
        except Unavailable as error:
            log.warning("web push waits", error=str(error))

    def _receive(self, hint: Hint | None) -> None:
        if hint is None or records.TYPE in hint.states:
            self._wake.set()

    # ------------------------------------------------------------ subscriptions

    async def _look(self) -> None:
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
            for number, record in enumerate(found, 1):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                is_new = changes is not None and record.id in changes.created
                self._add(record, progress.get(record.id, None if is_new else Progress(id=record.id)))
            self._state = state if changes is None else changes.new_state

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

    async def _destroy_doomed(self) -> None:
        if not self._doomed:
            return
        doomed = dict(self._doomed)
        async with self._store.write(self._account) as tx:
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

    async def _save(self) -> None:
        self._saved_at = asyncio.get_running_loop().time()
        if not self._unsaved:
            return
        unsaved, self._unsaved = self._unsaved, {}
        try:
            async with self._store.write(self._account) as tx:
                await records.save_progress(tx, list(unsaved.values()))
        except Unavailable:
            self._unsaved = unsaved | self._unsaved
            raise

    async def _close(self) -> None:
        """Requests under way have a moment to end, so that they need not be sent again."""
        devices = self._devices.values()
        for device in devices:
            device.stop()
        under_way = [task for device in devices for task in device.under_way()]
        if under_way:
            await asyncio.wait(under_way, timeout=LAST_MOMENT_S)
        for device in devices:
            device.close()
        await asyncio.gather(*under_way, return_exceptions=True)
        try:
            await self._save()
        except Unavailable as error:
            log.warning("progress of web push not stored: some will be sent twice", error=str(error))
        self._devices.clear()


async def _pause(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event, but no longer."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
