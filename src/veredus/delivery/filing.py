"""Carrying out a Plan inside the transaction: Emails into mailboxes, messages on their way."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from veredus.delivery import memory
from veredus.delivery.places import Places, Wanted, role_of
from veredus.delivery.plan import Copy, Leaving, Plan
from veredus.formats.sieve.outcome import FileInto, Keep
from veredus.mail.email.admit import Admission
from veredus.mail.mailbox import MailboxLimits
from veredus.mail.outbox import Departure, depart
from veredus.mail.provision import inbox
from veredus.ports import Address, Clock, Transaction
from veredus.schema import Changed
from veredus.wire.dates import utc_date
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject


class Again(Exception):
    """What the script was told of duplicates is no longer so: another copy has come meanwhile."""


class Filed(Struct):
    """``missing``: how many mailboxes were not there, so that the inbox took the message."""

    emails: list[Id]
    missing: int = 0
    departures: int = 0
    withheld: int = 0


class Filing:
    """Puts what a Plan says into the account of a transaction."""

    def __init__(self, admission: Admission, limits: MailboxLimits, clock: Clock) -> None:
        self._admission, self._limits, self._clock = admission, limits, clock

    async def carry_out(self, tx: Transaction, plan: Plan, *, is_junk: bool) -> Filed:
        """Raises Again, and SetError where the account has no room."""
        now = self._clock.now()
        if plan.new_keys and await memory.seen(tx, plan.new_keys, now):
            raise Again
        filed = Filed([])
        copies = list(plan.copies)
        for leaving in plan.leaving:
            if await self._may_leave(tx, leaving, now):
                await _let_leave(tx, leaving, now)
                filed.departures += 1
            else:
                filed.withheld += 1
                copies += [leaving.instead] if leaving.instead else []
        await self._file(tx, copies, filed, is_junk=is_junk)
        if plan.duplicates:
            await memory.remember(tx, plan.duplicates, now)
        return filed

    async def _file(self, tx: Transaction, copies: Sequence[Copy], filed: Filed, *, is_junk: bool) -> None:
        changed = []
        places = None
        for copy in copies:
            mailboxes: dict[Id, bool] = {}
            for filing in copy.filings:
                if isinstance(filing, Keep) and not is_junk:
                    mailboxes[await inbox(tx)] = True
                    continue
                places = places or await Places.of(tx)
                found = await places.mailbox_of(tx, wanted(filing), self._limits)
                if found is None:
                    filed.missing += isinstance(filing, FileInto)
                    found = await places.inbox(tx)
                mailboxes[found] = True
            email = self._email(copy, mailboxes)
            await self._admission.admit(tx, email)
            await tx.put("Email", email, copy.prepared.texts)
            changed.append(Changed(None, email))
            filed.emails.append(email["id"])
        if changed:
            await self._admission.finish(tx, changed)

    def _email(self, copy: Copy, mailboxes: dict[Id, bool]) -> JsonObject:
        """No more mailboxes and keywords than an Email may have: the rest of them is left out."""
        most = self._admission.limits
        return {
            **copy.prepared.email,
            "id": new_id("e"),
            "keywords": dict.fromkeys(copy.keywords[: most.max_keywords], True),
            "mailboxIds": dict(list(mailboxes.items())[: most.max_mailboxes]),
        }

    async def _may_leave(self, tx: Transaction, leaving: Leaving, now: datetime) -> bool:
        once = leaving.once
        if once is not None and await memory.is_answered(tx, once, now):
            return False
        if not await memory.is_within_rate(tx, leaving.origin, now):
            return False
        if once is not None:
            await memory.answered(tx, once, now)
        return True


async def _let_leave(tx: Transaction, leaving: Leaving, now: datetime) -> None:
    moment = utc_date(now)
    departure = Departure(
        sender=Address(leaving.sender),
        recipients=tuple(Address(recipient) for recipient in leaving.recipients),
        blob_id=leaving.blob.id,
        size=leaving.blob.size,
        created_at=moment,
        send_at=moment,
        origin=leaving.origin,
    )
    await depart(tx, departure)


def wanted(filing: Keep | FileInto) -> Wanted:
    """Of Keep: where spam is kept."""
    if isinstance(filing, Keep):
        return Wanted("INBOX", role="junk")
    role = None if filing.special_use is None else role_of(filing.special_use)
    return Wanted(filing.mailbox, filing.create, role, filing.mailbox_id)
