"""Emails that leave a Mailbox because of what happens to the Mailbox, not to them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from veredus.mail.settle import NEEDS
from veredus.ports import Transaction
from veredus.schema import Changed
from veredus.wire.types import Id, JsonObject

# ``keep(tx, emails, now)`` lets destroyed Emails be restored for a while; see ``undelete``.
Keep: TypeAlias = Callable[[Transaction, Sequence[JsonObject], datetime], Awaitable[None]]
# ``keep(tx, changed, now)``: the same of what a /set has destroyed.
KeepChanged: TypeAlias = Callable[[Transaction, Sequence[Changed], datetime], Awaitable[None]]
# The properties that it reads, beside NEEDS.
KEEPS = frozenset({"blobId", "receivedAt", "subject", "from", "preview"})


async def take_out(
    tx: Transaction, mailbox: Id, ids: Sequence[Id], keep: Keep, now: datetime
) -> list[Changed]:
    """Take Emails out of a Mailbox; those that are in no other are destroyed and kept. To be settled."""
    changed = []
    gone = []
    for email in await tx.get("Email", ids, NEEDS | KEEPS):
        rest = {id: True for id in email["mailboxIds"] if id != mailbox}
        if rest:
            await tx.update("Email", email["id"], {"mailboxIds": rest})
            changed.append(Changed(email, {**email, "mailboxIds": rest}))
        else:
            await tx.delete("Email", email["id"])
            changed.append(Changed(email, None))
            gone.append(email)
    await keep(tx, gone, now)
    return changed
