"""DestroyedEmail: Emails that were destroyed, kept for a while for their owner to restore (docs/undelete.md).

An extension of our own. A record is what ``Email/set`` destroys, what goes with a destroyed Mailbox, and what
a RetentionRule removes. It holds the blob, and beside it what the message does not say: Mailboxes, keywords,
receivedAt. So a restored Email is as it was, under a new id, since ids are never used again (RFC 8620 §1.2).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from veredus.conditions import EVERYTHING, Any_, Condition, Order, Range
from veredus.mail.email.admit import Admission, Prepared
from veredus.mail.email.shape import Addresses, Keyword
from veredus.mail.provision import inbox
from veredus.ports import BlobStore, Snapshot, Transaction
from veredus.schema import (
    Access,
    BlobId,
    BlobRef,
    Changed,
    Computed,
    DataType,
    Hooks,
    Indexed,
    Internal,
    Method,
    MethodError,
    Object,
    ServerSet,
    SetError,
    by,
    contains,
    has,
)
from veredus.wire.arguments import AccountArguments
from veredus.wire.dates import utc_date, whole_second
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject, UnsignedInt, UTCDate

CAPABILITY = "urn:veredus:jmap:undelete"
TYPE = "DestroyedEmail"
# A client that saves a draft destroys the one before; what Email/set destroys with this keyword is not kept.
_DRAFT = "$draft"
_AT_ONCE = 200


class DestroyedEmail(Object, kw_only=True):
    """What is known of a destroyed Email. ``mailboxIds``: where it was; they may be gone since."""

    id: ServerSet[Id]
    email_id: ServerSet[Id]
    blob_id: ServerSet[BlobRef[Indexed[BlobId]]]
    mailbox_ids: ServerSet[Indexed[dict[Id, bool]]]
    keywords: ServerSet[dict[Keyword, bool]]
    size: ServerSet[UnsignedInt]
    received_at: ServerSet[UTCDate]
    destroyed_at: ServerSet[UTCDate]
    from_: ServerSet[Addresses] = field(name="from", default=None)
    subject: ServerSet[str | None] = None
    preview: ServerSet[str] = ""
    # For filters: names and addresses of From.
    authors: Internal[str] = ""


class RestoreArguments(AccountArguments, kw_only=True):
    """DestroyedEmail/restore. ``mailboxIds``: where to; null: where each was, as far as that is still there,
    else the inbox."""

    ids: list[str]
    mailbox_ids: dict[str, bool] | None = None


class Outcome(Struct):
    """``restored``: the ids of the new Emails. Both by the id of the DestroyedEmail."""

    restored: dict[Id, Id]
    failed: dict[Id, SetError]


class Undelete:
    """Keeps destroyed Emails, restores them, forgets them."""

    def __init__(self, admission: Admission, life: timedelta) -> None:
        """``life``: how long they are kept; zero: not at all."""
        self._admission, self.life = admission, life

    async def keep(self, tx: Transaction, emails: Sequence[JsonObject], now: datetime) -> None:
        """Keep Emails that this transaction has destroyed."""
        if not self.life:
            return
        for email in emails:
            await tx.put(TYPE, _record(email, utc_date(now)))

    async def keep_changed(self, tx: Transaction, changed: Sequence[Changed], now: datetime) -> None:
        """Keep what a /set has destroyed, save for drafts, and for what it had created itself."""
        created = {change.new["id"] for change in changed if change.old is None and change.new is not None}
        gone = [change.old for change in changed if change.new is None and change.old is not None]
        kept = [email for email in gone if _DRAFT not in email["keywords"] and email["id"] not in created]
        await self.keep(tx, kept, now)

    async def prepare(self, record: JsonObject, data: bytes | None) -> Prepared:
        """The Email as it was, before it has an id, a Thread and Mailboxes. Raises SetError."""
        if data is None:
            raise SetError("blobNotFound", notFound=[record["blobId"]])
        prepared = await self._admission.prepare(data, record["blobId"], record["receivedAt"])
        prepared.email["keywords"] = dict(record["keywords"])
        return prepared

    async def put_back(
        self, tx: Transaction, prepared: Mapping[Id, Prepared], mailboxes: JsonObject | None
    ) -> Outcome:
        """Make Emails of DestroyedEmails, and end these; ``mailboxes``: see RestoreArguments."""
        outcome = Outcome({}, {})
        records = {record["id"]: record for record in await tx.get(TYPE, list(prepared))}
        changed = []
        for id, one in prepared.items():
            try:
                if id not in records:
                    raise SetError.not_found()
                email = {**one.email, "id": new_id("e")}
                email["mailboxIds"] = await _places(tx, records[id]) if mailboxes is None else dict(mailboxes)
                await self._admission.admit(tx, email)
            except SetError as error:
                outcome.failed[id] = error
                continue
            await tx.put("Email", email, one.texts)
            await tx.delete(TYPE, id)
            changed.append(Changed(None, email))
            outcome.restored[id] = email["id"]
        moved = await self._admission.finish(tx, changed)
        outcome.restored = {id: moved.get(email, email) for id, email in outcome.restored.items()}
        return outcome

    def data_type(self) -> DataType:
        """The data type."""
        return DataType(
            name=TYPE,
            capability=CAPABILITY,
            shape=DestroyedEmail,
            prefix="d",
            methods=("get", "changes", "set", "query", "queryChanges"),
            filters={
                "after": lambda value: Range("destroyedAt", at_least=whole_second(value)),
                "before": lambda value: Range("destroyedAt", below=whole_second(value)),
                "inMailbox": has("mailboxIds"),
                "from": contains("authors"),
                "subject": contains("subject"),
            },
            sorts={"destroyedAt": by("destroyedAt")},
            default_sort=(Order("destroyedAt", ascending=False),),
            hooks=_DestroyedHooks(),
            computed=(Computed(("keptUntil",), ("destroyedAt",), self._until),),
            extra=(Method(f"{TYPE}/restore", RestoreArguments, self._restore, writes=True),),
            shown=_shown,
            order="destroyedAt",
            account_capability={"maxAge": int(self.life.total_seconds())},
        )

    async def _until(
        self,
        ctx: Access,
        snapshot: Snapshot,
        records: Sequence[JsonObject],
        names: Sequence[str],
        arguments: object,
    ) -> list[Mapping[str, Any]]:
        return [
            {"keptUntil": utc_date(datetime.fromisoformat(record["destroyedAt"]) + self.life)}
            for record in records
        ]

    async def _restore(self, ctx: Access, args: RestoreArguments) -> JsonObject:
        if len(args.ids) > ctx.limit("maxObjectsInSet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} Emails in one call.")
        mailboxes = None
        if args.mailbox_ids is not None:
            # Mailboxes may be such as the same request has created.
            mailboxes = {
                ctx.created_ids.get(id[1:], id) if id.startswith("#") else id: value
                for id, value in args.mailbox_ids.items()
            }
        ids = list(dict.fromkeys(args.ids))
        async with ctx.read() as snapshot:
            records = {record["id"]: record for record in await snapshot.get(TYPE, ids)}
        failed: dict[Id, SetError] = {}
        prepared: dict[Id, Prepared] = {}
        for id in ids:
            try:
                if id not in records:
                    raise SetError.not_found()
                prepared[id] = await self.prepare(records[id], await ctx.load_blob(records[id]["blobId"]))
            except SetError as error:
                failed[id] = error
        async with ctx.write() as tx:
            old_state = await tx.state(TYPE)
            outcome = await self.put_back(tx, prepared, mailboxes)
            new_state = await tx.state(TYPE)
        failed.update(outcome.failed)
        return {
            "accountId": args.account_id,
            "oldState": str(old_state),
            "newState": str(new_state),
            "restored": outcome.restored or None,
            "notRestored": {id: error.to_json() for id, error in failed.items()} or None,
        }


def _shown(ctx: Access) -> Condition:
    """Whose mail it is not sees it no more once it is destroyed."""
    return EVERYTHING if ctx.account.access == "write" else Any_()


class _DestroyedHooks(Hooks):
    """Nobody makes a DestroyedEmail but by destroying an Email."""

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        raise SetError.forbidden("A DestroyedEmail is what becomes of a destroyed Email.")


def _record(email: JsonObject, now: str) -> JsonObject:
    authors = email.get("from") or []
    return {
        "id": new_id("d"),
        "emailId": email["id"],
        "blobId": email["blobId"],
        "mailboxIds": email["mailboxIds"],
        "keywords": email["keywords"],
        "size": email["size"],
        "receivedAt": email["receivedAt"],
        "destroyedAt": now,
        "from": email.get("from"),
        "subject": email.get("subject"),
        "preview": email.get("preview") or "",
        "authors": " ".join(f"{one.get('name') or ''} {one.get('email') or ''}" for one in authors),
    }


async def _places(tx: Transaction, record: JsonObject) -> JsonObject:
    found = await tx.get("Mailbox", list(record["mailboxIds"]), frozenset())
    return {mailbox["id"]: True for mailbox in found} or {await inbox(tx): True}


async def restore(undelete: Undelete, blobs: BlobStore, tx: Transaction, ids: Sequence[Id]) -> Outcome:
    """Restore without a client, for `veredus account undelete`; a few at a time, since blobs are read within
    the transaction."""
    prepared: dict[Id, Prepared] = {}
    failed: dict[Id, SetError] = {}
    for record in await tx.get(TYPE, ids):
        try:
            prepared[record["id"]] = await undelete.prepare(record, await blobs.get(record["blobId"]))
        except SetError as error:
            failed[record["id"]] = error
    outcome = await undelete.put_back(tx, prepared, None)
    outcome.failed.update(failed)
    return outcome


async def overdue(snapshot: Snapshot, before: datetime, most_octets: int | None) -> list[Id]:
    """Some of the records that are to be forgotten: destroyed before that time, or, oldest first, what is
    beyond so many octets."""
    old = await snapshot.select(TYPE, Range("destroyedAt", below=utc_date(before)), limit=_AT_ONCE)
    if old or most_octets is None:
        return old
    octets = 0
    newest_first = await snapshot.select(TYPE, order=[Order("destroyedAt", ascending=False)])
    for record in await snapshot.get(TYPE, newest_first, {"size"}):
        octets += record["size"]
        if octets > most_octets:
            old.append(record["id"])
    return old[-_AT_ONCE:]
