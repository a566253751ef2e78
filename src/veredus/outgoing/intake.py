"""From the log into the queue: what has left an account, and what was canceled."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from veredus.mail import outbox
from veredus.mail.outbox import Departure
from veredus.outgoing import records
from veredus.outgoing.records import Place, Queued, Recipient
from veredus.ports import Address, Change, Cursor, Lease, Store, Unavailable
from veredus.ports.trouble import described
from veredus.wire.types import Id

_AT_ONCE = 200
# In one transaction; more only if they are of one message.
_MOST_ROWS = 1000
# Octets of a domain (RFC 5321 §4.5.3.1.2), and of what an index takes; what is longer is nowhere found.
_LONGEST = 255

log = structlog.get_logger("veredus.outgoing")

# Where an address belongs: records.LOCAL, or what Relay.destination says.
Route = Callable[[str], Awaitable[str]]


class Patience(Struct, frozen=True):
    """When a message that cannot be handed on is told of (None: never), and given up."""

    warn_after: timedelta | None
    give_up_after: timedelta


class Intake:
    """Follows the log. ``take`` belongs to whoever has the lease."""

    def __init__(self, store: Store, account: Id, route: Route, patience: Patience) -> None:
        """``account``: the server's own."""
        self._store, self._account, self._route, self._patience = store, account, route, patience
        # Further than the stored cursor, by log entries that are no Departures; None: not read yet.
        self._cursor: Cursor | None = None
        # Departures that the queue itself has ended: nothing was canceled.
        self.ended: set[Id] = set()

    def forget(self) -> None:
        """Somebody else has had the lease: only what is stored counts."""
        self._cursor = None
        self.ended.clear()

    async def is_behind(self) -> bool:
        """Whether something has left that is in no queue yet. Without the lease it is a guess."""
        cursor = await self._known()
        changes, after = await self._store.feed(cursor, 1, (outbox.TYPE,))
        if changes:
            return True
        self._cursor = after
        return False

    async def take(self, lease: Lease) -> bool:
        """A page of the log; whether there may be more."""
        cursor = await self._known()
        limit = _AT_ONCE
        while True:
            changes, after = await self._store.feed(cursor, limit, (outbox.TYPE,))
            new = await self._rows_of(changes)
            if len(new) <= _MOST_ROWS or limit == 1:
                break
            limit = max(1, limit // 8)  # few messages may have many recipients
        canceled = {
            change.id for change in changes if change.kind == "destroyed" and change.id not in self.ended
        }
        if new or canceled:
            place = Place(after=after.position, before=cursor.position, first=changes[0].id)
            await self._enter(new, canceled, place, lease)
        # Else the stored cursor may stay behind: all this is found once more then, and nothing follows.
        self.ended.difference_update(change.id for change in changes)
        self._cursor = after
        return len(changes) == limit

    async def _known(self) -> Cursor:
        if self._cursor is None:
            async with self._store.read(self._account) as snapshot:
                place = await records.place_of(snapshot)
            self._cursor = Cursor(place.after) if await self._is_ours(place) else Cursor()
        return self._cursor

    async def _is_ours(self, place: Place) -> bool:
        """Whether the place is one in this store; else, or when it is older than the log, all is read again:
        what is queued already is recognized, and of what has left there is no Departure."""
        try:
            changes, _ = await self._store.feed(Cursor(place.before), 1, (outbox.TYPE,))
        except ValueError:  # the cursor of another kind of store
            return False
        return bool(changes) and changes[0].id == place.first

    async def _rows_of(self, changes: Sequence[Change]) -> list[Queued]:
        by_account: dict[Id, dict[Id, None]] = {}
        for change in changes:
            if change.kind == "created":
                by_account.setdefault(change.account, {})[change.id] = None
        return [row for account, ids in by_account.items() for row in await self._new(account, list(ids))]

    async def _enter(
        self, new: Sequence[Queued], canceled: Collection[Id], place: Place, lease: Lease
    ) -> None:
        async with self._store.write(self._account, lease) as tx:
            # Of a message that is queued already some rows may be done and gone.
            known = {it.departure for it in await records.of_departures(tx, {row.departure for row in new})}
            for row in new:
                if row.departure not in known:
                    await records.put_row(tx, row)
                    await records.hurry(tx, row.destination, row.due)
            gone = await records.of_departures(tx, canceled)
            await records.delete_rows(tx, [row.id for row in gone if row.needs_release])
            await records.save_place(tx, place)

    async def _new(self, account: Id, ids: Sequence[Id]) -> list[Queued]:
        async with self._store.read(account) as snapshot:
            departures = await outbox.load(snapshot, ids)
        new: list[Queued] = []
        for departure in departures:
            try:
                new += await self._rows(account, departure)
            except Unavailable:
                raise
            except Exception as error:  # a mistake of ours, which is not to hold up all mail
                log.error("a message cannot be queued", departure=departure.id, **described(error))
        return new

    async def _rows(self, account: Id, departure: Departure) -> list[Queued]:
        by_destination: dict[str, list[Address]] = {}
        for recipient in departure.recipients:
            destination = (await self._route(recipient.email))[:_LONGEST]
            by_destination.setdefault(destination, []).append(recipient)
        begins = datetime.fromisoformat(departure.send_at)
        late = None if self._patience.warn_after is None else begins + self._patience.warn_after
        over = begins + self._patience.give_up_after
        return [
            Queued(
                id=f"{departure.id}-{number}",
                departure=departure.id,
                account=account,
                submission=departure.submission,
                origin=departure.origin,
                sender=departure.sender,
                recipients=[
                    Recipient(email=address.email, parameters=dict(address.parameters or {}) or None)
                    for address in recipients
                ],
                blob_id=departure.blob_id,
                size=departure.size,
                created_at=departure.created_at,
                send_at=departure.send_at,
                slot=records.place(destination, departure.send_at),
                expires=records.place(destination, over),
                warns=None if late is None else records.place(destination, late),
                needs_release=departure.is_held,
                parts=len(by_destination),
            )
            for number, (destination, recipients) in enumerate(by_destination.items())
        ]
