"""Changes of one type on their way into JMAP_EVENTS: created, updated, destroyed, page by page; and what was
there, when there is no cursor or the server cannot tell what has changed since."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from veredus.bridge.attempts import Failed
from veredus.bridge.emails.select import Selection
from veredus.bridge.events.before import Before
from veredus.bridge.nats.jetstream import next_message
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.window import Ack
from veredus.bridge.publishing import Item, Outlet, States
from veredus.bridge.records import Found, Records, Standing
from veredus.bridge.settings import EventStreamSettings
from veredus.bridge.snapshot import Progress, Snapshot
from veredus.bridge.source import PAGE
from veredus.bridge.tasks import all_of
from veredus.bridge.wire.change import Change, Op, state_hash
from veredus.bridge.wire.event import event
from veredus.bridge.wire.message import Message
from veredus.client.results import Changes
from veredus.wire.types import Id, JsonObject


class Tools(Struct, frozen=True):
    """What a track of events works with; all of one link. ``there``: which records there are at all;
    ``standing``: for one snapshot; ``selection``: of Emails."""

    outlet: Outlet
    records: Records
    there: Records
    standing: Callable[[], Standing]
    before: Before
    snapshot: Snapshot
    selection: Selection


class _Sent(Struct):
    """An event on its way."""

    id: Id
    op: Op
    subject: str
    acknowledged: "asyncio.Future[Ack]"


class EventTrack:
    """One type of one account."""

    # What was created is fetched by ``Pages``.
    properties: Sequence[str] = ()

    def __init__(self, type: str, settings: EventStreamSettings, tools: Tools) -> None:
        self.type, self.pipeline = type, "events"
        self._settings, self._tools = settings, tools
        self._outlet, self._before = tools.outlet, tools.before
        self._status = tools.outlet.status

    async def begin(self, old_state: str | None) -> str:
        standing = self._tools.standing()

        async def take(page: Sequence[JsonObject], progress: Progress) -> None:
            ids = await standing.of([record["id"] for record in page], progress.state)
            found = await self._tools.records.get(ids)
            states = States(None, progress.state, snapshot=True, run=progress.run)
            await self._publish([("snapshot", id) for id in ids], found, states)

        return await self._tools.snapshot.run(old_state, ["id"], take, self._lost)

    async def begun(self) -> None:
        await self._tools.snapshot.done()

    async def take(self, changes: Changes, created: Sequence[JsonObject]) -> None:
        states = States(changes.old_state, changes.new_state)
        there = {record["id"]: record for record in created}
        only = None if changes.updated_properties is None else tuple(changes.updated_properties)
        ops: list[tuple[Op, Sequence[Id]]] = [
            ("created", changes.created),
            ("updated", changes.updated),
            ("destroyed", changes.destroyed),
        ]
        items = [(op, id) for op, ids in ops for id in ids]
        for at in range(0, len(items), PAGE):
            some = items[at : at + PAGE]
            missing = [id for op, id in some if op != "destroyed" and id not in there]
            found = await self._tools.records.get(missing)
            found.records |= {id: there[id] for _, id in some if id in there}
            await self._publish(some, found, states, only)

    async def _lost(self, progress: Progress) -> None:
        """The server cannot tell what has changed: say so, and say what is gone, as far as it was known."""
        states = States(progress.from_state, progress.state, run=progress.run)
        message = await self._message(self._change("resync", None, states), states)
        await (await self._outlet.send(self._outlet.publisher(), message))
        async for ids in self._before.known():
            there = await self._tools.there.get(ids)
            gone = [id for id in ids if id not in there.records and id not in there.failed]
            if gone:
                await self._publish([("destroyed", id) for id in gone], Found(), states)

    async def _publish(
        self,
        items: Sequence[tuple[Op, Id]],
        found: Found,
        states: States,
        changed: tuple[str, ...] | None = None,
    ) -> None:
        """When it returns each event is in the stream, or parked, or left out; and their values are kept.

        Raises what ends the work on all of them.
        """
        old = await self._before.read([id for op, id in items if op in ("updated", "destroyed")])
        publisher = self._outlet.publisher()
        kept: dict[Id, JsonObject | None] = {}
        sent: list[_Sent] = []
        for op, id in items:
            after = found.records.get(id)
            if id in found.failed:
                await self._outlet.park(Item(self.type, op, id), found.failed[id], states)
            elif after is None and op != "destroyed":
                # Gone meanwhile; a later page says so.
                self._status.counts["vanished"] += 1
            else:
                change = self._change(op, id, states, after, old.get(id), changed)
                if await self._send(publisher, change, states, sent):
                    kept[id] = after
        await publisher.drain()
        if self._before.remembers:
            await self._before.write(kept | await self._of_duplicates(sent))

    def _change(
        self,
        op: Op,
        id: Id | None,
        states: States,
        after: JsonObject | None = None,
        before: JsonObject | None = None,
        changed: tuple[str, ...] | None = None,
    ) -> Change:
        return Change(
            source=self._outlet.about,
            type=self.type,
            op=op,
            id=id,
            new_state=states.new,
            old_state=states.old,
            at=datetime.now(UTC),
            after=after,
            before=before,
            changed=changed if op == "updated" else None,
        )

    def _takes(self, change: Change) -> bool:
        """Of Emails only those that the filters take, or took before the change: one that leaves must be seen
        to leave. What is destroyed always passes: nobody can look at it any more."""
        if self.type != "Email" or change.after is None:
            return True
        takes = self._tools.selection.takes
        return takes(change.after) or (change.before is not None and takes(change.after | change.before))

    async def _send(self, publisher: Publisher, change: Change, states: States, sent: list[_Sent]) -> bool:
        """Send it, unless it is left out; False: it had to be parked. Raises what ends the pipeline."""
        if not self._takes(change):
            self._status.counts["left_out"] += 1
            return True
        id = change.id or ""
        try:
            message = await self._message(change, states)
        except Failed as failed:
            await self._outlet.park(Item(self.type, change.op, id), failed, states)
            return False
        acknowledged = await self._outlet.send(publisher, message)
        sent.append(_Sent(id, change.op, message.subject, acknowledged))
        return True

    async def _message(self, change: Change, states: States) -> Message:
        """Raises Failed."""
        try:
            message = event(self._settings.subject_prefix, change, self._tools.selection.roles)
        except ValueError as error:  # an id that is none: to try again would not help
            raise Failed(error, 1, change.at) from error
        if states.run:
            message = _of_run(message, states)
        return await self._outlet.attempts.run(lambda _: self._outlet.fitting(message))

    async def _of_duplicates(self, sent: Sequence[_Sent]) -> dict[Id, JsonObject | None]:
        """What was published earlier under the same ids: it is from there that later changes are told."""
        known = [one for one in sent if one.op != "destroyed" and one.acknowledged.result().duplicate]
        stored = await all_of(self._stored(one) for one in known)
        return {one.id: after for one, after in zip(known, stored, strict=True)}

    async def _stored(self, sent: _Sent) -> JsonObject | None:
        """None: nobody knows any more, or it is in the object store, which is as good as that."""
        sequence = sent.acknowledged.result().sequence
        found = await next_message(self._outlet.link, self._settings.name, sent.subject, sequence)
        if found is None or found.sequence != sequence:
            return None
        after = msgspec.json.decode(found.data, type=dict[str, Any]).get("after")
        return after if isinstance(after, dict) else None


def _of_run(message: Message, states: States) -> Message:
    """A snapshot is told again, although the stream may have one of the same state, with the same ids."""
    stem, _, _ = message.msg_id.rpartition("/")
    msg_id = f"{stem}/{state_hash(f'{states.new} {states.run}')}"
    return replace(
        message, msg_id=msg_id, headers=message.headers | {"ce-id": msg_id}, spill_key=f"{msg_id}.json"
    )
