"""What an account writes by itself: refusals, answers, notifications (RFC 3834, RFC 5429, RFC 5435)."""

from collections.abc import Sequence
from typing import Any

from veredus.delivery import memory, refusal
from veredus.delivery.answer import RESPONSE_SECONDS, Answering, Own, addressed, may_answer
from veredus.delivery.case import Case
from veredus.delivery.compose import is_address
from veredus.delivery.notify import MOST as MOST_NOTIFICATIONS
from veredus.delivery.notify import Notification
from veredus.delivery.plan import Copy, Leaving, Once, Plan
from veredus.delivery.terms import Terms
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.sieve import Keep, Notify, Reject, Vacation
from veredus.formats.sieve.mailto import mailto
from veredus.mail.identity import TYPE as IDENTITY
from veredus.mail.outbox import Origin
from veredus.mail.vacation import VacationResponse
from veredus.ports import BlobStore, Directory, Store
from veredus.wire.types import Id


class Letters:
    """Writes messages that are to leave an account. All methods raise Unavailable."""

    def __init__(self, store: Store, blobs: BlobStore, directory: Directory, terms: Terms) -> None:
        self._store, self._blobs, self._directory, self._terms = store, blobs, directory, terms

    async def reaches(self, address: str) -> bool:
        """Whether a message can be sent there."""
        if not is_address(address) or self._terms.reach == "nobody":
            return False
        return self._terms.reach == "everybody" or await self._directory.resolve(address) is not None

    async def is_here(self, account: Id, address: str) -> bool:
        """Whether mail for that address would come to this account."""
        return is_address(address) and await self._directory.resolve(address) == account

    async def _from(self, case: Case, given: str | None) -> str:
        """What a script says that it writes from, if it is of the account: nobody speaks for others."""
        found: list[Any] = as_addresses(given) if given else []
        if found and await self.is_here(case.account, found[0]["email"]):
            return str(found[0]["email"])
        return case.own_address

    async def leaving(
        self,
        origin: Origin,
        sender: str,
        recipients: tuple[str, ...],
        data: bytes,
        once: Once | None = None,
    ) -> Leaving:
        blob = await self._blobs.put(data, max_size=len(data))
        return Leaving(origin, sender, recipients, blob, once)

    async def reject(self, case: Case, reject: Reject) -> Plan | None:
        """By a reply where the sender hears it, else by a message. None: nobody can be told of it."""
        reply = refusal.reply(reject.reason)
        is_said = reject.is_extended or reject.reason.isascii()
        can_write = not case.arrival.is_junk and await self.reaches(case.sender)
        if case.arrival.is_only and (is_said or not can_write):
            if case.arrival.is_junk and case.arrival.tells_apart:
                # The MTA before us has taken it, and would tell a sender who did not send it.
                return None
            return Plan(refusal=reply)
        if not can_write:
            return None
        hostname, sender, recipient = self._terms.hostname, case.sender, case.recipient
        if reject.is_extended:
            data = refusal.bounce(hostname, sender, {recipient: reply}, case.arrival.data, case.now)
        else:
            data = refusal.rejection(hostname, sender, recipient, reject.reason, case.headers, case.now)
        leaving = await self.leaving("reject", "", (sender,), data)
        kept = Copy((Keep(),), (), case.arrival.prepared)
        return Plan(leaving=(Leaving(leaving.origin, "", leaving.recipients, leaving.blob, instead=kept),))

    async def answer(
        self, case: Case, vacation: Vacation | None, response: VacationResponse | None
    ) -> list[Leaving]:
        """By the script, or else by the VacationResponse, ``response`` if the message is kept."""
        if case.arrival.is_junk or not await self.reaches(case.sender):
            return []
        named, given = case.named, None
        if vacation is not None:
            further = Own(vacation.addresses, self._terms.separator)
            named = named or next(addressed(case.headers, further), None)
            given = vacation.from_
            once = Once(case.sender, f"sieve {vacation.handle}", vacation.seconds)
        elif response is not None and response.answers(case.now):
            once = Once(case.sender, "", RESPONSE_SECONDS)
        else:
            return []
        if named is None or not may_answer(case.sender, case.headers):
            return []
        if await self.is_here(case.account, case.sender):
            return []
        async with self._store.read(case.account) as snapshot:
            if await memory.is_answered(snapshot, once, case.now):
                return []
            identities = await snapshot.get(IDENTITY, None, {"name", "email"})
        answering = Answering(
            sender=case.sender,
            own_address=await self._from(case, given),
            names={identity["email"].lower(): identity["name"] for identity in identities},
            headers=case.headers,
            hostname=self._terms.hostname,
            now=case.now,
        )
        if vacation is not None:
            data = answering.by_script(vacation)
        else:
            assert response is not None
            data = answering.by_response(response)
        # RFC 3834 §3.3: what fails to reach anybody is told to nobody, so that no circle begins.
        return [await self.leaving("vacation", "", (case.sender,), data, once)]

    async def notify(self, case: Case, wanted: Sequence[Notify]) -> list[Leaving]:
        if case.arrival.is_junk or not wanted:
            return []
        notification = Notification(
            headers=case.headers,
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
                data = notification.write(notify, uri, to, await self._from(case, notify.from_))
                made.append(await self.leaving("notification", sender, (to,), data))
        return made
