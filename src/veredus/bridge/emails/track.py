"""Created Emails on their way into JMAP_EMAILS: parts first, then the message; in order, and acknowledged."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from veredus.bridge.attempts import Attempts, Failed
from veredus.bridge.dead_letters import DeadLetters
from veredus.bridge.emails.fetch import EmailFetch
from veredus.bridge.emails.parts import PartStore
from veredus.bridge.emails.select import Selection
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message as NatsMessage
from veredus.bridge.nats.objects import About, ObjectStore
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.window import Ack
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.snapshot import Snapshot
from veredus.bridge.status import TrackStatus
from veredus.bridge.tasks import stop
from veredus.bridge.wire import extra
from veredus.bridge.wire.change import Change, Source
from veredus.bridge.wire.dead_letter import DeadLetter
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import Spilled, fit
from veredus.client.results import Changes
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.bridge")
# Emails whose parts are being stored, or which wait for their turn to be published.
_AHEAD = 64


class States(Struct, frozen=True):
    """The states between which a page of work lies. ``snapshot``: it is no change, but what was there."""

    old: str | None
    new: str
    snapshot: bool = False


class Tools(Struct, frozen=True):
    """What a track of Emails works with; all of one link. ``max_size``: of a message, with its headers."""

    fetch: EmailFetch
    parts: PartStore
    objects: ObjectStore
    link: Link
    attempts: Attempts
    letters: DeadLetters
    selection: Selection
    max_size: int
    snapshot: Snapshot


class EmailTrack:
    """``known``: ids of Emails that are in the stream already, beyond what its duplicate window remembers."""

    type = "Email"

    def __init__(
        self,
        settings: BridgeSettings,
        about: Source,
        generation: Generation,
        tools: Tools,
        status: TrackStatus,
        known: Collection[Id],
    ) -> None:
        self._settings, self._about, self._generation = settings, about, generation
        self._tools, self._status, self._known = tools, status, known

    @property
    def properties(self) -> list[str]:
        """What must be known of an Email before it is fetched."""
        return ["id", "size", *self._tools.selection.properties]

    async def begin(self, old_state: str | None) -> str:
        async def take(page: Sequence[JsonObject], state: str) -> None:
            await self.publish(page, States(None, state, snapshot=True))

        return await self._tools.snapshot.run(old_state, self.properties, take)

    async def take(self, changes: Changes, created: Sequence[JsonObject]) -> None:
        await self.publish(created, States(changes.old_state, changes.new_state))

    async def publish(self, heads: Sequence[JsonObject], states: States) -> None:
        """Publish the Emails of ``heads``; when it returns each is in the stream, or parked, or gone.

        Raises what ends the work on all of them; those that were acknowledged by then stay so.
        """
        chosen = [
            head for head in heads if head["id"] not in self._known and self._tools.selection.takes(head)
        ]
        self._status.counts["left_out"] += len(heads) - len(chosen)
        preparing: deque[asyncio.Task[list[Message]]] = deque()
        publisher = Publisher(self._tools.link, max_size=self._tools.max_size)
        try:
            async for id, email in self._tools.fetch.all(chosen):
                preparing.append(asyncio.create_task(self._prepared(id, email, states)))
                while len(preparing) > _AHEAD or (preparing and preparing[0].done()):
                    await self._publish(publisher, await preparing.popleft())
            while preparing:
                await self._publish(publisher, await preparing.popleft())
            await publisher.drain()
        finally:
            await stop(preparing)

    async def _publish(self, publisher: Publisher, messages: Sequence[Message]) -> None:
        for message in messages:
            sent = await publisher.send(
                NatsMessage(message.subject, message.payload, message.headers, message.msg_id)
            )
            sent.add_done_callback(self._acknowledged)

    def _acknowledged(self, sent: "asyncio.Future[Ack]") -> None:
        if not sent.cancelled() and sent.exception() is None:
            self._status.counts["duplicates" if sent.result().duplicate else "published"] += 1

    async def _prepared(self, id: Id, email: JsonObject | None, states: States) -> list[Message]:
        """The messages of one Email, when all they name is stored; none if it is gone, or parked."""
        first = email

        async def attempt(number: int) -> list[Message]:
            fetched = first if number == 1 and first is not None else await self._tools.fetch.one(id)
            if fetched is None:
                self._status.counts["vanished"] += 1
                return []
            return await self._messages(fetched, states)

        try:
            return await self._tools.attempts.run(attempt)
        except Failed as failed:
            await self._park(id, failed, states)
            return []

    async def _messages(self, email: JsonObject, states: States) -> list[Message]:
        outcomes = await self._tools.parts.store(email)
        selection, account = self._tools.selection, self._about.account_id
        message = self._generation.message(
            self._settings.stream.subject_prefix, account, email, outcomes, self._extra(email, states)
        )
        message = await self._fitting(message)
        return [message, *selection.routed(email, message, account)]

    def _extra(self, email: JsonObject, states: States) -> Mapping[str, str]:
        """The headers that jmap2nats does not have."""
        if not self._settings.extra_headers:
            return {}
        change = Change(
            source=self._about,
            type="Email",
            op="snapshot" if states.snapshot else "created",
            id=email["id"],
            new_state=states.new,
            old_state=states.old,
            at=datetime.now(UTC),
            after=email,
        )
        msg_id = self._generation.msg_id(self._about.account_id, email["id"])
        return extra.for_email(change, msg_id, self._tools.selection.roles)

    async def _fitting(self, message: Message) -> Message:
        """A message as small as NATS wants it; what is too large goes into the object store."""
        fitted = fit(message, self._tools.max_size)
        if isinstance(fitted, Spilled):
            about = About({"Content-Type": "application/json"})
            await self._tools.objects.put(fitted.object_key, fitted.payload, about, replace=True)
            self._status.counts["spilled"] += 1
            return fitted.message
        return fitted

    async def _park(self, id: Id, failed: Failed, states: States) -> None:
        error = failed.error
        log.error(
            "parked",
            account=self._about.account_id,
            email=id,
            error=type(error).__name__,
            attempts=failed.attempts,
        )
        letter = DeadLetter(
            server=self._about.server,
            account_id=self._about.account_id,
            type="Email",
            op="snapshot" if states.snapshot else "created",
            id=id,
            pipeline="emails",
            error_type=getattr(error, "type", type(error).__name__),
            error=str(error),
            attempts=failed.attempts,
            first_at=failed.first_at,
            last_at=failed.last_at,
            old_state=states.old,
            new_state=states.new,
        )
        await self._tools.letters.park(letter)
        self._status.counts["parked"] += 1
