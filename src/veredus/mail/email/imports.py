"""Email/import (RFC 8621 §4.8)."""

from typing import Any

from veredus.mail.email.admit import Admission, Prepared
from veredus.mail.email.hooks import received_date
from veredus.mail.email.shape import normalized_keywords
from veredus.ports import Transaction
from veredus.schema import Access, Changed, Method
from veredus.wire import blob_ids
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

# The properties of an EmailImport; all but the first two may be left out.
_PROPERTIES = ("blobId", "mailboxIds", "keywords", "receivedAt")


class ImportArguments(AccountArguments, kw_only=True):
    """Email/import (§4.8). ``emails``: EmailImport objects by creation id."""

    if_in_state: str | None = None
    emails: dict[Id, JsonObject]


class ImportMethod:
    """Email/import."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def method(self) -> Method:
        return Method("Email/import", ImportArguments, self.run, writes=True)

    async def run(self, ctx: Access, args: ImportArguments) -> JsonObject:
        """Make Emails of stored messages; each comes in as a whole or not at all."""
        if len(args.emails) > ctx.limit("maxObjectsInSet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} Emails in one call.")
        errors: dict[str, SetError] = {}
        prepared: dict[str, Prepared] = {}
        for key, wanted in args.emails.items():
            try:
                _check(wanted)
                prepared[key] = await self._prepare(ctx, wanted)
            except SetError as error:
                errors[key] = error
        created: dict[str, JsonObject] = {}
        async with ctx.write() as tx:
            old_state = await tx.state("Email")
            if args.if_in_state is not None and args.if_in_state != str(old_state):
                raise MethodError.state_mismatch()
            changed = []
            for key, one in prepared.items():
                try:
                    changed.append(await self._put(ctx, tx, one))
                    created[key] = _report(one.email)
                except SetError as error:
                    errors[key] = error
            await _follow(tx, created.values(), await self._admission.finish(tx, changed))
            new_state = await tx.state("Email")
        ctx.created_ids.update({key: email["id"] for key, email in created.items()})
        return {
            "accountId": args.account_id,
            "oldState": str(old_state),
            "newState": str(new_state),
            "created": created or None,
            "notCreated": {key: error.to_json() for key, error in errors.items()} or None,
        }

    async def _prepare(self, ctx: Access, wanted: JsonObject) -> Prepared:
        blob_id = _resolved(ctx, wanted["blobId"])
        data = await ctx.load_blob(blob_id)
        if data is None:
            # Not blobNotFound: §4.8 names this error.
            raise SetError.invalid_properties(["blobId"], "No such blob.")
        if blob_ids.parse(blob_id).encoding is not None:
            # A message inside another one: from now on it has bytes of its own.
            blob_id = (await ctx.store_blob(data)).id
        given = wanted.get("receivedAt")
        received_at = received_date(ctx, given)
        prepared = await self._admission.prepare(data, blob_id, received_at, by_trace=given is None)
        email = prepared.email
        email["mailboxIds"] = dict(wanted["mailboxIds"])
        email["keywords"] = wanted.get("keywords") or {}
        return prepared

    async def _put(self, ctx: Access, tx: Transaction, one: Prepared) -> Changed:
        email = one.email
        email["id"] = new_id("e")
        email["mailboxIds"] = {_resolved(ctx, id): value for id, value in email["mailboxIds"].items()}
        await self._admission.admit(tx, email)
        await tx.put("Email", email, one.texts)
        return Changed(None, email)


def _check(wanted: JsonObject) -> None:
    """All that is wrong with an EmailImport, whatever the server has. Raises SetError invalidProperties."""
    bad = [name for name in wanted if name not in _PROPERTIES]
    if not isinstance(wanted.get("blobId"), str):
        bad.append("blobId")
    mailboxes = wanted.get("mailboxIds")
    if (
        not isinstance(mailboxes, dict)
        or not mailboxes
        or any(value is not True for value in mailboxes.values())
    ):
        bad.append("mailboxIds")
    try:
        normalized_keywords(wanted.get("keywords") or {})
    except SetError:
        bad.append("keywords")
    if bad:
        raise SetError.invalid_properties(bad, "Missing, unknown or of a wrong type.")


async def _follow(tx: Transaction, created: Any, ids: dict[Id, Id]) -> None:
    """Correct the reports of Emails that a merging of Threads gave other ids."""
    moved = {email["id"]: email for email in created if email["id"] in ids}
    for old, email in moved.items():
        email["id"] = ids[old]
        email["threadId"] = (await tx.get("Email", [ids[old]], {"threadId"}))[0]["threadId"]


def _resolved(ctx: Access, id: str) -> Id:
    """A Mailbox or blob may be one that the same request created (RFC 8620 §5.3, RFC 9404 §4.1)."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


def _report(email: JsonObject) -> JsonObject:
    return {name: email[name] for name in ("id", "blobId", "threadId", "size")}
