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

_AT_ONCE = 500


async def take_out(
    tx: Transaction, mailbox: Id, ids: Sequence[Id], keep: Keep, now: datetime
) -> list[Changed]:
    """Take Emails out of a Mailbox; those that are in no other are destroyed and kept. To be settled."""
    changed = []
    for start in range(0, len(ids), _AT_ONCE):
        gone = []
        for email in await tx.get("Email", ids[start : start + _AT_ONCE], NEEDS | KEEPS):
            # Of a hundred thousand Emails no more is to stay in memory.
            old = {name: email[name] for name in ("id", *NEEDS)}
            rest = {id: True for id in email["mailboxIds"] if id != mailbox}
            if rest:
                await tx.update("Email", email["id"], {"mailboxIds": rest})
                changed.append(Changed(old, {**old, "mailboxIds": rest}))
            else:
                await tx.delete("Email", email["id"])
                changed.append(Changed(old, None))
                gone.append(email)
        await keep(tx, gone, now)
    return changed
