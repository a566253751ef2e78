"""What leaves an account: a record in it, written in the transaction that decides so.

The outgoing queue follows the log and takes it from there (``outgoing``); the record stays, and keeps the
message alive, until the last recipient's fate is known. To delete it before is to cancel.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct, field

from veredus.ports import Address, Snapshot, Table, Transaction
from veredus.wire.ids import new_id
from veredus.wire.types import BlobId, Id, JsonObject, UnsignedInt, UTCDate

TYPE = "Departure"
TABLE = Table(TYPE, blobs=("blobId",))

# Why it leaves. With the sender "" nobody is told of failures (RFC 5321 §4.5.5).
Origin = Literal["submission", "smtp", "redirect", "vacation", "notification", "reject", "report", "mdn"]


class Departure(Struct, frozen=True, rename="camel", kw_only=True):
    """A message with its envelope. ``submission``: the EmailSubmission whose deliveryStatus tells of it.

    ``is_held``: ``send_at`` was in the future, so that until then it can be canceled.
    """

    id: Id = field(default_factory=partial(new_id, "q"))
    sender: Address
    recipients: tuple[Address, ...]
    blob_id: BlobId
    size: UnsignedInt
    created_at: UTCDate
    send_at: UTCDate
    is_held: bool = False
    origin: Origin
    submission: Id | None = None


async def depart(tx: Transaction, departure: Departure) -> None:
    """Let a stored message leave with the commit of this transaction, or at its ``send_at``."""
    encoded: JsonObject = msgspec.to_builtins(departure)
    await tx.put(TYPE, encoded)


async def load(snapshot: Snapshot, ids: Sequence[Id] | None) -> list[Departure]:
    """Those that are there; None: all of the account."""
    return [msgspec.convert(record, Departure) for record in await snapshot.get(TYPE, ids)]


async def cancel(tx: Transaction, id: Id) -> bool:
    """Let it not leave; False: it is gone already, or was canceled."""
    found = await load(tx, [id])
    if not found or not found[0].is_held:
        return False
    await tx.delete(TYPE, id)
    return True
