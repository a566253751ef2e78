"""RetentionRule: how long Emails stay in a Mailbox (docs/undelete.md). An extension of our own.

The days count from when a rule first finds an Email in its Mailbox, and not from receivedAt: what is moved to
the trash is not destroyed within the hour because it came a year ago, nor is a whole archive on the day that
somebody makes a rule for it.
"""

from typing import Final

from veredus.conditions import Eq
from veredus.ports import Table, Transaction
from veredus.schema import Access, DataType, Hooks, Immutable, Indexed, Object, ServerSet, SetError, Unique
from veredus.wire.types import Id, JsonObject

CAPABILITY = "urn:veredus:jmap:retention"
TYPE = "RetentionRule"
_MOST_DAYS: Final = 36_600
# When a rule first found an Email in its Mailbox: {"id", "mailboxId", "emailId", "at": UTCDate}.
FOUND = Table("RetentionFound", order="at", scalars=("mailboxId",), logged=False)


class RetentionRule(Object, kw_only=True):
    """Emails leave the Mailbox after so many days in it."""

    id: ServerSet[Id]
    mailbox_id: Immutable[Indexed[Id]]
    days: int


class _RuleHooks(Hooks):
    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        if not await tx.get("Mailbox", [record["mailboxId"]], frozenset()):
            raise SetError.invalid_properties(["mailboxId"], "No such Mailbox.")
        _check_days(record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        _check_days(new)


def _check_days(record: JsonObject) -> None:
    if not 1 <= record["days"] <= _MOST_DAYS:
        raise SetError.invalid_properties(["days"], f"Must be 1 to {_MOST_DAYS:,}.")


async def forget_rules(tx: Transaction, mailbox: Id) -> None:
    """The Mailbox is destroyed, and its rule with it."""
    for id in await tx.select(TYPE, Eq("mailboxId", mailbox)):
        await tx.delete(TYPE, id)


RETENTION_RULE = DataType(
    name=TYPE,
    capability=CAPABILITY,
    shape=RetentionRule,
    prefix="r",
    methods=("get", "changes", "set"),
    hooks=_RuleHooks(),
    unique=(Unique(("mailboxId",)),),
)
