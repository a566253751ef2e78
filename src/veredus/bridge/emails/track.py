"""Created Emails on their way into JMAP_EMAILS: parts first, then the message; in order, and acknowledged."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from msgspec import Struct

from veredus.bridge.attempts import Failed
from veredus.bridge.emails.fetch import EmailFetch, text_octets
from veredus.bridge.emails.parts import PartStore
from veredus.bridge.emails.select import Selection
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.window import Ack
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
# Of their texts, which are in memory.
_OCTETS_AHEAD = 16 * 1024 * 1024


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
    pipeline = "emails"

    def __init__(
        self, settings: BridgeSettings, generation: Generation, tools: Tools, known: Collection[Id]
    ) -> None:
        self._settings, self._generation, self._tools, self._known = settings, generation, tools, known
        self._about, self._status = tools.outlet.about, tools.outlet.status
        self._heads = tools.fetch.heads(self.properties, tools.outlet.attempts)

    @property
    def properties(self) -> list[str]:
        """What must be known of an Email before it is fetched."""
        return ["id", "size", *self._tools.selection.properties]

    async def begin(self, old_state: str | None) -> str:
        async def take(page: Sequence[JsonObject], progress: Progress) -> None:
            await self.publish(page, States(None, progress.state, snapshot=True))

        return await self._tools.snapshot.run(old_state, self.properties, take)

    async def begun(self) -> None:
        await self._tools.snapshot.done()

    async def take(self, changes: Changes, created: Sequence[JsonObject]) -> None:
        states = States(changes.old_state, changes.new_state)
        there = {head["id"]: head for head in created}
        found = await self._heads.get([id for id in changes.created if id not in there])
        for id, failed in found.failed.items():
            await self._tools.outlet.park(Item("Email", "created", id), failed, states)
        there |= found.records
        await self.publish([there[id] for id in changes.created if id in there], states)

    async def publish(self, heads: Sequence[JsonObject], states: States) -> None:
        """Publish the Emails of ``heads``; when it returns each is in the stream, or parked, or gone.

        Raises what ends the work on all of them; those that were acknowledged by then stay so.
        """
        chosen = [
            head for head in heads if head["id"] not in self._known and self._tools.selection.takes(head)
        ]
        self._status.counts["left_out"] += len(heads) - len(chosen)
        publisher = self._tools.outlet.publisher()
        send = self._tools.outlet.send
        # Copies that are on their way, and the message itself, which must come after them: once it is in the
        # stream, nobody publishes them again.
        copied: deque[tuple[list[asyncio.Future[Ack]], Message]] = deque()
        async with aclosing(self._in_order(chosen, states)) as prepared:
            async for *copies, message in prepared:
                copied.append(([await send(publisher, copy) for copy in copies], message))
                while copied and (len(copied) > _AHEAD or all(copy.done() for copy in copied[0][0])):
                    await self._send_after(publisher, *copied.popleft())
        for sent, message in copied:
            await self._send_after(publisher, sent, message)
        await publisher.drain()

    async def _send_after(
        self, publisher: Publisher, copies: "Sequence[asyncio.Future[Ack]]", message: Message
    ) -> None:
        for copy in copies:
            await copy
        await self._tools.outlet.send(publisher, message)

    async def _in_order(
        self, heads: Sequence[JsonObject], states: States
    ) -> AsyncGenerator[list[Message], None]:
        """The messages of each Email, the next ones being prepared meanwhile: as many as memory allows."""
        preparing: deque[asyncio.Task[list[Message]]] = deque()
        octets: deque[int] = deque()
        try:
            async with aclosing(self._tools.fetch.all(heads)) as emails:
                async for id, email in emails:
                    preparing.append(asyncio.create_task(self._prepared(id, email, states)))
                    octets.append(text_octets(email))
                    while preparing and (
                        preparing[0].done() or len(preparing) > _AHEAD or sum(octets) > _OCTETS_AHEAD
                    ):
                        octets.popleft()
                        if messages := await preparing.popleft():
                            yield messages
            while preparing:
                if messages := await preparing.popleft():
                    yield messages
        finally:
            await stop(preparing)

    async def _prepared(self, id: Id, email: JsonObject | None, states: States) -> list[Message]:
        """The messages of one Email, its copies first, when all they name is stored; none if it is gone, or
        parked."""
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
        return [*selection.routed(email, message, account), message]

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
