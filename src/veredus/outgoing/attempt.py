"""One attempt at one row: what is sent, what becomes of it, and what is written before and after."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec import Struct, structs, to_builtins

from veredus.mail import outbox
from veredus.mail.submission.status import set_final
from veredus.outgoing import records
from veredus.outgoing.ledger import Ledger
from veredus.outgoing.message import Messages
from veredus.outgoing.records import LOCAL, Queued, Recipient
from veredus.ports import (
    Address,
    Clock,
    Fate,
    Lease,
    Parcel,
    Relay,
    Store,
    Transaction,
    Unavailable,
    Unreachable,
)
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.outgoing")

# Delivers here: the fate of each recipient.
Deliver = Callable[[Parcel], Awaitable[Mapping[str, Fate]]]

_NOT_KNOWN = "450 4.4.2 It is not known whether the message was taken"
_GONE = Fate("failed", "554 5.3.0 The message is no longer there")
# Between two attempts to store what became of a message.
_AGAIN_S = 0.5


class _Withdrawn(Exception):
    """It was dropped, or put on hold, before its text was sent."""


class BackOff(Struct, frozen=True):
    """How long to wait after so many failures."""

    first: timedelta
    longest: timedelta

    def after(self, failures: int) -> timedelta:
        """Each pause is twice as long as the last; ``failures`` >= 1."""
        return min(self.first * (1 << min(failures - 1, 30)), self.longest)


class Counts(Struct):
    """For metrics, since the process began: recipients by what an attempt made of them; destinations of which
    no host was reached."""

    relayed: int = 0
    failed: int = 0
    unknown: int = 0
    later: int = 0
    unreachable: int = 0


class Tools(Struct, frozen=True):
    """What attempts work with while the lease is held. ``ended``: of Intake."""

    store: Store
    lease: Lease
    ledger: Ledger
    relay: Relay
    deliver: Deliver
    messages: Messages
    clock: Clock
    back_off: BackOff
    counts: Counts
    ended: set[Id]


async def attempt(tools: Tools, row: Queued) -> Queued | None:
    """Try a row that is due; gives it as it is afterwards, stored. None: nothing is to be sent any more.

    Raises Unreachable (nobody was asked), Unavailable, LeaseLost.
    """
    if row.needs_release and not await _release(tools, row):
        await tools.ledger.write(lambda tx: records.delete_rows(tx, [row.id]))
        return None
    waiting = row.waiting()
    if waiting and row.doubts and not await _may_repeat(tools, row):
        return row
    if waiting:
        doubts = row.doubts
        try:
            fates = await _fates(tools, row, waiting)
        except _Withdrawn:
            return None
        except Unreachable:
            if row.doubts != doubts:  # a connection broke in the midst of the text: nobody has all of it
                row.doubts = doubts
                await tools.ledger.write(lambda tx: records.change_row(tx, row.id, {"doubts": doubts}))
            raise
        if not any(fate.kind == "unknown" for fate in fates.values()):
            row.doubts = doubts  # this attempt at least left none
        note(tools, row, fates)
        await _remember(tools, row)
    return row


async def _remember(tools: Tools, row: Queued) -> None:
    """Whoever does not know what became of a message must send it again: so this is tried while we have the
    lease."""
    while True:
        try:
            return await tools.ledger.write(lambda tx: _store(tx, row))
        except Unavailable:
            await asyncio.sleep(_AGAIN_S)


async def put_aside(tools: Tools, row: Queued) -> None:
    """After a mistake of ours: later, so that it holds up no other message. In the end it fails."""
    row.attempts += 1
    if row.waiting() and is_over(row, tools.clock.now()):
        give_up(row, "554 5.3.0 This server cannot handle the message")
        await tools.ledger.write(lambda tx: _store(tx, row))
        return
    slot = records.place(row.destination, tools.clock.now() + tools.back_off.after(row.attempts))

    async def change(tx: Transaction) -> None:
        found = await records.rows(tx, [row.id])
        if found and not found[0].is_on_hold:
            await records.change_row(tx, row.id, {"slot": slot, "attempts": row.attempts})

    await tools.ledger.write(change)


async def _release(tools: Tools, row: Queued) -> bool:
    """From now on it cannot be canceled; False: it was. The account's lock decides who was first."""
    async with tools.store.write(row.account, tools.lease) as tx:
        found = await outbox.load(tx, [row.departure])
        if not found:
            return False
        if found[0].is_held:
            await outbox.depart(tx, structs.replace(found[0], is_held=False))
            if row.submission is not None:
                await set_final(tx, row.submission)
    row.needs_release = False
    return True


async def _may_repeat(tools: Tools, row: Queued) -> bool:
    """After an attempt that left no result: once more, and then never again."""
    if row.doubts == 1:
        log.warning("an attempt was broken off: the message may come twice", message=row.id)
        return True
    log.error("attempts were broken off twice: the message is not sent again", message=row.id)
    for recipient in row.waiting():
        recipient.state, recipient.reply = "unknown", _NOT_KNOWN
    await tools.ledger.write(lambda tx: _store(tx, row))
    return False


async def _fates(tools: Tools, row: Queued, waiting: Sequence[Recipient]) -> Mapping[str, Fate]:
    data = await tools.messages.load(row.blob_id, row.origin)
    if data is None:
        log.error("a queued message is lost: its blob is gone", message=row.id)
        return {recipient.email: _GONE for recipient in waiting}
    recipients = [Address(recipient.email, recipient.parameters) for recipient in waiting]
    parcel = Parcel(row.sender, recipients, data)

    doubts = row.doubts + 1

    async def before_text(accepted: Sequence[str]) -> None:
        if row.doubts == doubts:
            return  # it is asked once for each host that takes the text
        found: list[Queued] = []

        async def doubt(tx: Transaction) -> None:
            # It was read a while ago.
            found[:] = [it for it in await records.rows(tx, [row.id]) if it.waiting() and not it.is_on_hold]
            if found:
                await records.change_row(tx, row.id, {"doubts": doubts})

        await tools.ledger.write(doubt)
        if not found:
            raise _Withdrawn
        row.doubts = doubts

    if row.destination == LOCAL:
        await before_text([])
        return await tools.deliver(parcel)
    return await tools.relay.send(row.destination, parcel, before_text)


def note(tools: Tools, row: Queued, fates: Mapping[str, Fate]) -> None:
    """Take the fates over into the row, and say when it is due again."""
    for recipient in row.waiting():
        fate = fates[recipient.email]
        recipient.reply, recipient.host, recipient.reports = fate.reply, fate.host, fate.reports
        if fate.kind in ("relayed", "failed"):
            recipient.state = fate.kind
        setattr(tools.counts, fate.kind, getattr(tools.counts, fate.kind) + 1)
    row.attempts += 1
    now = tools.clock.now()
    if row.waiting():
        row.slot = records.place(row.destination, now + tools.back_off.after(row.attempts))


def give_up(row: Queued, reply: str | None = None) -> None:
    """Whoever still waits has failed, for the last reason that is known."""
    for recipient in row.waiting():
        recipient.state = "failed"
        recipient.reply = reply or recipient.reply or "451 4.4.1 No host took the message"


def is_over(row: Queued, now: datetime) -> bool:
    return row.expires <= records.place(row.destination, now)


async def _store(tx: Transaction, row: Queued) -> None:
    """What an attempt has changed. On hold means on hold, and dropped means dropped, even if it was said in
    the midst of an attempt."""
    found = await records.rows(tx, [row.id]) if row.waiting() else []
    if found and not found[0].waiting():
        row.is_silent = found[0].is_silent
        for recipient, dropped in zip(row.recipients, found[0].recipients, strict=True):
            if recipient.state == "queued":
                recipient.state, recipient.reply = dropped.state, dropped.reply
    properties: JsonObject = {"recipients": to_builtins(row.recipients)}
    if row.waiting():
        if found and not found[0].is_on_hold:
            properties["slot"] = row.slot
        properties |= {"needsRelease": row.needs_release, "attempts": row.attempts, "doubts": row.doubts}
    await records.change_row(tx, row.id, properties)
