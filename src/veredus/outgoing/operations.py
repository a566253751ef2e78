"""What people do with the queue: look, try again now, put on hold, drop. No lease is needed: rows decide.

A running server sees it within seconds; without one, the next that starts.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from veredus.conditions import All, Condition, Range
from veredus.outgoing import records
from veredus.outgoing.attempt import give_up
from veredus.outgoing.records import LOCAL, Destination, Queued
from veredus.ports import Clock, Snapshot, Store, Transaction
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject, UTCDate

_DROPPED = "554 5.7.0 Dropped by an administrator"


class Selected(Struct, frozen=True):
    """Which rows are meant. ``ids``: of rows, or of messages; both empty: all."""

    ids: Sequence[Id] = ()
    destination: str | None = None


class Retried(Struct, frozen=True):
    """How many rows are due now, and how many are due only when their sender has said."""

    due: int
    later: int


class Operations:
    """``account``: the server's own."""

    def __init__(self, store: Store, account: Id, clock: Clock) -> None:
        self._store, self._account, self._clock = store, account, clock

    async def listing(self, selected: Selected, limit: int) -> list[JsonObject]:
        """The rows whose time comes first within their destination; see ``_described``."""
        async with self._store.read(self._account) as snapshot:
            found = await _find(snapshot, selected, limit)
            known = {one.id: one for one in await records.destinations(snapshot)}
        now = utc_date(self._clock.now())
        return [_described(row, known.get(row.destination), now) for row in found]

    async def overview(self) -> tuple[int, list[Destination]]:
        """How many rows there are, and their destinations."""
        async with self._store.read(self._account) as snapshot:
            return await snapshot.count(records.QUEUED), await records.destinations(snapshot)

    async def retry(self, selected: Selected) -> Retried:
        """Due now, whatever was waited for, and not on hold any more.

        What its sender has put off is due when the sender has said.
        """
        now = utc_date(self._clock.now())
        dues = []

        async def change(tx: Transaction, row: Queued) -> None:
            due = max(now, row.send_at) if row.needs_release else now
            dues.append(due)
            await records.change_row(tx, row.id, {"slot": records.place(row.destination, due)})
            known = await records.destination(tx, row.destination)
            if known is None or due < known.due or due == now:
                await records.put_destination(tx, Destination(id=row.destination, due=due))

        await self._change(selected, change)
        return Retried(dues.count(now), len(dues) - dues.count(now))

    async def hold(self, selected: Selected) -> int:
        """Not tried until ``retry``; given up when its time is over, if nobody can be reached there."""

        async def change(tx: Transaction, row: Queued) -> None:
            await records.change_row(tx, row.id, {"slot": records.place(row.destination, records.NEVER)})

        return await self._change(selected, change)

    async def drop(self, selected: Selected) -> int:
        """Failed, without a report to anybody."""
        now = utc_date(self._clock.now())

        async def change(tx: Transaction, row: Queued) -> None:
            give_up(row, _DROPPED)
            properties: JsonObject = {
                "recipients": to_builtins(row.recipients),
                "isSilent": True,
                "needsRelease": False,
                "slot": records.place(row.destination, now),
            }
            await records.change_row(tx, row.id, properties)
            await records.put_destination(tx, Destination(id=row.destination, due=now))

        return await self._change(selected, change)

    async def _change(
        self, selected: Selected, change: Callable[[Transaction, Queued], Awaitable[None]]
    ) -> int:
        async with self._store.write(self._account) as tx:
            found = await _find(tx, selected, None)
            for row in found:
                if row.waiting():
                    await change(tx, row)
        return len(found)


async def _find(snapshot: Snapshot, selected: Selected, limit: int | None) -> list[Queued]:
    where: Condition = All()
    if selected.destination is not None:
        name = selected.destination.lower()
        where = Range("slot", f"{name} ", f"{name}!")
    ids = await snapshot.select(
        records.QUEUED, where, (records.BY_SLOT,), limit=None if selected.ids else limit
    )
    if not selected.ids:
        return await records.rows(snapshot, ids)
    wanted = set(selected.ids)
    found = [row for row in await records.rows(snapshot, ids) if wanted & {row.id, row.departure}]
    return found[:limit]


def _described(row: Queued, destination: Destination | None, now: UTCDate) -> JsonObject:
    """For people and programs. ``waitsFor``: why it is not due although its time has come."""
    described: JsonObject = {
        "id": row.id,
        "account": row.account,
        "submission": row.submission,
        "origin": row.origin,
        "from": row.sender.email,
        "destination": "this server" if row.destination == LOCAL else row.destination,
        "size": row.size,
        "createdAt": row.created_at,
        "expires": row.expires.partition(" ")[2],
        "nextAttempt": None if row.is_on_hold else row.due,
        "isOnHold": row.is_on_hold,
        "attempts": row.attempts,
        "recipients": [_recipient(recipient) for recipient in row.recipients],
        "waitsFor": None,
    }
    if destination is not None and destination.failures:
        described["nextAttempt"] = None if row.is_on_hold else max(row.due, destination.due)
        if not row.needs_release or row.due <= now:  # else it waits for its sender's time
            failures = "1 failure" if destination.failures == 1 else f"{destination.failures} failures"
            described["waitsFor"] = f"{failures}: {destination.reply}"
    return described


def _recipient(recipient: records.Recipient) -> dict[str, Any]:
    return {"email": recipient.email, "state": recipient.state, "reply": recipient.reply}
