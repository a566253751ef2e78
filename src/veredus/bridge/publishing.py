"""How messages get into a stream: made to fit, in order, acknowledged; what never gets there is parked."""

import asyncio
from typing import Literal

import structlog
from msgspec import Struct

from veredus.bridge.attempts import Attempts, Failed
from veredus.bridge.dead_letters import Parking
from veredus.bridge.nats.errors import BucketFull
from veredus.bridge.nats.eviction import evict_oldest
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message as NatsMessage
from veredus.bridge.nats.objects import About, ObjectStore
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.window import Ack
from veredus.bridge.status import TrackStatus
from veredus.bridge.wire.change import Op, Source
from veredus.bridge.wire.dead_letter import DeadLetter
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import Spilled, fit
from veredus.wire.types import Id

log = structlog.get_logger("veredus.bridge")


class States(Struct, frozen=True):
    """The states between which a page of work lies. ``snapshot``: it is no change, but what was there.

    ``run``: which snapshot it belongs to, where another at the same state is to be told, too.
    """

    old: str | None
    new: str
    snapshot: bool = False
    run: str = ""


class Item(Struct, frozen=True):
    """What one message is about."""

    type: str
    op: Op
    id: Id


class Outlet(Struct, frozen=True, kw_only=True):
    """Where the messages of one track go; all of one link. ``max_size``: of a message, with its headers;
    ``evicts``: whether the oldest objects go when there is no room for a payload."""

    pipeline: Literal["emails", "events"]
    about: Source
    link: Link
    objects: ObjectStore
    attempts: Attempts
    letters: Parking
    status: TrackStatus
    max_size: int
    evicts: bool = False

    def publisher(self) -> Publisher:
        """A new pipeline: one that failed sends nothing more."""
        return Publisher(self.link, max_size=self.max_size)

    async def send(self, publisher: Publisher, message: Message) -> "asyncio.Future[Ack]":
        """Waits for room only, and counts what is acknowledged. Raises what ended the pipeline."""
        sent = await publisher.send(
            NatsMessage(message.subject, message.payload, message.headers, message.msg_id)
        )
        op = message.headers.get("Jmap-Op", "created")  # compat.strict has none, and only what is created
        sent.add_done_callback(lambda done: self._acknowledged(done, op))
        return sent

    def _acknowledged(self, sent: "asyncio.Future[Ack]", op: str) -> None:
        if sent.cancelled() or sent.exception() is not None:
            return
        if sent.result().duplicate:
            self.status.counts["duplicates"] += 1
        else:
            self.status.counts.update({"published": 1, f"published.{op}": 1})
        self.status.progressed()

    async def fitting(self, message: Message) -> Message:
        """A message as small as NATS wants it; what is too large goes into the object store first.

        Raises BucketFull and other NatsErrors, and TooSmall.
        """
        fitted = fit(message, self.max_size)
        if isinstance(fitted, Spilled):
            await self._store(fitted)
            self.status.counts["spilled"] += 1
            return fitted.message
        return fitted

    async def _store(self, spilled: Spilled) -> None:
        about = About({"Content-Type": "application/json"})
        try:
            await self.objects.put(spilled.object_key, spilled.payload, about, replace=True)
        except BucketFull:
            if not self.evicts:
                raise
            await evict_oldest(self.objects, len(spilled.payload))
            await self.objects.put(spilled.object_key, spilled.payload, about, replace=True)

    async def park(self, item: Item, failed: Failed, states: States) -> None:
        """Into the dead-letter stream; durable when it returns. Raises NatsError."""
        error = failed.error
        letter = DeadLetter(
            server=self.about.server,
            account_id=self.about.account_id,
            type=item.type,
            op=item.op,
            id=item.id,
            pipeline=self.pipeline,
            error_type=getattr(error, "type", type(error).__name__),
            error=str(error),
            attempts=failed.attempts,
            first_at=failed.first_at,
            last_at=failed.last_at,
            old_state=states.old,
            new_state=states.new,
        )
        await self.letters.park(letter)
        self.status.counts["parked"] += 1
