"""The Mailbox object (RFC 8621 §2): shape and rights."""

from typing import Any

from veredus.schema import Indexed, Live, Object, ServerSet
from veredus.wire.types import Id, UnsignedInt

CAPABILITY = "urn:ietf:params:jmap:mail"

# IANA "IMAP Mailbox Name Attributes" in lower case (§2), those of RFC 9979 among them.
ROLES = frozenset(
    "all archive drafts flagged important inbox junk memos scheduled sent snoozed subscribed trash".split()
)

COUNTERS = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")


class Mailbox(Object, kw_only=True):
    """Properties of a Mailbox (§2) that are stored."""

    id: ServerSet[Id]
    name: Indexed[str]
    parent_id: Indexed[Id | None] = None
    role: Indexed[str | None] = None
    sort_order: UnsignedInt = 0
    total_emails: ServerSet[Live[UnsignedInt]] = 0
    unread_emails: ServerSet[Live[UnsignedInt]] = 0
    total_threads: ServerSet[Live[UnsignedInt]] = 0
    unread_threads: ServerSet[Live[UnsignedInt]] = 0
    # §2: true for what the user has made.
    is_subscribed: bool = True


def rights(may_write: bool, *, is_inbox: bool) -> dict[str, Any]:
    """MailboxRights (§2) of someone who may change the account, or may only read it."""
    return {
        "mayReadItems": True,
        "mayAddItems": may_write,
        "mayRemoveItems": may_write,
        "maySetSeen": may_write,
        "maySetKeywords": may_write,
        "mayCreateChild": may_write,
        "mayRename": may_write,
        # Mail is delivered to the inbox: it stays.
        "mayDelete": may_write and not is_inbox,
        "maySubmit": may_write,
    }
