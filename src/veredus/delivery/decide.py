"""From the rules of an account to what is done with a message: nothing here is inside a transaction."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from veredus.delivery import memory, refusal
from veredus.delivery.answer import (
    RESPONSE_SECONDS,
    Answering,
    Own,
    addressed,
    is_automatic,
    may_answer,
    with_addresses,
)
from veredus.delivery.case import Case
from veredus.delivery.compose import is_address
from veredus.delivery.notify import MOST as MOST_NOTIFICATIONS
from veredus.delivery.notify import Notification
from veredus.delivery.plan import Arrival, Copy, Leaving, Once, Plan
from veredus.delivery.rules import RuleBook, Rules
from veredus.delivery.running import outcome_of
from veredus.delivery.terms import Terms
from veredus.formats.mime import message as messages
from veredus.formats.mime.fields import without_fields
from veredus.formats.sieve import (
    FileInto,
    Keep,
    Notify,
    Outcome,
    Redirect,
    Reject,
    Vacation,
)
from veredus.formats.sieve.mailto import mailto
from veredus.mail.email.admit import Admission, Prepared
from veredus.mail.email.shape import normalized_keywords
from veredus.mail.outbox import Origin
from veredus.mail.vacation import VacationResponse
from veredus.ports import BlobStore, Clock, Directory, Store
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import Id

log = structlog.get_logger()

# Delivered-To fields that are looked up.
_MOST_MARKS: Final = 50
_INLINE: Final = 64 * 1024
_FLAGS: Final = {r"\seen": "$seen", r"\flagged": "$flagged", r"\answered": "$answered", r"\draft": "$draft"}
_KEEP: Final = Outcome((Keep(),))


class Decisions:
    """Makes the Plan for each account that a message has come for."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        directory: Directory,
        admission: Admission,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._store, self._blobs, self._directory = store, blobs, directory
        self._admission, self._clock, self._terms = admission, clock, terms
        self._book = RuleBook(store, blobs)

    async def plan(self, account: Id, arrival: Arrival, recipient: str) -> Plan:
        """Raises Unavailable."""
        rules = await self._book.of(account)
        if rules.is_empty:
            return Plan((Copy((Keep(),), _keywords(Keep(), is_junk=arrival.is_junk), arrival.prepared),))
        case = await self._case(account, arrival, recipient)
        outcome = _KEEP
        if rules.script is not None:
            script = await self._book.script(account, rules.script)
            if script is not None:
                outcome = await outcome_of(case, script, self._store, self._book, self._terms)
        return await self._plan_of(case, outcome, rules)

    async def _case(self, account: Id, arrival: Arrival, recipient: str) -> Case:
        addresses = await self._directory.addresses(account)
        own = Own(tuple(dict.fromkeys((*addresses, recipient.lower()))), self._terms.separator)
        if len(arrival.data) > _INLINE:
            message = await asyncio.to_thread(messages.parse, arrival.data)
        else:
            message = messages.parse(arrival.data)
        return Case(account, arrival, recipient, own, message, self._clock.now())

    # ------------------------------------------------------------ from actions to a plan

    async def _plan_of(self, case: Case, outcome: Outcome, rules: Rules) -> Plan:
        filings: list[Keep | FileInto] = []
        leaving: list[Leaving] = []
        notifications: list[Notify] = []
        vacation: Vacation | None = None
        refused: Plan | None = None
        is_kept_here = not outcome.actions
        for action in outcome.actions:
            match action:
                case Keep() | FileInto():
                    filings.append(action)
                case Redirect():
                    if await self._may_redirect(case, action):
                        leaving.append(await self._redirect(case, action))
                    else:
                        is_kept_here = True
                case Reject():
                    refused = await self._reject(case, action)
                    is_kept_here |= refused is None
                case Vacation():
                    vacation = action
                case Notify():
                    notifications.append(action)
        if is_kept_here and not filings:
            filings.append(Keep())
        if refused is None:
            answer = await self._answer(case, vacation, rules.vacation if filings else None)
            leaving += [] if answer is None else [answer]
        leaving += await self._notify(case, notifications)
        return Plan(
            await self._copies(case, filings),
            (*leaving, *(refused.leaving if refused else ())),
            outcome.duplicates,
            case.new_keys,
            refused.refusal if refused else None,
        )

    async def _copies(self, case: Case, filings: Sequence[Keep | FileInto]) -> tuple[Copy, ...]:
        """One Email for all mailboxes that are to have the same message with the same keywords."""
        grouped: dict[tuple[tuple[str, ...], bytes | None], list[Keep | FileInto]] = {}
        for filing in filings:
            keywords = _keywords(filing, is_junk=case.arrival.is_junk)
            grouped.setdefault((keywords, filing.message), []).append(filing)
        edited = {message: await self._prepared(case, message) for _, message in grouped}
        return tuple(
            Copy(tuple(group), keywords, edited[message]) for (keywords, message), group in grouped.items()
        )

    async def _prepared(self, case: Case, message: bytes | None) -> Prepared:
        """The message as a script has edited it; as it came, where nothing is left of its header."""
        if message is None:
            return case.arrival.prepared
        blob = await self._blobs.put(message, max_size=len(message))
        try:
            return await self._admission.prepare(message, blob.id, utc_date(case.now))
        except SetError:
            return case.arrival.prepared

    async def _may_redirect(self, case: Case, redirect: Redirect) -> bool:
        """Not spam, not to oneself, and not what has passed here already (RFC 5228 §10)."""
        if case.arrival.is_junk or not await self.reaches(redirect.address):
            return False
        passed = {value.strip().lower() for name, value in case.headers if name.lower() == "delivered-to"}
        for address in list(passed)[:_MOST_MARKS]:
            if await self._is_here(case, address):
                log.warning("redirect refused", account=case.account, reason="it has passed here before")
                return False
        return not await self._is_here(case, redirect.address)

    async def reaches(self, address: str) -> bool:
        """Whether a message can be sent there. Raises Unavailable."""
        if not is_address(address) or self._terms.reach == "nobody":
            return False
        return self._terms.reach == "everybody" or await self._directory.resolve(address) is not None

    async def _is_here(self, case: Case, address: str) -> bool:
        """Whether mail for that address would come to this account."""
        return is_address(address) and await self._directory.resolve(address) == case.account

    async def _redirect(self, case: Case, redirect: Redirect) -> Leaving:
        """With the envelope sender that it came with, and a mark that says that it has passed here."""
        data = case.arrival.data if redirect.message is None else redirect.message
        mark = f"Delivered-To: {case.recipient}\r\n".encode()
        return await self._leaving(
            "redirect", case.sender, (redirect.address,), mark + without_fields(data, ("Return-Path",))
        )

    async def _leaving(
        self,
        origin: Origin,
        sender: str,
        recipients: tuple[str, ...],
        data: bytes,
        once: Once | None = None,
    ) -> Leaving:
        blob = await self._blobs.put(data, max_size=len(data))
        return Leaving(origin, sender, recipients, blob, once)

    # ------------------------------------------------------------ what the account says by itself

    async def _reject(self, case: Case, reject: Reject) -> Plan | None:
        """By a reply where the sender hears it, else by a message. None: nobody can be told of it."""
        reply = refusal.reply(reject.reason)
        is_said = reject.is_extended or reject.reason.isascii()
        can_write = not case.arrival.is_junk and await self.reaches(case.sender)
        if case.arrival.is_only and (is_said or not can_write):
            return Plan(refusal=reply)
        if not can_write:
            return None
        hostname, sender, recipient = self._terms.hostname, case.sender, case.recipient
        if reject.is_extended:
            data = refusal.bounce(hostname, sender, {recipient: reply}, case.arrival.data, case.now)
        else:
            data = refusal.rejection(hostname, sender, recipient, reject.reason, case.headers, case.now)
        leaving = await self._leaving("reject", "", (sender,), data)
        kept = Copy((Keep(),), _keywords(Keep(), is_junk=False), case.arrival.prepared)
        return Plan(leaving=(Leaving(leaving.origin, "", leaving.recipients, leaving.blob, instead=kept),))

    async def _answer(
        self, case: Case, vacation: Vacation | None, response: VacationResponse | None
    ) -> Leaving | None:
        """By the script, or else by the VacationResponse, ``response`` if the message is kept."""
        if case.arrival.is_junk or not await self.reaches(case.sender):
            return None
        own = case.own
        if vacation is not None:
            own = with_addresses(own, vacation.addresses)
            once = Once(case.sender, f"sieve {vacation.handle}", vacation.seconds)
        elif response is not None and response.answers(case.now):
            once = Once(case.sender, "", RESPONSE_SECONDS)
        else:
            return None
        if (
            not may_answer(case.sender, case.headers)
            or addressed(case.headers, own) is None
            or await self._is_here(case, case.sender)
        ):
            return None
        async with self._store.read(case.account) as snapshot:
            if await memory.is_answered(snapshot, once, case.now):
                return None
        answering = Answering(
            sender=case.sender,
            own_address=case.own_address,
            headers=case.headers,
            hostname=self._terms.hostname,
            now=case.now,
        )
        if vacation is not None:
            data = answering.by_script(vacation, case.own)
        else:
            assert response is not None
            data = answering.by_response(response)
        # RFC 3834 §3.3: what fails to reach anybody is told to nobody, so that no circle begins.
        return await self._leaving("vacation", "", (case.sender,), data, once)

    async def _notify(self, case: Case, wanted: Sequence[Notify]) -> list[Leaving]:
        if case.arrival.is_junk or not wanted or is_automatic(case.headers):
            return []
        notification = Notification(
            headers=case.headers,
            own=case.own,
            own_address=case.own_address,
            hostname=self._terms.hostname,
            now=case.now,
        )
        # RFC 5436 §2.7: no errors come back of what tells of a message that no errors may come back of.
        sender = case.own_address if case.sender else ""
        made: list[Leaving] = []
        for notify in wanted:
            uri = mailto(notify.method)
            for to in uri.recipients[: MOST_NOTIFICATIONS - len(made)]:
                if not await self.reaches(to):
                    continue
                data = notification.write(notify, uri, to)
                made.append(await self._leaving("notification", sender, (to,), data))
        return made


def _keywords(filing: Keep | FileInto, *, is_junk: bool) -> tuple[str, ...]:
    r"""The flags of IMAP as keywords (RFC 8621 §4.1.1), sorted; \Deleted, and what is no keyword, is not."""
    found = {"$junk"} if is_junk and isinstance(filing, Keep) else set()
    for flag in filing.flags:
        keyword = _FLAGS.get(flag.lower(), flag)
        if not keyword.startswith("\\"):
            try:
                found.update(normalized_keywords({keyword: True}))
            except SetError:
                continue
    return tuple(sorted(found))
