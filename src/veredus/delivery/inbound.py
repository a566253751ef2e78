"""What happens to a message that comes in by LMTP or SMTP: inspection, recipient, rules, Email, reply."""

from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct

from veredus.delivery import refusal
from veredus.delivery.decide import Decisions
from veredus.delivery.filing import Again, Filing
from veredus.delivery.plan import Arrival, Leaving, Plan, is_lmtp
from veredus.delivery.reports import link, report_in
from veredus.delivery.terms import Terms
from veredus.mail.email.admit import Admission
from veredus.ports import BlobStore, Clock, Directory, Store, Unavailable
from veredus.ports.trouble import described
from veredus.reception import Envelope, Reply
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import Id

log = structlog.get_logger()

_DELIVERED = Reply(250, "2.1.5", "Delivered")
_TOLD = Reply(250, "2.0.0", "Accepted, and the sender is told that it failed")
_NO_SUCH_USER = Reply(550, "5.1.1", "No such recipient here")
_FULL = Reply(552, "5.2.2", "The mailbox is full")
_UNAVAILABLE = Reply(451, "4.3.0", "Temporary failure, try again later")
_NOT_A_MESSAGE = Reply(550, "5.6.0", "This is not an Internet message")
_REFUSED = Reply(550, "5.7.1", "The message is refused")

# Other copies of a message came in between so often.
_ATTEMPTS = 5


class _Received(Struct, frozen=True):
    """A message after inspection; ``refusal``: it goes no further."""

    data: bytes
    is_junk: bool = False
    refusal: Reply | None = None


class Inbound:
    """reception.Delivery into the mailboxes of local accounts."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        directory: Directory,
        admission: Admission,
        clock: Clock,
        terms: Terms | None = None,
    ) -> None:
        self._store, self._blobs, self._directory = store, blobs, directory
        self._admission, self._clock = admission, clock
        self._terms = terms or Terms()
        self._decisions = Decisions(store, blobs, directory, admission, clock, self._terms)
        self._filing = Filing(admission, self._terms.mailboxes, clock)

    async def recipient(self, address: str) -> Reply | None:
        """At RCPT: refuse whom nobody is."""
        try:
            return None if await self._account(address) else _NO_SUCH_USER
        except Unavailable as error:
            log.warning("recipient not looked up", error=str(error))
            return _UNAVAILABLE

    async def _account(self, address: str) -> Id | None:
        return await self._directory.resolve(address)

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        """One reply per recipient; a message is stored, passed on or refused, never dropped."""
        try:
            return await self._deliver(envelope, message)
        except Unavailable as error:
            # Nothing was delivered yet: what follows the first delivery catches its own.
            log.warning("delivery postponed", error=str(error))
            return [_UNAVAILABLE] * len(envelope.recipients)

    async def _deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        received = await self._inspect(envelope, message)
        if received.refusal is not None:
            return [received.refusal] * len(envelope.recipients)
        data = received.data
        blob = await self._blobs.put(data, max_size=len(data))
        try:
            prepared = await self._admission.prepare(data, blob.id, utc_date(self._clock.now()))
        except SetError:
            return [_NOT_A_MESSAGE] * len(envelope.recipients)
        accounts = {address: await self._account(address) for address in envelope.recipients}
        is_only = is_lmtp(envelope) or len(set(accounts.values())) == 1
        report = await report_in(envelope, data, prepared.email)
        arrival = Arrival(envelope, data, prepared, received.is_junk, is_only, report)
        replies = await self._deliver_to_all(accounts, arrival)
        return [replies[address] for address in envelope.recipients]

    async def _inspect(self, envelope: Envelope, message: bytes) -> _Received:
        inspector = self._terms.inspector
        if inspector is None:
            return _Received(message)
        found = await inspector.inspect(envelope, message)
        data = found.fields + found.message
        match found.verdict:
            case "reject":
                return _Received(data, refusal=Reply(*found.reply) if found.reply else _REFUSED)
            case "defer":
                return _Received(data, refusal=Reply(*found.reply) if found.reply else _UNAVAILABLE)
        return _Received(data, found.verdict == "junk")

    async def _deliver_to_all(
        self, accounts: Mapping[str, Id | None], arrival: Arrival
    ) -> Mapping[str, Reply]:
        """By address. Two addresses of one account: one copy."""
        replies: dict[str, Reply] = {}
        delivered: dict[Id, Reply] = {}
        for address, account in accounts.items():
            if account is None:
                replies[address] = _NO_SUCH_USER
                continue
            if account not in delivered:
                reply = await self._deliver_to(account, arrival, address)
                if reply.code < 500 and reply.is_refusal and not arrival.is_only and not delivered:
                    # The client has one reply for all: nobody has it yet, and it comes again.
                    return dict.fromkeys(accounts, reply)
                delivered[account] = reply
            replies[address] = delivered[account]
        failed = {address: reply for address, reply in replies.items() if reply.is_refusal}
        if failed and len(failed) < len(replies) and not arrival.tells_apart:
            return await self._tell(accounts, replies, failed, arrival)
        return replies

    async def _deliver_to(self, account: Id, arrival: Arrival, recipient: str) -> Reply:
        try:
            for attempt in range(_ATTEMPTS):
                plan = await self._decisions.plan(account, arrival, recipient)
                try:
                    return await self._carry_out(account, arrival, plan)
                except Again:
                    log.info("delivery begun again", account=account, attempt=attempt)
        except SetError as error:
            return _FULL if error.type == "overQuota" else _UNAVAILABLE
        except Unavailable as error:
            log.warning("delivery postponed", account=account, error=str(error))
        except Exception as error:  # a mistake of ours: whoever has got it must not get it again
            log.error("delivery failed", account=account, **described(error))
        return _UNAVAILABLE

    async def _carry_out(self, account: Id, arrival: Arrival, plan: Plan) -> Reply:
        async with self._store.write(account) as tx:
            filed = await self._filing.carry_out(tx, plan, is_junk=arrival.is_junk)
            if arrival.report is not None:
                await link(tx, arrival.report, arrival.prepared.email["blobId"])
        octets = arrival.prepared.email["size"]
        email = filed.emails[0] if filed.emails else None
        log.info("delivered", account=account, email=email, octets=octets, departures=filed.departures)
        if filed.missing:
            log.warning("mailbox missing", account=account, mailboxes=filed.missing)
        if filed.withheld:
            log.info("not answered", account=account, messages=filed.withheld)
        return plan.refusal or _DELIVERED

    async def _tell(
        self,
        accounts: Mapping[str, Id | None],
        replies: Mapping[str, Reply],
        failed: Mapping[str, Reply],
        arrival: Arrival,
    ) -> Mapping[str, Reply]:
        """The client will hear 250: those who failed are ours to tell of (RFC 5321 §6.1).

        Each report leaves from the account that refuses; where there is none any more, or it cannot be
        written to, from the first that has got the message. What can be neither delivered nor told is asked
        for again. Spam is not told of: its sender is invented.
        """
        sender = arrival.envelope.sender
        log.warning("recipients failed after acceptance", replies=[reply.code for reply in failed.values()])
        if arrival.is_junk or not await self._decisions.reaches(sender):
            return replies
        host = next(account for address, account in accounts.items() if account and address not in failed)
        by_account: dict[Id, dict[str, Reply]] = {}
        for address, reply in failed.items():
            own = accounts[address] if reply.code >= 500 else None
            by_account.setdefault(own or host, {})[address] = reply
        try:
            for account, given in by_account.items():
                now = self._clock.now()
                data = refusal.bounce(self._terms.hostname, sender, given, arrival.data, now)
                blob = await self._blobs.put(data, max_size=len(data))
                plan = Plan(leaving=(Leaving("report", "", (sender,), blob),))
                async with self._store.write(account) as tx:
                    await self._filing.carry_out(tx, plan, is_junk=False)
        except Unavailable as error:
            log.warning("delivery postponed after a part of it", error=str(error))
            return dict.fromkeys(accounts, _UNAVAILABLE)
        return {address: _TOLD if address in failed else reply for address, reply in replies.items()}
