"""What a new account has: the mailboxes with a role (RFC 8621 §2)."""

from veredus.conditions import Eq
from veredus.mail.mailbox_shape import COUNTERS
from veredus.ports import Transaction
from veredus.wire.ids import new_id
from veredus.wire.types import Id

# Role, name, sort order.
MAILBOXES = (
    ("inbox", "Inbox", 1),
    ("drafts", "Drafts", 2),
    ("sent", "Sent", 3),
    ("archive", "Archive", 4),
    ("junk", "Junk", 5),
    ("trash", "Trash", 6),
)


async def provision(tx: Transaction) -> None:
    """Make the mailboxes that are missing."""
    for role, name, sort_order in MAILBOXES:
        if not await tx.select("Mailbox", Eq("role", role)):
            await create_mailbox(tx, name, role=role, sort_order=sort_order)


async def create_mailbox(
    tx: Transaction, name: str, *, parent: Id | None = None, role: str | None = None, sort_order: int = 10
) -> Id:
    """An empty mailbox."""
    id = new_id("m")
    await tx.put(
        "Mailbox",
        {
            "id": id,
            "name": name,
            "parentId": parent,
            "role": role,
            "sortOrder": sort_order,
            "isSubscribed": True,
            **dict.fromkeys(COUNTERS, 0),
        },
    )
    return id


async def inbox(tx: Transaction) -> Id:
    """The mailbox to which mail is delivered, made if it is missing."""
    found = await tx.select("Mailbox", Eq("role", "inbox"), limit=1)
    return found[0] if found else await create_mailbox(tx, "Inbox", role="inbox", sort_order=1)
