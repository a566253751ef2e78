"""What an attempt means for the account that the message has left: deliveryStatus, reports, the end.

Rows are the truth. Each is settled again until that has worked, and only then deleted if it is done: a crash
in between costs at most a report that comes twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

import structlog
from msgspec import to_builtins

from veredus.formats.report import write_dsn
from veredus.mail import outbox
from veredus.mail.outbox import Departure
from veredus.mail.submission.shape import DeliveryStatus
from veredus.mail.submission.status import note_fates, set_final
from veredus.outgoing import records
from veredus.outgoing.attempt import Tools
from veredus.outgoing.notice import is_to_be_told, notice_of, notify
from veredus.outgoing.records import LOCAL, Queued, State
from veredus.ports import Address, Blob, BlobStore, Transaction, Unavailable
from veredus.ports.trouble import described
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.outgoing")

# Puts a report into the mailbox of a sender of this server; False: the address is nobody's here.
Report = Callable[[str, bytes], Awaitable[bool]]
_ACCOUNTS_AT_ONCE = 16
_DELIVERED: dict[State, Literal["queued", "no", "unknown"]] = {
    "queued": "queued",
    "relayed": "unknown",
    "failed": "no",
    "unknown": "unknown",
}


class Settling:
    """``settle`` belongs to one task at a time: so the last row of a message knows that it is."""

    def __init__(self, tools: Tools, blobs: BlobStore, report: Report, account: Id, hostname: str) -> None:
        """``account``: the server's own; ``hostname``: who reports are from."""
        self._tools, self._blobs, self._report = tools, blobs, report
        self._account, self._hostname = account, hostname

    async def settle(self, rows: Sequence[Queued]) -> dict[Id, Exception]:
        """Rows as their attempts have left them. Gives the ids of those that could not be settled, and why.

        Raises Unavailable, LeaseLost.
        """
        by_account: dict[Id, list[Queued]] = {}
        for row in rows:
            by_account.setdefault(row.account, []).append(row)
        done = {row.id for row in rows if not row.waiting()}
        unfinished = await self._unfinished([row for row in rows if row.id in done and row.parts > 1], done)
        slots = asyncio.Semaphore(_ACCOUNTS_AT_ONCE)
        failed: dict[Id, Exception] = {}

        async def one(account: Id, own: Sequence[Queued]) -> None:
            async with slots:
                try:
                    await self._settle_account(account, own, unfinished)
                except Exception as error:  # those of other accounts are settled nevertheless
                    failed.update({row.id: error for row in own})

        await asyncio.gather(*(one(account, own) for account, own in by_account.items()))
        settled = [row for row in rows if row.id not in failed]
        await self._tools.ledger.write(lambda tx: self._close(tx, settled, done - failed.keys()))
        return failed

    async def _unfinished(self, rows: Sequence[Queued], done: set[Id]) -> set[Id]:
        """The messages of these rows that still wait for another destination."""
        if not rows:
            return set()
        async with self._tools.store.read(self._account) as snapshot:
            siblings = await records.of_departures(snapshot, {row.departure for row in rows})
        return {row.departure for row in siblings if row.id not in done}

    async def _close(self, tx: Transaction, rows: Sequence[Queued], done: set[Id]) -> None:
        await records.delete_rows(tx, done)
        for row in rows:
            if row.id not in done:
                told: JsonObject = {"recipients": to_builtins(row.recipients), "warns": row.warns}
                await records.change_row(tx, row.id, told)

    async def _settle_account(self, account: Id, rows: Sequence[Queued], unfinished: set[Id]) -> None:
        now = self._tools.clock.now()
        abroad: list[Departure] = []
        for row in rows:
            abroad += await self._tell_sender(row, now)
        async with self._tools.store.write(account, self._tools.lease) as tx:
            for departure in abroad:
                await outbox.depart(tx, departure)
            for row in rows:
                if row.submission is not None:
                    await note_fates(tx, row.submission, _statuses(row))
                if not row.waiting() and row.departure not in unfinished:
                    if row.submission is not None:
                        await set_final(tx, row.submission)  # it may never have been released
                    with suppress(KeyError):  # it was settled before, or the account is gone
                        await tx.delete(outbox.TYPE, row.departure)
                        self._tools.ended.add(row.departure)

    # ------------------------------------------------------------ reports

    async def _original(self, row: Queued) -> bytes:
        """What is sent back with a report; nothing where there is a mistake of ours in the way."""
        try:
            return await self._tools.messages.load(row.blob_id, row.origin) or b""
        except Unavailable:
            raise
        except Exception as error:
            log.error("a report goes without its message", message=row.id, **described(error))
            return b""

    async def _tell_sender(self, row: Queued, now: datetime) -> list[Departure]:
        """A report, if one is due: into the sender's mailbox here, or on its way to another host."""
        told = [recipient for recipient in row.recipients if is_to_be_told(row, recipient)]
        is_late = row.warns is not None and row.warns <= records.place(row.destination, now)
        if row.waiting() and is_late:
            row.warns = None
            told += [recipient for recipient in row.waiting() if "DELAY" in notify(recipient, ("DELAY",))]
        if not told or not row.sender.email or row.is_silent:
            return []
        report = write_dsn(notice_of(row, told, self._hostname, now), await self._original(row))
        is_here = await self._report(row.sender.email, report)
        log.info("the sender gets a report", message=row.id, recipients=len(told))
        for recipient in told:
            recipient.is_told = recipient.state != "queued"
        if is_here:
            return []
        blob = await self._blobs.put(report, max_size=len(report))
        return [_departure(row.sender.email, blob, now)]


def _departure(recipient: str, message: Blob, now: datetime) -> Departure:
    return Departure(
        sender=Address(""),
        recipients=(Address(recipient),),
        blob_id=message.id,
        size=message.size,
        created_at=utc_date(now),
        send_at=utc_date(now),
        origin="report",
    )


def _statuses(row: Queued) -> dict[str, DeliveryStatus]:
    """deliveryStatus of RFC 8621 §7. What was delivered here has reached its mailbox."""
    return {
        recipient.email: DeliveryStatus(
            smtp_reply=recipient.reply,
            delivered="yes"
            if recipient.state == "relayed" and row.destination == LOCAL
            else _DELIVERED[recipient.state],
        )
        for recipient in row.recipients
        if recipient.reply
    }
