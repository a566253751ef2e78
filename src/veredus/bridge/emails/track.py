"""Created Emails on their way into JMAP_EMAILS: parts first, then the message; in order, and acknowledged."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from veredus.bridge.attempts import Failed
from veredus.bridge.emails.fetch import EmailFetch
from veredus.bridge.emails.parts import PartStore
from veredus.bridge.emails.select import Selection
from veredus.bridge.publishing import Item, Outlet, States
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.snapshot import Progress, Snapshot
from veredus.bridge.tasks import stop
from veredus.bridge.wire import extra
from veredus.bridge.wire.change import Change
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.client.results import Changes
from veredus.wire.types import Id, JsonObject

# Emails whose parts are being stored, or which wait for their turn to be published.
_AHEAD = 64


class Tools(Struct, frozen=True):
    """What a track of Emails works with; all of one link."""

    fetch: EmailFetch
    parts: PartStore
    outlet: Outlet
    selection: Selection
    snapshot: Snapshot


class EmailTrack:
    """``known``: ids of Emails that are in the stream already, beyond what its duplicate window remembers."""

    type = "Email"

    def __init__(
        self, settings: BridgeSettings, generation: Generation, tools: Tools, known: Collection[Id]
    ) -> None:
        self._settings, self._generation, self._tools, self._known = settings, generation, tools, known
        self._about, self._status = tools.outlet.about, tools.outlet.status

    @property
    def properties(self) -> list[str]:
        """What must be known of an Email before it is fetched."""
        return ["id", "size", *self._tools.selection.properties]

    async def begin(self, old_state: str | None) -> str:
        async def take(page: Sequence[JsonObject], progress: Progress) -> None:
            await self.publish(page, States(None, progress.state, snapshot=True))

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
        publisher = self._tools.outlet.publisher()

        async def send(messages: Sequence[Message]) -> None:
            for message in messages:
                await self._tools.outlet.send(publisher, message)

        try:
            async for id, email in self._tools.fetch.all(chosen):
                preparing.append(asyncio.create_task(self._prepared(id, email, states)))
                while len(preparing) > _AHEAD or (preparing and preparing[0].done()):
                    await send(await preparing.popleft())
            while preparing:
                await send(await preparing.popleft())
            await publisher.drain()
        finally:
            await stop(preparing)

    async def _prepared(self, id: Id, email: JsonObject | None, states: States) -> list[Message]:
        """The messages of one Email, when all they name is stored; none if it is gone, or parked."""
        first = email

        async def attempt(number: int) -> list[Message]:
            fetched = first if number == 1 and first is not None else await self._tools.fetch.one(id)
            if fetched is None:
                self._status.counts["vanished"] += 1
                return []
            return await self._messages(fetched, states, last=number >= self._settings.dlq.max_attempts)

        try:
            return await self._tools.outlet.attempts.run(attempt)
        except Failed as failed:
            item = Item("Email", "snapshot" if states.snapshot else "created", id)
            await self._tools.outlet.park(item, failed, states)
            return []

    async def _messages(self, email: JsonObject, states: States, *, last: bool) -> list[Message]:
        outcomes = await self._tools.parts.store(email, last=last)
        selection, account = self._tools.selection, self._about.account_id
        message = self._generation.message(
            self._settings.stream.subject_prefix, account, email, outcomes, self._extra(email, states)
        )
        message = await self._tools.outlet.fitting(message)
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
