"""What becomes of a submission after it has left: deliveryStatus, undoStatus, reports (RFC 8621 §7).

The outgoing queue calls this, and delivery when a report comes in. The submission may have been destroyed:
then nothing happens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import structs

from veredus.conditions import Eq, Order
from veredus.mail.submission.shape import TYPE, DeliveryStatus
from veredus.ports import Snapshot, Transaction
from veredus.wire.types import BlobId, Id, JsonObject, is_id

QUEUED = DeliveryStatus("250 2.0.0 Queued", "queued")
CANCELED = DeliveryStatus("554 5.0.0 Canceled before it was sent", "no")
_FINAL = ("yes", "no")


def all_of(recipients: Sequence[str], status: DeliveryStatus) -> JsonObject:
    """deliveryStatus when it is the same for everybody."""
    return {email: msgspec.to_builtins(status) for email in recipients}


async def note_fates(tx: Transaction, submission: Id, statuses: Mapping[str, DeliveryStatus]) -> None:
    """Take over what is known of these recipients by now. What is final stays: yes, no, and displayed."""
    known = await _load(tx, submission, {"deliveryStatus"})
    if known is not None:
        await _store(tx, known, statuses, _later, {})


async def set_final(tx: Transaction, submission: Id) -> None:
    """From now on it cannot be canceled."""
    known = await _load(tx, submission, {"undoStatus"})
    if known is not None and known["undoStatus"] == "pending":
        await tx.update(TYPE, submission, {"undoStatus": "final"})


async def find(snapshot: Snapshot, envelope_id: str | None, message_id: str | None) -> Id | None:
    """The submission that a report is about, by its ENVID, which is the submission's id, or else by the
    Message-ID of what was sent: then the newest."""
    if is_id(envelope_id) and envelope_id is not None and await _load(snapshot, envelope_id, set()):
        return envelope_id
    if not message_id:
        return None
    newest = (Order("sendAt", ascending=False),)
    found = await snapshot.select(TYPE, Eq("messageId", message_id), newest, limit=1)
    return found[0] if found else None


async def add_report(
    tx: Transaction,
    submission: Id,
    blob_id: BlobId,
    kind: Literal["dsn", "mdn"],
    statuses: Mapping[str, DeliveryStatus],
) -> None:
    """Note a report that has come in, once, and what it says.

    Of a DSN: ``delivered`` "yes" for the Action delivered, "no" for failed; anything else leaves it as it is.
    Of an MDN: only ``displayed`` counts.
    """
    name = f"{kind}BlobIds"
    known = await _load(tx, submission, {"deliveryStatus", name})
    if known is None or blob_id in known[name]:
        return
    if kind == "dsn":
        said = {email: status for email, status in statuses.items() if status.delivered in _FINAL}
        merge = _later
    else:
        said = {email: status for email, status in statuses.items() if status.displayed == "yes"}
        merge = _displayed
    await _store(tx, known, said, merge, {name: [*known[name], blob_id]})


async def _load(snapshot: Snapshot, submission: Id, names: set[str]) -> JsonObject | None:
    found = await snapshot.get(TYPE, [submission], names)
    return found[0] if found else None


async def _store(
    tx: Transaction,
    known: JsonObject,
    statuses: Mapping[str, DeliveryStatus],
    merge: Callable[[DeliveryStatus, DeliveryStatus], DeliveryStatus],
    more: JsonObject,
) -> None:
    """Write what differs: hosts repeat themselves, and each change is told to every client."""
    old = known["deliveryStatus"] or {}
    new = dict(old)
    # Reports do not always keep the case of an address.
    names = {email.lower(): email for email in old}
    for email, status in statuses.items():
        name = email if email in old else names.get(email.lower())
        if name is not None:
            new[name] = msgspec.to_builtins(merge(msgspec.convert(new[name], DeliveryStatus), status))
    changed = more if new == old else {**more, "deliveryStatus": new}
    if changed:
        await tx.update(TYPE, known["id"], changed)


def _later(old: DeliveryStatus, new: DeliveryStatus) -> DeliveryStatus:
    if old.delivered in _FINAL:
        return old
    reply = new.smtp_reply or old.smtp_reply
    return structs.replace(old, smtp_reply=reply, delivered=new.delivered)


def _displayed(old: DeliveryStatus, new: DeliveryStatus) -> DeliveryStatus:
    return structs.replace(old, displayed=new.displayed)
