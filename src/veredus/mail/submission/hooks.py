"""EmailSubmission/set: what the shape cannot say (RFC 8621 §7.5)."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from veredus.mail import outbox
from veredus.mail.identity import may_use
from veredus.mail.outbox import Departure
from veredus.mail.submission import envelope as envelopes
from veredus.mail.submission.envelope import Checked, SubmissionLimits
from veredus.mail.submission.message import Fields
from veredus.mail.submission.shape import Envelope
from veredus.mail.submission.status import CANCELED, QUEUED, all_of
from veredus.ports import Transaction
from veredus.schema import Access, Draft, Hooks
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import Id, JsonObject

_EMAIL = frozenset({"blobId", "size", "threadId", "messageId", "headers"})


class SubmissionHooks(Hooks):
    """Checks what is to be sent and lets it leave; cancels what is held."""

    def __init__(self, limits: SubmissionLimits) -> None:
        self._limits = limits

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        if not self._limits.is_open:
            raise SetError("forbiddenToSend", "This server does not send mail.")
        if "undoStatus" in draft.given:
            raise SetError.invalid_properties(
                ["undoStatus"], "The server sets it when it creates the record."
            )
        await ctx.addresses()

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        identity, email = await _referred(tx, record)
        own = await ctx.addresses()
        fields = Fields(email["headers"])
        fields.check()
        if email["size"] > self._limits.max_size:
            raise SetError.too_large(maxSize=self._limits.max_size)
        self._check_from(fields, identity["email"], own)
        given = record["envelope"]
        envelope = (
            envelopes.derive(fields, identity["email"], self._limits.separator)
            if given is None
            else msgspec.convert(given, Envelope)
        )
        now = ctx.now()
        checked = envelopes.check(envelope, own, now, self._limits)
        departure = _departure(record["id"], email, checked, utc_date(now))
        record.update(
            threadId=email["threadId"],
            envelope=msgspec.to_builtins(envelope),
            sendAt=departure.send_at,
            undoStatus="pending" if departure.is_held else "final",
            deliveryStatus=all_of([recipient.email for recipient in checked.recipients], QUEUED),
            departureId=departure.id,
            messageId=next(iter(email["messageId"] or ()), None),
        )
        await outbox.depart(tx, departure)

    def _check_from(self, fields: Fields, identity_email: str, own: Sequence[str]) -> None:
        """Nobody writes in another's name, nor with an Identity whose address the account has lost."""
        for author in fields.addresses("from"):
            for allowed in ([identity_email], own):
                if not may_use(allowed, author, self._limits.separator):
                    raise SetError("forbiddenFrom", "From is not an address of the Identity and the account.")

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        before, after = old["undoStatus"], new["undoStatus"]
        if before == after:
            return
        if after != "canceled":
            raise SetError.invalid_properties(["undoStatus"], "A client may only cancel.")
        if before != "pending" or not await outbox.cancel(tx, old["departureId"]):
            raise SetError("cannotUnsend", "It has been sent already.")
        new["deliveryStatus"] = all_of(list(old["deliveryStatus"] or ()), CANCELED)


async def _referred(tx: Transaction, record: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The Identity and the Email, which must be there."""
    identities = await tx.get("Identity", [record["identityId"]], {"email"})
    emails = await tx.get("Email", [record["emailId"]], _EMAIL)
    missing = [name for name, found in (("identityId", identities), ("emailId", emails)) if not found]
    if missing:
        raise SetError.invalid_properties(missing, "There is no such record.")
    return identities[0], emails[0]


def _departure(submission: Id, email: JsonObject, checked: Checked, created_at: str) -> Departure:
    """ENVID is the submission's id whatever the client gave (§7), so that reports are found again."""
    sender = checked.sender
    return Departure(
        sender=structs.replace(sender, parameters={**(sender.parameters or {}), "ENVID": submission}),
        recipients=checked.recipients,
        blob_id=email["blobId"],
        size=email["size"],
        created_at=created_at,
        send_at=created_at if checked.release is None else utc_date(checked.release),
        is_held=checked.release is not None,
        origin="submission",
        submission=submission,
    )
