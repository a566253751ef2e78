"""The outgoing queue as it is kept: rows in the account of the server's own.

A row is one message to one destination. A ``Destination`` row says when there is something to do for it, and
how often it could not be reached: however many messages wait for a dead host, an attempt costs one row.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from veredus.conditions import Eq, Order, Range
from veredus.mail.outbox import Origin
from veredus.ports import Address, Snapshot, Table, Transaction
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId, Id, JsonObject, UnsignedInt, UTCDate

QUEUED, DESTINATION, _CURSOR = "QueuedMessage", "Destination", "OutgoingCursor"
TABLES = (
    Table(QUEUED, scalars=("departure", "slot", "expires", "warns"), blobs=("blobId",), logged=False),
    Table(DESTINATION, scalars=("due",), logged=False),
    Table(_CURSOR, logged=False),
)

_SOME = 100
BY_SLOT = Order("slot")

# The destination of recipients who are accounts of this server; no domain is called so.
LOCAL = "@local"
# What is on hold is due then.
NEVER = "9999-12-31T00:00:00Z"

# queued: not done yet. The others are final; unknown: it may have got the message, and is not sent it again.
State = Literal["queued", "relayed", "failed", "unknown"]


class Recipient(Struct, rename="camel", kw_only=True):
    """``reply``: the last one, folded as smtpReply is; ``host``: whose it was, "" ours.

    ``reports``: that host tells the sender of success. ``is_told``: the sender has got a report of its end.
    """

    email: str
    parameters: dict[str, str | None] | None = None
    state: State = "queued"
    reply: str = ""
    host: str = ""
    reports: bool = False
    is_told: bool = False


class Queued(Struct, rename="camel", kw_only=True):
    """A message to one destination.

    ``slot``, ``expires`` and ``warns`` are a destination, a space and a time, so that each is found by one
    range of an index: when it is tried, when it is given up, and when its sender is told that it is late
    (None: was told, or will not be). ``needs_release``: it may be canceled until it is due, not before
    ``send_at``. ``doubts``: how many attempts have begun to send the text and left no result. ``is_silent``:
    nobody is told of failures. ``parts``: to how many destinations the message goes.
    """

    id: Id
    departure: Id
    account: Id
    submission: Id | None
    origin: Origin
    sender: Address
    recipients: list[Recipient]
    blob_id: BlobId
    size: UnsignedInt
    created_at: UTCDate
    send_at: UTCDate
    slot: str
    expires: str
    warns: str | None
    needs_release: bool
    attempts: int = 0
    doubts: int = 0
    is_silent: bool = False
    parts: int = 1

    @property
    def destination(self) -> str:
        return self.slot.partition(" ")[0]

    @property
    def due(self) -> UTCDate:
        return self.slot.partition(" ")[2]

    @property
    def is_on_hold(self) -> bool:
        return self.due == NEVER

    def waiting(self) -> list[Recipient]:
        """Those who are not done yet."""
        return [recipient for recipient in self.recipients if recipient.state == "queued"]


class Destination(Struct, rename="camel", kw_only=True):
    """``id``: as Relay.destination gives it. ``failures``: attempts since anybody could be reached there."""

    id: str
    due: UTCDate
    failures: int = 0
    reply: str = ""


def place(destination: str, moment: datetime | str) -> str:
    """The value of ``slot``, ``expires`` or ``warns``."""
    return f"{destination} {moment if isinstance(moment, str) else utc_date(moment)}"


def until(property: str, destination: str, now: datetime) -> Range:
    """The rows of a destination whose time has come."""
    return Range(property, f"{destination} ", place(destination, now + timedelta(seconds=1)))


class Place(Struct, rename="camel"):
    """How far the log was followed. ``before``: a cursor further back; ``first``: what came first behind it.

    Cursors mean nothing in another store, where a backup may have been restored: by these two it is noticed.
    """

    id: str = "feed"
    after: str = ""
    before: str = ""
    first: Id | None = None


async def place_of(snapshot: Snapshot) -> Place:
    found = await snapshot.get(_CURSOR, ["feed"])
    return msgspec.convert(found[0], Place) if found else Place()


async def save_place(tx: Transaction, at: Place) -> None:
    encoded: JsonObject = msgspec.to_builtins(at)
    await tx.put(_CURSOR, encoded)


async def rows(snapshot: Snapshot, ids: Sequence[Id] | None) -> list[Queued]:
    """Those that are there; None: all."""
    return [msgspec.convert(record, Queued) for record in await snapshot.get(QUEUED, ids)]


async def of_departures(snapshot: Snapshot, departures: Collection[Id]) -> list[Queued]:
    ids = [id for departure in departures for id in await snapshot.select(QUEUED, Eq("departure", departure))]
    return await rows(snapshot, ids)


async def due_rows(snapshot: Snapshot, destination: str, now: datetime, limit: int) -> list[Queued]:
    """The oldest that are due."""
    where = until("slot", destination, now)
    return await rows(snapshot, await snapshot.select(QUEUED, where, (BY_SLOT,), limit=limit))


async def until_now(snapshot: Snapshot, property: str, destination: str, now: datetime) -> list[Queued]:
    """Some of those whose ``expires`` or ``warns`` has come."""
    where = until(property, destination, now)
    return await rows(snapshot, await snapshot.select(QUEUED, where, (Order(property),), limit=_SOME))


async def put_row(tx: Transaction, row: Queued) -> None:
    encoded: JsonObject = msgspec.to_builtins(row)
    await tx.put(QUEUED, encoded)


async def change_row(tx: Transaction, id: Id, properties: JsonObject) -> None:
    """Of a row that may be gone meanwhile: then nothing."""
    with suppress(KeyError):
        await tx.update(QUEUED, id, properties)


async def delete_rows(tx: Transaction, ids: Collection[Id]) -> None:
    """Those that are still there."""
    for id in ids:
        with suppress(KeyError):
            await tx.delete(QUEUED, id)


async def destination(snapshot: Snapshot, id: str) -> Destination | None:
    found = await snapshot.get(DESTINATION, [id])
    return msgspec.convert(found[0], Destination) if found else None


async def destinations(snapshot: Snapshot, ids: Sequence[str] | None = None) -> list[Destination]:
    """None: all."""
    return [msgspec.convert(record, Destination) for record in await snapshot.get(DESTINATION, ids)]


async def first_destinations(snapshot: Snapshot, limit: int) -> list[Destination]:
    """Those whose time comes first."""
    ids = await snapshot.select(DESTINATION, order=(Order("due"),), limit=limit)
    return await destinations(snapshot, ids)


async def put_destination(tx: Transaction, row: Destination) -> None:
    encoded: JsonObject = msgspec.to_builtins(row)
    await tx.put(DESTINATION, encoded)


async def hurry(tx: Transaction, id: str, due: UTCDate) -> None:
    """See that a destination is looked at by then, unless it waits for a host that could not be reached."""
    known = await destination(tx, id)
    if known is None or (not known.failures and known.due > due):
        await put_destination(tx, Destination(id=id, due=due))


async def reschedule(tx: Transaction, known: Destination, now: datetime) -> None:
    """After a look at a destination: when the next is, by its rows and by what ``known`` says of failures.

    Failures are forgotten where nothing was due when their pause was over: else what comes new would have to
    wait for what is held.
    """
    within = Range("slot", f"{known.id} ", f"{known.id}!")
    first = await rows(tx, await tx.select(QUEUED, within, (BY_SLOT,), limit=1))
    if first and known.failures and (first[0].due <= known.due or utc_date(now) < known.due):
        await put_destination(tx, known)
    elif first:
        await put_destination(tx, Destination(id=known.id, due=first[0].due))
    elif await tx.get(DESTINATION, [known.id], {"id"}):
        await tx.delete(DESTINATION, known.id)
