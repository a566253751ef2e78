"""MDN/send (RFC 9007 §2.1)."""

from collections.abc import Iterable, Mapping, Sequence
from email.utils import make_msgid

from msgspec import Struct

from veredus.formats.report import Disposition, Mdn, Notification, typed, write_mdn
from veredus.mail import outbox
from veredus.mail.identity import is_mailbox, may_use
from veredus.mail.mdn.requested import ALREADY_SENT, already_sent, requested
from veredus.mail.mdn.shape import Wanted, as_json, resolved, wanted
from veredus.mail.outbox import Departure
from veredus.mail.submission.envelope import SubmissionLimits
from veredus.ports import Address, Transaction
from veredus.schema import Access, Method
from veredus.wire.arguments import AccountArguments
from veredus.wire.dates import utc_date
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import Id, JsonObject, is_id

# Messages of an account that wait to leave; more MDNs are refused until some have.
MAX_WAITING = 1_000
_EMAIL = frozenset({"blobId", "size", "keywords", "headers", "subject", "messageId"})
# Subject and text where the client gives none, by the type of the disposition.
_SUBJECTS = {
    "displayed": "Displayed",
    "deleted": "Deleted",
    "dispatched": "Passed on",
    "processed": "Processed",
}
_TEXTS = {
    "displayed": "has been displayed. This does not say that it was read or understood.",
    "deleted": "has been deleted. It may or may not have been seen before.",
    "dispatched": "has been passed on. It may or may not have been seen before.",
    "processed": "has been processed without having been displayed.",
}


class SendArguments(AccountArguments, kw_only=True):
    """MDN/send. ``on_success_update_email``: by "#" and a creation id of ``send``, or by the Email's id."""

    identity_id: str
    send: dict[Id, JsonObject]
    on_success_update_email: dict[str, JsonObject] | None = None


class _Ready(Struct, frozen=True):
    """An MDN that may leave. ``told``: what the client did not set itself."""

    email_id: Id
    to: tuple[str, ...]
    message: bytes
    told: JsonObject


class SendMethod:
    """MDN/send. ``domain``: of generated Message-IDs."""

    def __init__(self, limits: SubmissionLimits, domain: str) -> None:
        self._limits, self._domain = limits, domain

    def method(self) -> Method:
        return Method("MDN/send", SendArguments, self.run, writes=True)

    async def run(self, ctx: Access, args: SendArguments) -> JsonObject:
        """Send each MDN with the keyword $mdnsent in one transaction, then the implicit Email/set."""
        if ctx.data_type("Email") is None:
            raise MethodError.unknown_method("MDN/send")  # §2.1: "using" must have the mail capability, too
        if len(args.send) > ctx.limit("maxObjectsInSet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} MDNs in one call.")
        errors: dict[str, SetError] = {}
        mdns: dict[str, Wanted] = {}
        for key, given in args.send.items():
            try:
                mdns[key] = wanted(ctx, given)
            except SetError as error:
                errors[key] = error
        patches = _patches(ctx, args, mdns)
        identity, emails = await _referred(ctx, args.identity_id, mdns.values())
        own = await ctx.addresses()
        ready: dict[str, _Ready] = {}
        for key, mdn in mdns.items():
            try:
                ready[key] = await self._prepare(ctx, mdn, emails.get(mdn.for_email_id), identity, own)
            except SetError as error:
                errors[key] = error
        sent = await _send(ctx, ready, errors)
        if sent:
            update = {ready[key].email_id: patches[key] for key in sent}
            await ctx.call("Email/set", {"accountId": args.account_id, "update": update})
        return {
            "accountId": args.account_id,
            "sent": {key: ready[key].told for key in sent} or None,
            "notSent": {key: error.to_json() for key, error in errors.items()} or None,
        }

    async def _prepare(
        self, ctx: Access, mdn: Wanted, email: JsonObject | None, identity: JsonObject, own: Sequence[str]
    ) -> _Ready:
        if not self._limits.is_open:
            raise SetError.forbidden("This server does not send mail.")
        request = requested(email, mdn, self._limits.max_recipients)
        assert email is not None  # requested() has refused it
        final, sender = self._recipient(mdn, identity, own)
        said = Mdn(
            final_recipient=final,
            original_recipient=request.original_recipient,
            original_message_id=next(iter(email["messageId"] or ()), None),
            disposition=Disposition(
                mdn.disposition.action_mode, mdn.disposition.sending_mode, mdn.disposition.type
            ),
            reporting_ua=mdn.reporting_ua,
            extension_fields=mdn.extension_fields,
        )
        notification = Notification(
            sender=sender,
            sender_name=_printable(identity["name"]) or None,
            to=request.to,
            subject=_subject(mdn, email) if mdn.subject is None else mdn.subject,
            text=_text(mdn, sender) if mdn.text_body is None else mdn.text_body,
            message_id=make_msgid(domain=self._domain)[1:-1],
            date=ctx.now(),
            mdn=said,
        )
        message = await self._written(ctx, notification, email if mdn.include_original_message else None)
        whole = as_json(
            said,
            forEmailId=mdn.for_email_id,
            subject=notification.subject,
            textBody=notification.text,
            includeOriginalMessage=mdn.include_original_message,
        )
        given = {name: value for name, value in whole.items() if name not in mdn.given}
        if mdn.final_recipient not in (None, final):
            given["finalRecipient"] = final
        return _Ready(mdn.for_email_id, request.to, message, given)

    def _recipient(self, mdn: Wanted, identity: JsonObject, own: Sequence[str]) -> tuple[str, str]:
        """finalRecipient, and the address that the MDN is from (§5)."""
        separator, email = self._limits.separator, identity["email"]
        if not may_use(own, email, separator):
            raise SetError.forbidden("The address of the Identity does not belong to the account.")
        if mdn.final_recipient is None:
            if email.startswith("*@"):
                raise SetError.invalid_properties(
                    ["finalRecipient"], "The Identity is a whole domain: say which of its addresses it is."
                )
            return typed(email), email
        final = typed(mdn.final_recipient.strip())
        kind, _, address = final.partition("; ")
        if kind.lower() not in ("rfc822", "utf-8") or not is_mailbox(address) or address.startswith("*@"):
            raise SetError.invalid_properties(["finalRecipient"], "Must be an address, or rfc822; and one.")
        if not may_use(own, address, separator):
            raise SetError("forbiddenFrom", "finalRecipient is not an address of the account.")
        return final, address if email.startswith("*@") else email

    async def _written(self, ctx: Access, notification: Notification, returned: JsonObject | None) -> bytes:
        too_large = SetError.too_large(
            f"At most {self._limits.max_size} octets.", maxSize=self._limits.max_size
        )
        original = None
        if returned is not None:
            if returned["size"] > self._limits.max_size:
                raise too_large
            original = await ctx.load_blob(returned["blobId"])
        message = write_mdn(notification, original)
        if len(message) > self._limits.max_size:
            raise too_large
        return message


def _patches(ctx: Access, args: SendArguments, mdns: Mapping[str, Wanted]) -> dict[str, JsonObject]:
    """What the implicit Email/set does, by creation id. Each must set $mdnsent, or nothing is sent."""
    given = {
        key if key.startswith("#") and key[1:] in args.send else resolved(ctx, key): patch
        for key, patch in (args.on_success_update_email or {}).items()
    }
    found = {}
    for key, mdn in mdns.items():
        found[key] = {**given.get(mdn.for_email_id, {}), **given.get(f"#{key}", {})}
        if not _sets_keyword(found[key]):
            raise MethodError.invalid_arguments(
                f"onSuccessUpdateEmail must set keywords/{ALREADY_SENT} to true for {key!r}."
            )
    known = {f"#{key}" for key in args.send}
    known |= {resolved(ctx, id) for one in args.send.values() if isinstance(id := one.get("forEmailId"), str)}
    if unknown := sorted(given.keys() - known):
        raise MethodError.invalid_arguments(f"onSuccessUpdateEmail: {unknown[0][:100]!r} is of no MDN here.")
    return found


def _sets_keyword(patch: JsonObject) -> bool:
    keywords = patch.get("keywords")
    return patch.get(f"keywords/{ALREADY_SENT}") is True or (
        isinstance(keywords, dict) and keywords.get(ALREADY_SENT) is True
    )


async def _referred(
    ctx: Access, identity_id: str, mdns: Iterable[Wanted]
) -> tuple[JsonObject, dict[Id, JsonObject]]:
    """The Identity, which must be there, and the Emails that are."""
    ids = list({mdn.for_email_id for mdn in mdns if is_id(mdn.for_email_id)})
    identity_id = resolved(ctx, identity_id)
    async with ctx.read() as snapshot:
        identities = (
            await snapshot.get("Identity", [identity_id], {"name", "email"}) if is_id(identity_id) else []
        )
        emails = await snapshot.get("Email", ids, _EMAIL)
    if not identities:
        raise MethodError.invalid_arguments("identityId: There is no such Identity.")
    return identities[0], {email["id"]: email for email in emails}


async def _send(ctx: Access, ready: Mapping[str, _Ready], errors: dict[str, SetError]) -> list[str]:
    """Let them leave; gives the creation ids of those that do."""
    sent: list[str] = []
    if not ready:
        return sent
    blobs = {key: await ctx.store_blob(one.message) for key, one in ready.items()}
    async with ctx.write() as tx:
        waiting = await tx.count(outbox.TYPE)
        now = utc_date(ctx.now())
        for key, one in ready.items():
            try:
                if waiting + len(sent) >= MAX_WAITING:
                    raise SetError.rate_limit()
                await _mark(tx, one.email_id)
            except SetError as error:
                errors[key] = error
                continue
            departure = Departure(
                sender=Address(""),
                recipients=tuple(Address(address) for address in one.to),
                blob_id=blobs[key].id,
                size=len(one.message),
                created_at=now,
                send_at=now,
                origin="mdn",
            )
            await outbox.depart(tx, departure)
            sent.append(key)
    return sent


async def _mark(tx: Transaction, email_id: Id) -> None:
    """Set $mdnsent with the commit that lets the MDN leave: who comes second must see it."""
    found = await tx.get("Email", [email_id], {"keywords"})
    if not found:
        raise SetError.not_found("There is no such Email.")
    keywords = found[0]["keywords"]
    if ALREADY_SENT in keywords:
        raise already_sent()
    await tx.update("Email", email_id, {"keywords": {**keywords, ALREADY_SENT: True}})


def _subject(mdn: Wanted, email: JsonObject) -> str:
    return f"{_SUBJECTS[mdn.disposition.type]}: {_printable(email['subject'] or '')[:500]}"


def _text(mdn: Wanted, sender: str) -> str:
    return f"Your message to {sender} {_TEXTS[mdn.disposition.type]}\n"


def _printable(text: str) -> str:
    """``text`` as a header field can have it, whatever a message or an Identity has."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
