"""Created Emails on their way into JMAP_EMAILS: parts first, then the message, in order, each acknowledged."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from veredus.bridge.attempts import Attempts, Failed
from veredus.bridge.dead_letters import DeadLetters
from veredus.bridge.emails.fetch import EmailFetch
from veredus.bridge.emails.parts import PartStore
from veredus.bridge.emails.select import Selection
from veredus.bridge.nats.message import Message as NatsMessage
from veredus.bridge.nats.objects import About, ObjectStore
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.status import TrackStatus
from veredus.bridge.wire import extra
from veredus.bridge.wire.change import Change, Source
from veredus.bridge.wire.dead_letter import DeadLetter
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import Spilled, fit
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger(__name__)
# Emails whose parts are being stored, or which wait for their turn to be published.
_AHEAD = 64


class States(Struct, frozen=True):
    """The states between which the work of one page lies. ``snapshot``: it is no change, but what was there."""

    old: str | None
    new: str
    snapshot: bool = False


class Tools(Struct, frozen=True):
    """What a track of Emails works with; all of one link."""

    fetch: EmailFetch
    parts: PartStore
    objects: ObjectStore
    publisher: Publisher
    attempts: Attempts
    letters: DeadLetters
    selection: Selection


class EmailTrack:
    """``known``: ids of Emails that are in the stream already, beyond what its duplicate window remembers."""

    def __init__(
        self, settings: BridgeSettings, about: Source, generation: Generation, tools: Tools, status: TrackStatus
    ) -> None:
        self._settings, self._about, self._generation = settings, about, generation
        self._tools, self._status = tools, status
        self.known: frozenset[Id] | set[Id] = frozenset()

    @property
    def properties(self) -> list[str]:
        """What must be known of an Email before it is fetched."""
        return ["id", "size", *self._tools.selection.properties]

    async def take(self, heads: Sequence[JsonObject], states: States) -> None:
        """Publish the Emails of ``heads``; when it returns each is in the stream, or parked, or gone.

        Raises what ends the work on all of them; those that were acknowledged by then stay so.
        """
        chosen = [head for head in heads if head["id"] not in self.known and self._tools.selection.takes(head)]
        self._status.counts["left_out"] += len(heads) - len(chosen)
        preparing: deque[asyncio.Task[list[Message]]] = deque()
        try:
            async for id, email in self._tools.fetch.all(chosen):
                preparing.append(asyncio.create_task(self._prepared(id, email, states)))
                while len(preparing) > _AHEAD or (preparing and preparing[0].done()):
                    await self._publish(await preparing.popleft())
            while preparing:
                await self._publish(await preparing.popleft())
            await self._tools.publisher.drain()
        finally:
            for task in preparing:
                task.cancel()
            for task in preparing:
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            sent = await self._tools.publisher.send(
                NatsMessage(message.subject, message.payload, message.headers, message.msg_id)
            )
            sent.add_done_callback(self._acknowledged)

    def _acknowledged(self, sent: "asyncio.Future[object]") -> None:
        if not sent.cancelled() and sent.exception() is None:
            duplicate = getattr(sent.result(), "duplicate", False)
            self._status.counts["duplicates" if duplicate else "published"] += 1

    async def _prepared(self, id: Id, email: JsonObject | None, states: States) -> list[Message]:
        """The messages of one Email, with everything in the store that they name; none if it is gone, or parked."""
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
        fitted = fit(message, self._tools.publisher.max_size)
        if isinstance(fitted, Spilled):
            about = About({"Content-Type": "application/json"})
            await self._tools.objects.put(fitted.object_key, fitted.payload, about, replace=True)
            self._status.counts["spilled"] += 1
            return fitted.message
        return fitted

    async def _park(self, id: Id, failed: Failed, states: States) -> None:
        error = failed.error
        log.error("parked", account=self._about.account_id, email=id, error=type(error).__name__, attempts=failed.attempts)
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
