"""Email/set and Email/copy: what the shape cannot say (RFC 8621 §4.6, §4.7)."""

from collections.abc import Mapping, Sequence
from email.utils import make_msgid

import msgspec

from veredus.formats.mime.build import BuildError, blob_ids, build
from veredus.mail.email.admit import Admission, whole_seconds
from veredus.mail.email.shape import normalized_keywords
from veredus.mail.removal import KEEPS, KeepChanged
from veredus.ports import Transaction
from veredus.schema import Access, Changed, Draft, Hooks
from veredus.wire.arguments import SetArguments
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId, Id, JsonObject, UTCDate

# What a client may give beside the message itself.
METADATA = ("mailboxIds", "keywords", "receivedAt")
REPORTED = ("blobId", "threadId", "size")


class EmailHooks(Hooks):
    """Builds messages, checks places and keywords, and keeps Threads and counters."""

    def __init__(self, admission: Admission, domain: str, keep: KeepChanged) -> None:
        self._admission, self._domain, self._keep = admission, domain, keep

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        given = draft.given
        received_at = received_date(ctx, given.get("receivedAt"))
        if "mailboxIds" not in given:
            raise SetError.invalid_properties(["mailboxIds"], "An Email is in at least one Mailbox.")
        normalized_keywords(given.get("keywords") or {})
        contents = {name: value for name, value in given.items() if name not in METADATA}
        data = await self._build(ctx, contents)
        blob = await ctx.store_blob(data)
        prepared = await self._admission.prepare(data, blob.id, received_at)
        prepared.email["mailboxIds"] = given["mailboxIds"]
        prepared.email["keywords"] = given.get("keywords") or {}
        draft.record, draft.texts, draft.report = prepared.email, prepared.texts, REPORTED

    async def _build(self, ctx: Access, contents: JsonObject) -> bytes:
        loaded: dict[BlobId, bytes] = {}
        missing = []
        try:
            for id in sorted(blob_ids(contents)):
                data = await ctx.load_blob(id)
                if data is None:
                    missing.append(id)
                else:
                    loaded[id] = data
            if missing:
                raise SetError("blobNotFound", notFound=missing)
            if sum(map(len, loaded.values())) > self._admission.limits.max_attachments_size:
                raise SetError.too_large(
                    f"Attachments of at most {self._admission.limits.max_attachments_size} octets."
                )
            moment = ctx.now()
            message_id = make_msgid(domain=self._domain)[1:-1]
            return build(contents, load_blob=loaded, message_id=message_id, date=utc_date(moment))
        except BuildError as error:
            raise SetError.invalid_properties(error.properties, error.description) from None

    async def prepare_copy(self, ctx: Access, original: JsonObject, draft: Draft) -> None:
        given = draft.given
        extra = [name for name in given if name not in METADATA and given[name] != original.get(name)]
        if extra:
            raise SetError.invalid_properties(extra, "Only mailboxIds, keywords and receivedAt may be given.")
        normalized_keywords(given.get("keywords") or {})
        prepared = await self._admission.copy(original)
        if given.get("receivedAt") is not None:
            prepared.email["receivedAt"] = received_date(ctx, given["receivedAt"])
        prepared.email["mailboxIds"] = given.get("mailboxIds")
        prepared.email["keywords"] = given.get("keywords") or {}
        draft.record, draft.texts, draft.report = prepared.email, prepared.texts, REPORTED

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        await self._admission.admit(tx, record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        if old["keywords"] != new["keywords"]:
            new["keywords"] = normalized_keywords(new["keywords"])
        await self._admission.check_place(tx, old, new)

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        if "blobId" not in old:
            # The same call has updated it, and read no more of it than that needs.
            old.update((await tx.get("Email", [old["id"]], KEEPS))[0])

    async def after(
        self, ctx: Access, tx: Transaction, changed: Sequence[Changed], arguments: SetArguments
    ) -> Mapping[Id, Id] | None:
        await self._keep(tx, changed, ctx.now())
        return await self._admission.finish(tx, changed)


def received_date(ctx: Access, value: object) -> str:
    """The receivedAt that a client gave, or now."""
    if value is None:
        return utc_date(ctx.now())
    try:
        return whole_seconds(msgspec.convert(value, UTCDate))
    except msgspec.ValidationError:
        raise SetError.invalid_properties(["receivedAt"], "Must be a UTCDate.") from None
