"""From the rules of an account to what is done with a message: nothing here is inside a transaction."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

import structlog

from veredus.delivery.answer import Own, addressed
from veredus.delivery.case import Case
from veredus.delivery.filing import wanted
from veredus.delivery.letters import Letters
from veredus.delivery.places import Places
from veredus.delivery.plan import Arrival, Copy, Leaving, Plan
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
from veredus.mail.email.admit import Admission, Prepared
from veredus.mail.email.shape import normalized_keywords
from veredus.ports import BlobStore, Clock, Directory, Store
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import Id

log = structlog.get_logger()

# Addresses of a header that are looked up.
_MOST_LOOKED_UP: Final = 50
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
        self._letters = Letters(store, blobs, directory, terms)

    async def plan(self, account: Id, arrival: Arrival, recipient: str) -> Plan:
        """Raises Unavailable."""
        rules = await self._book.of(account)
        if rules.is_empty:
            return Plan((Copy((Keep(),), keywords(Keep(), is_junk=arrival.is_junk), arrival.prepared),))
        case = await self._case(account, arrival, recipient)
        outcome = _KEEP
        if rules.script is not None:
            script = await self._book.script(account, rules.script)
            if script is not None:
                outcome = await outcome_of(case, script, self._store, self._book, self._terms)
        return await self._plan_of(case, outcome, rules)

    async def reaches(self, address: str) -> bool:
        """Whether the sender of a message can be told something. Raises Unavailable."""
        return await self._letters.reaches(address)

    async def _case(self, account: Id, arrival: Arrival, recipient: str) -> Case:
        addresses = await self._directory.addresses(account)
        own = Own(tuple(dict.fromkeys((*addresses, recipient.lower()))), self._terms.separator)
        if len(arrival.data) > _INLINE:
            message = await asyncio.to_thread(messages.parse, arrival.data)
        else:
            message = messages.parse(arrival.data)
        named = None
        for address in islice(addressed(message.headers, own), _MOST_LOOKED_UP):
            if await self._letters.is_here(account, address):
                named = address
                break
        return Case(account, arrival, recipient, own, named, message, self._clock.now())

    # ------------------------------------------------------------ from actions to a plan

    async def _plan_of(self, case: Case, outcome: Outcome, rules: Rules) -> Plan:
        filings = [action for action in outcome.actions if isinstance(action, (Keep, FileInto))]
        redirects = [action for action in outcome.actions if isinstance(action, Redirect)]
        leaving = [
            await self._redirect(case, redirect)
            for redirect in redirects
            if await self._may_redirect(case, redirect)
        ]
        # A script may say many things, but rejects and answers once.
        reject = next((action for action in outcome.actions if isinstance(action, Reject)), None)
        vacation = next((action for action in outcome.actions if isinstance(action, Vacation)), None)
        refused = None if reject is None else await self._letters.reject(case, reject)
        is_withheld = len(leaving) < len(redirects) or (reject is not None and refused is None)
        if not filings and (is_withheld or not outcome.actions):
            filings = [Keep()]
        if refused is None:
            response = rules.vacation if rules.vacation and await self._is_seen(case, filings) else None
            leaving += await self._letters.answer(case, vacation, response)
            refused = Plan()
        notifications = [action for action in outcome.actions if isinstance(action, Notify)]
        leaving += await self._letters.notify(case, notifications)
        return Plan(
            await self._copies(case, filings),
            (*leaving, *refused.leaving),
            outcome.duplicates,
            case.new_keys,
            refused.refusal,
        )

    async def _is_seen(self, case: Case, filings: Sequence[Keep | FileInto]) -> bool:
        """Whether the message comes where its reader looks: not in Junk or the trash alone."""
        if not filings or any(isinstance(filing, Keep) for filing in filings):
            return bool(filings)
        async with self._store.read(case.account) as snapshot:
            places = await Places.of(snapshot)
        return not all(places.is_aside(wanted(filing)) for filing in filings)

    async def _copies(self, case: Case, filings: Sequence[Keep | FileInto]) -> tuple[Copy, ...]:
        """One Email for all mailboxes that are to have the same message with the same keywords."""
        grouped: dict[tuple[tuple[str, ...], bytes | None], list[Keep | FileInto]] = {}
        for filing in filings:
            key = keywords(filing, is_junk=case.arrival.is_junk), filing.message
            grouped.setdefault(key, []).append(filing)
        edited = {message: await self._prepared(case, message) for _, message in grouped}
        return tuple(
            Copy(tuple(group), together, edited[message]) for (together, message), group in grouped.items()
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
        if case.arrival.is_junk or not await self._letters.reaches(redirect.address):
            return False
        passed = {value.strip().lower() for name, value in case.headers if name.lower() == "delivered-to"}
        for address in list(passed)[:_MOST_LOOKED_UP]:
            if await self._letters.is_here(case.account, address):
                log.warning("redirect refused", account=case.account, reason="it has passed here before")
                return False
        return not await self._letters.is_here(case.account, redirect.address)

    async def _redirect(self, case: Case, redirect: Redirect) -> Leaving:
        """With the envelope sender that it came with, and a mark that says that it has passed here."""
        data = case.arrival.data if redirect.message is None else redirect.message
        mark = f"Delivered-To: {case.recipient}\r\n".encode()
        return await self._letters.leaving(
            "redirect", case.sender, (redirect.address,), mark + without_fields(data, ("Return-Path",))
        )


def keywords(filing: Keep | FileInto, *, is_junk: bool) -> tuple[str, ...]:
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
