"""Email/import (RFC 8621 §4.8) and Email/parse (§4.9)."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from veredus.formats.mime import message as messages
from veredus.mail.email.admit import Admission, Prepared, newest_received, utc_date
from veredus.mail.email.body import LISTS, BodyArguments, BodyView, LoadPart, header_values
from veredus.mail.email.describe import describe
from veredus.mail.email.hooks import received_date
from veredus.ports import Transaction
from veredus.schema import Access, Changed, Method
from veredus.wire import blob_ids
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.ids import new_id
from veredus.wire.types import BlobId, Id, JsonObject


class EmailImport(Struct, rename="camel", forbid_unknown_fields=True):
    """What to import (§4.8)."""

    blob_id: str
    mailbox_ids: dict[str, bool]
    keywords: JsonObject = {}
    received_at: str | None = None


class ImportArguments(AccountArguments, kw_only=True):
    """Email/import (§4.8)."""

    if_in_state: str | None = None
    emails: dict[str, EmailImport]


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
                    created[key] = one.email
                except SetError as error:
                    errors[key] = error
            renamed = await self._admission.finish(tx, changed)
            new_state = await tx.state("Email")
        report = {key: _report(email, renamed) for key, email in created.items()}
        ctx.created_ids.update({key: email["id"] for key, email in report.items()})
        return {
            "accountId": args.account_id,
            "oldState": str(old_state),
            "newState": str(new_state),
            "created": report or None,
            "notCreated": {key: error.to_json() for key, error in errors.items()} or None,
        }

    async def _prepare(self, ctx: Access, wanted: EmailImport) -> Prepared:
        data = await ctx.load_blob(wanted.blob_id)
        if data is None:
            raise SetError("blobNotFound", notFound=[wanted.blob_id])
        blob_id = wanted.blob_id
        if blob_ids.parse(blob_id).encoding is not None:
            # A message inside another one: from now on it has bytes of its own.
            blob_id = (await ctx.store_blob(data)).id
        now = utc_date(ctx.now())
        prepared = await self._admission.prepare(data, blob_id, now)
        if wanted.received_at is not None:
            prepared.email["receivedAt"] = received_date(ctx, wanted.received_at)
        else:
            prepared.email["receivedAt"] = newest_received(prepared.email["headers"]) or now
        prepared.email["mailboxIds"] = dict(wanted.mailbox_ids)
        prepared.email["keywords"] = wanted.keywords
        return prepared

    async def _put(self, ctx: Access, tx: Transaction, one: Prepared) -> Changed:
        email = one.email
        email["id"] = new_id("e")
        email["mailboxIds"] = {_resolved(ctx, id): value for id, value in email["mailboxIds"].items()}
        await self._admission.admit(tx, email)
        await tx.put("Email", email, one.texts)
        return Changed(None, email)


def _resolved(ctx: Access, id: str) -> Id:
    """A Mailbox may be one that the same request created (RFC 8620 §5.3)."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


def _report(email: JsonObject, renamed: dict[Id, Id]) -> JsonObject:
    return {
        "id": renamed.get(email["id"], email["id"]),
        "blobId": email["blobId"],
        "threadId": email["threadId"],
        "size": email["size"],
    }


# §4.9
PARSE_DEFAULTS = (
    "messageId inReplyTo references sender from to cc bcc replyTo subject sentAt hasAttachment preview "
    "bodyValues textBody htmlBody attachments"
).split()
_METADATA = ("id", "mailboxIds", "keywords", "receivedAt", "threadId")
_STORED = frozenset(PARSE_DEFAULTS) - {"bodyValues", *LISTS} | {"headers", "size", "blobId"}
_BODIES = frozenset({"bodyStructure", "bodyValues", *LISTS})


class ParseArguments(AccountArguments, BodyArguments, kw_only=True):
    """Email/parse (§4.9)."""

    blob_ids: list[str]
    properties: list[str] | None = None


class ParseMethod:
    """Email/parse."""

    def __init__(self, reader: Callable[[Access], LoadPart]) -> None:
        self._reader = reader

    def method(self) -> Method:
        return Method("Email/parse", ParseArguments, self.run)

    async def run(self, ctx: Access, args: ParseArguments) -> JsonObject:
        """Show blobs as Emails without importing them."""
        if len(args.blob_ids) > ctx.limit("maxObjectsInGet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
        names = list(dict.fromkeys(args.properties if args.properties is not None else PARSE_DEFAULTS))
        parsed: dict[BlobId, JsonObject] = {}
        not_parsable, not_found = [], []
        try:
            view = BodyView.of(args, self._reader(ctx))
            header_values({"headers": []}, [name for name in names if _is_header(name)])
            for id in dict.fromkeys(args.blob_ids):
                data = await ctx.load_blob(id)
                if data is None:
                    not_found.append(id)
                elif not messages.is_message(data):
                    not_parsable.append(id)
                else:
                    parsed[id] = await _parse(ctx, view, id, data, names)
        except ValueError as error:
            raise MethodError.invalid_arguments(str(error)) from None
        return {
            "accountId": args.account_id,
            "parsed": parsed or None,
            "notParsable": not_parsable or None,
            "notFound": not_found or None,
        }


def _is_header(name: str) -> bool:
    return name not in _STORED and name not in _BODIES and name not in _METADATA


async def _parse(ctx: Access, view: BodyView, id: BlobId, data: bytes, names: list[str]) -> JsonObject:
    part = blob_ids.parse(id)
    source, offset = id, part.start
    if part.encoding in ("base64", "quoted-printable", "x-uuencode"):
        # Parts of it cannot be named by a place in the outer message.
        source, offset = (await ctx.upload_blob(data, "message/rfc822")).id, 0
    email: dict[str, Any] = describe(messages.parse(data), source, offset=offset)
    email["blobId"] = id
    shown = {name: email[name] if name in _STORED else None for name in names if name in _STORED or name in _METADATA}
    shown.update(await view.properties(email, [name for name in names if name in _BODIES]))
    shown.update(header_values(email, [name for name in names if _is_header(name)]))
    return shown
