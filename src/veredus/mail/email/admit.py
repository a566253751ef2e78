"""How an Email comes into an account, whatever brought it: set, import, copy or delivery.

``prepare`` is the slow part, outside the transaction; ``admit`` and ``finish`` are inside it,
before the Email is put and after all are.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from veredus.formats.mime import message as messages
from veredus.formats.mime.header import as_date
from veredus.mail.email.describe import describe, texts
from veredus.mail.email.shape import normalized_keywords
from veredus.mail.email.smime import Signatures
from veredus.mail.settle import Charge, settle
from veredus.mail.threading import assign_thread, merge_threads
from veredus.ports import BlobStore, Transaction
from veredus.schema import Changed
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId, Id, JsonObject

# Larger messages are parsed in a thread, so that requests are not held up by one of them.
INLINE = 256 * 1024


class EmailLimits(Struct, frozen=True):
    """Limits of the mail capability on Emails (RFC 8621 §1.3.1); sizes in octets, None: no limit."""

    max_mailboxes: int | None = None
    max_keywords: int = 100
    max_attachments_size: int = 50 * 1024 * 1024


class Prepared(Struct):
    """An Email on its way in: all stored properties but id and threadId, and its searchable text."""

    email: JsonObject
    texts: dict[str, str]


def prepare(
    data: bytes,
    blob_id: BlobId,
    received_at: str,
    signatures: Signatures | None = None,
    *,
    by_trace: bool = False,
) -> Prepared:
    """``Admission.prepare`` where it stands, for a process that does nothing else."""
    message = messages.parse(data)
    if not message.headers:
        raise SetError("invalidEmail", "No header field: this is not an RFC 5322 message.")
    email = describe(message, blob_id)
    email["receivedAt"] = (newest_received(email["headers"]) if by_trace else None) or received_at
    email.update((signatures or Signatures()).at_arrival(message, email["receivedAt"]))
    return Prepared(email, texts(message, email))


def texts_in(email: JsonObject, data: bytes) -> dict[str, str]:
    """The searchable text of a stored Email."""
    return texts(messages.parse(data), email)


class Admission:
    """Takes Emails into accounts."""

    def __init__(
        self, blobs: BlobStore, charge: Charge, limits: EmailLimits, signatures: Signatures | None = None
    ) -> None:
        self._blobs, self._charge, self.limits = blobs, charge, limits
        self.signatures = signatures or Signatures()

    @property
    def charge(self) -> Charge:
        return self._charge

    async def prepare(
        self, data: bytes, blob_id: BlobId, received_at: str, *, by_trace: bool = False
    ) -> Prepared:
        """Parse a stored message. Raises SetError invalidEmail (§4.8).

        ``by_trace``: its topmost Received field says when it was received, if it has one.
        """
        parse = partial(prepare, data, blob_id, received_at, self.signatures, by_trace=by_trace)
        return await asyncio.to_thread(parse) if len(data) > INLINE else parse()

    async def admit(self, tx: Transaction, email: JsonObject) -> None:
        """Check where an Email is to go, charge for it, and find its Thread. Raises SetError."""
        email["keywords"] = normalized_keywords(email.get("keywords") or {})
        await self.check_place(tx, {}, email)
        await self._charge(tx, "Email", 1, email["size"])
        await assign_thread(tx, email)

    async def check_place(self, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        """Mailboxes exist and keywords and mailboxes are not too many (§4.6)."""
        if len(new["keywords"]) > self.limits.max_keywords:
            raise SetError("tooManyKeywords", f"At most {self.limits.max_keywords} keywords.")
        mailboxes = new["mailboxIds"]
        if (
            not isinstance(mailboxes, dict)
            or not mailboxes
            or any(value is not True for value in mailboxes.values())
        ):
            raise SetError.invalid_properties(["mailboxIds"], "An Email is in at least one Mailbox.")
        most = self.limits.max_mailboxes
        if most is not None and len(mailboxes) > most:
            raise SetError("tooManyMailboxes", f"At most {most} mailboxes.")
        added = [id for id in mailboxes if id not in old.get("mailboxIds", ())]
        if added and len(await tx.get("Mailbox", added, frozenset())) != len(added):
            raise SetError.invalid_properties(["mailboxIds"], "No such Mailbox.")

    async def finish(self, tx: Transaction, changed: Sequence[Changed]) -> dict[Id, Id]:
        """Join Threads and count. Returns the new ids of Emails that had to get one, by old id."""
        destroyed = {change.old["id"] for change in changed if change.old is not None and change.new is None}
        moved: list[Changed] = []
        for change in changed:
            if change.old is None and change.new is not None and change.new["id"] not in destroyed:
                moved += await merge_threads(tx, change.new, self._reindex)
        await settle(tx, [*changed, *moved], self._charge)
        ids: dict[Id, Id] = {}
        for gone, come in reversed(list(zip(moved[::2], moved[1::2], strict=True))):
            if gone.old is not None and come.new is not None:
                new: Id = come.new["id"]
                # It may have moved again since: what is later is in ``ids`` already.
                ids[gone.old["id"]] = ids.get(new, new)
        return ids

    async def copy(self, original: JsonObject) -> Prepared:
        """An Email of another account on its way into this one."""
        kept = {name: value for name, value in original.items() if name not in ("id", "threadId")}
        return Prepared(kept, await self._reindex(original))

    async def _reindex(self, email: JsonObject) -> dict[str, str]:
        return texts_in(email, await self._blobs.get(email["blobId"]) or b"")


def whole_seconds(date: str) -> str:
    """A UTCDate without its fraction: receivedAt is kept to the second, as IMAP's internal date is."""
    return date.split(".", 1)[0].removesuffix("Z") + "Z"


def newest_received(headers: Sequence[JsonObject]) -> str | None:
    """The date of the topmost Received field as a UTCDate (§4.8)."""
    for header in headers:
        if header["name"].lower() == "received" and ";" in header["value"]:
            found = as_date(header["value"].rsplit(";", 1)[1])
            try:
                if found:
                    return utc_date(datetime.fromisoformat(found))
            except (ValueError, OverflowError):
                continue  # a leap second, or a year that UTC does not have
    return None
