"""One PushSubscription at work: what its URL is owed, and one request to it at a time.

States are not queued: while a request is under way or has to wait, the hub is told "not now", and gives all
that has changed in one piece afterwards. Until the client has written the code back, the verification is all
that is ever sent (RFC 8620 §7.2).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from msgspec import Struct

from veredus.formats.webpush import VapidKey, parse_keys
from veredus.ports import Clock, Unavailable
from veredus.push import position as positions
from veredus.push.event import Event
from veredus.push.hub import Hub
from veredus.push.position import Position
from veredus.push.view import End, Subscription
from veredus.push.web import message, records
from veredus.push.web.email_push import Batch, NewEmails
from veredus.push.web.message import Message
from veredus.push.web.outcome import Urgency
from veredus.push.web.pace import Pace
from veredus.push.web.records import Progress, Record
from veredus.push.web.sender import PushSender, Target
from veredus.push.web.slots import Slots
from veredus.push.web.vapid import Vapid
from veredus.wire.types import Id

_MAIL = frozenset({"EmailDelivery"})

log = structlog.get_logger("veredus.push")


class Tools(Struct, frozen=True):
    """What all devices work with."""

    hub: Hub
    sender: PushSender
    vapid: Vapid
    emails: NewEmails
    clock: Clock


class Owner(Struct, frozen=True):
    """Of all devices. ``slots`` bounds the requests under way.

    ``changed``: the progress of a device is to be stored. ``doomed``: a subscription is to be destroyed, and
    why. ``lost``: it is no longer told of changes, and must join again.
    """

    slots: Slots
    changed: "Callable[[Device], None]"
    doomed: Callable[[Id, str], None]
    lost: "Callable[[Device], None]"


class Device:
    """A Sink (view) of states; ``_Mail`` is another, of deliveries. ``stop`` or ``close`` it."""

    def __init__(self, record: Record, progress: Progress | None, tools: Tools, owner: Owner) -> None:
        """``progress`` None: the subscription was made just now."""
        self.record, self._tools, self._owner = record, tools, owner
        # What the URL has certainly been told; None: it begins now.
        self._told: Position | None = None
        if progress is not None:
            # One that was never stored stands nowhere: it is told everything.
            self._told = positions.decode(progress.position or "")
        self.progress = progress or Progress(id=record.id)
        self._pace = Pace(self.progress, tools.clock)
        self._ends_at, self._end_reason = _end_of(record)
        self._states: Subscription | None = None
        self._mail: Subscription | None = None
        self._event: Event | None = None
        # Accounts that may have new Emails, and what is left of what was sent in part.
        self._owed: set[Id] = set()
        self._batches: dict[Id, Batch] = {}
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    # ------------------------------------------------------------ life

    async def join(self) -> None:
        """Hear of changes, from where it stood. Raises NotAllowed, Unavailable."""
        self._leave()
        record, hub = self.record, self._tools.hub
        types = None if record.types is None else frozenset(record.types)
        states = await hub.subscribe(record.identity, types, self, self._told)
        self._states = states
        if self._told is None:
            self._note_told(states.position)
        if record.email_push:
            self._mail = await hub.subscribe(record.identity, _MAIL, _Mail(self))
            self._owed |= set(record.email_push)
        if self._is_closed:
            self._leave()
        self.poke()

    def update(self, record: Record) -> bool:
        """Take over what the client has changed; whether it must join again."""
        old, self.record = self.record, record
        self._ends_at, self._end_reason = _end_of(record)
        if old.email_push != record.email_push:  # what was found is not what is wanted now
            self._batches.clear()
        self.poke()
        return old.types != record.types or old.email_push != record.email_push

    def stop(self) -> None:
        """Begin no more requests."""
        self._is_closed = True
        self._leave()
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """The same, and cut off the one under way."""
        self.stop()
        if self._task is not None:
            self._task.cancel()

    def under_way(self) -> "list[asyncio.Task[None]]":
        """Its request, if there is one, to be waited for."""
        return [] if self._task is None else [self._task]

    def _leave(self) -> None:
        for subscription in (self._states, self._mail):
            if subscription is not None:
                subscription.close()
        self._states = self._mail = None

    def is_over(self, now: datetime) -> str | None:
        """Why the subscription has come to its end by itself, if it has."""
        return self._end_reason if self._ends_at <= now else None

    def is_waiting(self) -> bool:
        """Whether its URL is left alone for a time, after a failure or because it wants fewer requests."""
        return self._pace.wait_s() > 0

    # ------------------------------------------------------------ from the hub

    def take(self, event: Event) -> bool:
        if not self.record.is_verified or not self._is_free():
            return False
        self._event = event
        self._start()
        return True

    def end(self, why: End) -> None:
        match why:
            case "credentials":
                self._owner.doomed(self.record.id, "its credentials have ended")
            case "access":
                self._batches.clear()  # it may be of an account that is no longer seen
                self._owner.lost(self)

    def delivered(self, accounts: "set[Id]") -> None:
        """Emails have come."""
        self._owed |= accounts & set(self.record.email_push or ())
        self.poke()

    # ------------------------------------------------------------ when to send

    def _is_free(self) -> bool:
        return not self._is_closed and self._task is None and not self.is_waiting()

    def poke(self) -> None:
        """Send what is due, now or as soon as it may be."""
        if self._is_closed or self._task is not None or self.is_over(self._tools.clock.now()):
            return
        wait = self._pace.wait_s()
        if wait > 0:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(wait, self.poke)
        elif not self.record.is_verified:
            if not self.progress.verification_sent:
                self._start()
        else:
            if self._states is not None:
                self._states.ready()
            if self._owed and self._task is None:
                self._start()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async with self._owner.slots.one(self.record.identity.user):
                await self._deliver()
        except Unavailable as error:
            self._failed(f"not sent: {error}")
        except Exception:
            # A bug; it must not end the deliveries of this device, nor be repeated without pause.
            log.exception("push failed", subscription=self.record.id)
            self._failed("not sent: the server has a fault, which is in its log")
        finally:
            self._task = None
        self.poke()

    # ------------------------------------------------------------ sending

    async def _deliver(self) -> None:
        event, self._event = self._event, None
        if not self.record.is_verified:
            self.progress.verification_sent = await self._send(message.verification(self.record))
            return
        if event is not None and not await self._tell(event):
            return
        if self._owed and not self.is_waiting():
            await self._push_emails(next(iter(self._owed)))

    async def _tell(self, event: Event) -> bool:
        for part in message.state_changes(event, self.record, self._tools.clock.now()):
            if not await self._send(part):
                self._forget_event()
                return False
        self._note_told(event.position)
        return True

    def _forget_event(self) -> None:
        """What it told will be told again, with all that has changed meanwhile."""
        if self._states is not None and self._told is not None:
            self._states.position = self._told

    def _note_told(self, position: Position) -> None:
        self._told = position
        self.progress.position = positions.encode(position)
        self._owner.changed(self)

    async def _push_emails(self, account: Id) -> None:
        config = (self.record.email_push or {}).get(account)
        self._owed.discard(account)  # before it is read: what comes from now on is owed anew
        if config is None:
            return
        record, batch = self.record, self._batches.get(account)
        if batch is None:
            since = max(self.progress.emails.get(account, 0), record.email_since.get(account, 0))
            now = self._tools.clock.now()
            batch = await self._tools.emails.after(record.identity, account, config, since, now)
            if record is not self.record:  # what was found may not be what is wanted now
                self._owed.add(account)
                return
            self._batches[account] = batch
        await self._push_batch(account, batch, config.urgency)

    async def _push_batch(self, account: Id, batch: Batch, urgency: Urgency) -> None:
        total = len(batch.bodies)
        while batch.bodies and self._batches.get(account) is batch:
            now = self._tools.clock.now()
            is_sent = await self._send(message.email_push(batch.bodies[0], urgency, self.record, now))
            if is_sent:
                del batch.bodies[0]
            if not is_sent or self.is_waiting():
                break
        if not batch.bodies:
            self.progress.emails[account] = batch.position
            self._owner.changed(self)
        else:
            self._owed.add(account)
        if len(batch.bodies) in (0, total):  # nothing of it, or all: the next one is read anew
            self._batches.pop(account, None)

    async def _send(self, what: Message) -> bool:
        """Whether the URL has taken it. What else that means is noted.

        Asked before each request, because there may be much between it and the one before: nothing goes out
        once the subscription has ended (RFC 8620 §7.2).
        """
        if self._is_closed or self.is_over(self._tools.clock.now()):
            return False
        target = await self._target()
        if target is None:
            self._owner.doomed(self.record.id, "the VAPID key that it was made with is no longer kept")
            return False
        outcome = await self._tools.sender.send(
            target, what.body, ttl=what.ttl, urgency=what.urgency, topic=what.topic
        )
        self._learned(self._pace.learn(outcome))
        if outcome.kind in ("retry", "refused"):
            log.info("push not accepted", subscription=self.record.id, reason=outcome.detail)
        return outcome.kind == "delivered"

    def _failed(self, reason: str) -> None:
        self._forget_event()
        self._learned(self._pace.fail(reason))

    def _learned(self, end_reason: str | None) -> None:
        self._owner.changed(self)
        if end_reason is not None:
            self._owner.doomed(self.record.id, end_reason)

    async def _target(self) -> Target | None:
        vapid = self._tools.vapid
        key = vapid.by_id(self.record.vapid)
        if key is None:
            await vapid.refresh()
            key = vapid.by_id(self.record.vapid)
        return None if key is None else target_of(self.record, key)


class _Mail:
    """Hears of deliveries for a device; what is new it reads itself."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def take(self, event: Event) -> bool:
        self._device.delivered(set(event.change.changed))
        return True

    def end(self, why: End) -> None:
        """The device hears it, too."""


def _end_of(record: Record) -> tuple[datetime, str]:
    """When the subscription comes to its end by itself, and why."""
    expires = records.moment(record.expires)
    unverified = records.moment(record.created) + message.VERIFICATION_LIFE
    if not record.is_verified and unverified < expires:
        return unverified, "nobody has verified it"
    return expires, "it has expired"


def target_of(record: Record, key: VapidKey) -> Target:
    """Where the messages of a subscription go."""
    keys = None if record.keys is None else parse_keys(record.keys["p256dh"], record.keys["auth"])
    return Target(record.url, keys, key)
