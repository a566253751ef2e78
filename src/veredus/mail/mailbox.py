"""Mailbox: a named set of Emails (RFC 8621 §2)."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from veredus.conditions import Condition, Eq, Has, Not, Order
from veredus.mail.mailbox_shape import CAPABILITY, COUNTERS, ROLES, Mailbox, rights
from veredus.mail.mailbox_tree import MailboxQueryArguments, MailboxQueryChangesArguments, rearrange, refine
from veredus.mail.removal import Keep, take_out
from veredus.mail.retention_rule import forget_rules
from veredus.mail.settle import Charge, Trash, settle
from veredus.ports import Snapshot, Transaction
from veredus.schema import (
    Access,
    Changed,
    Computed,
    DataType,
    Hooks,
    Unique,
    by,
    contains,
    equals,
)
from veredus.wire.arguments import SetArguments
from veredus.wire.errors import SetError
from veredus.wire.types import Id, JsonObject


class MailboxLimits(Struct, frozen=True):
    """Limits of the mail capability on mailboxes (§1.3.1); None: no limit."""

    max_depth: int | None = 20
    max_name_size: int = 490


class MailboxSetArguments(SetArguments, kw_only=True):
    """Mailbox/set (§2.5)."""

    on_destroy_remove_emails: bool = False


async def _my_rights(
    ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], arguments: object
) -> list[Mapping[str, Any]]:
    may_write = ctx.account.access == "write" and ctx.identity.scope == "write"
    return [{"myRights": rights(may_write, is_inbox=record.get("role") == "inbox")} for record in records]


def _has_any_role(value: Any) -> Condition:
    if not isinstance(value, bool):
        raise ValueError("must be a boolean")
    return Not(Eq("role", None)) if value else Eq("role", None)


class MailboxHooks(Hooks):
    """What the shape of a Mailbox cannot say."""

    def __init__(self, limits: MailboxLimits, charge: Charge, keep: Keep) -> None:
        self._limits, self._charge, self._keep = limits, charge, keep

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        self._check_own(record)
        await self._check_place(tx, record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        self._check_own(new)
        if old["role"] == "inbox" and new["role"] != "inbox":
            raise SetError.forbidden("The inbox keeps its role: mail is delivered to it.")
        if old["parentId"] != new["parentId"]:
            await self._check_place(tx, new, await self._levels_below(tx, new["id"]))

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        if old["role"] == "inbox":
            raise SetError.forbidden("The inbox stays: mail is delivered to it.")
        if await tx.count("Mailbox", Eq("parentId", old["id"])):
            raise SetError("mailboxHasChild")
        assert isinstance(arguments, MailboxSetArguments)
        if not arguments.on_destroy_remove_emails and await tx.count("Email", Has("mailboxIds", old["id"])):
            raise SetError("mailboxHasEmail")

    async def after(
        self, ctx: Access, tx: Transaction, changed: Sequence[Changed], arguments: SetArguments
    ) -> None:
        """Take the Emails out of destroyed mailboxes; those in no other mailbox are destroyed (§2.5)."""
        emails = []
        for change in changed:
            if change.new is None and change.old is not None:
                mailbox = change.old["id"]
                ids = await tx.select("Email", Has("mailboxIds", mailbox))
                emails += await take_out(tx, mailbox, ids, self._keep, ctx.now())
                await forget_rules(tx, mailbox)
        trash = await _trash(tx, changed)
        if emails or trash.was != trash.now:
            await settle(tx, emails, self._charge, trash if trash.was != trash.now else None)

    def _check_own(self, record: JsonObject) -> None:
        name = unicodedata.normalize("NFC", record["name"])
        if not name.strip() or any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in name):
            raise SetError.invalid_properties(["name"], "Empty, or with control characters (RFC 5198).")
        if len(name.encode()) > self._limits.max_name_size:
            raise SetError.invalid_properties(["name"], f"Longer than {self._limits.max_name_size} octets.")
        record["name"] = name
        role = record["role"]
        if role is not None and role not in ROLES:
            raise SetError.invalid_properties(["role"], "Not a registered role in lower case.")
        if record["sortOrder"] >= 2**31:
            raise SetError.invalid_properties(["sortOrder"], "Must be less than 2^31.")

    async def _levels_below(self, tx: Transaction, id: Id) -> int:
        """How deep the tree below a mailbox is."""
        if self._limits.max_depth is None:
            return 0
        levels, ids = -1, [id]
        while ids and levels <= self._limits.max_depth:
            levels += 1
            ids = [child for parent in ids for child in await tx.select("Mailbox", Eq("parentId", parent))]
        return levels

    async def _check_place(self, tx: Transaction, record: JsonObject, levels_below: int = 0) -> None:
        """The parent exists, is no descendant, and is not too deep (§2)."""
        depth = 1 + levels_below
        parent: Id | None = record["parentId"]
        while parent is not None:
            depth += 1
            found = await tx.get("Mailbox", [parent], {"parentId"})
            if not found or parent == record["id"]:
                raise SetError.invalid_properties(["parentId"], "No such mailbox, or one below this one.")
            if self._limits.max_depth is not None and depth > self._limits.max_depth:
                raise SetError.invalid_properties(
                    ["parentId"], f"Deeper than {self._limits.max_depth} levels."
                )
            parent = found[0]["parentId"]


async def _trash(tx: Transaction, changed: Sequence[Changed]) -> Trash:
    """Which mailbox was the trash before these changes, and which is now."""
    before: dict[Id, str | None] = {}
    for change in changed:
        if change.old is not None:
            before.setdefault(change.old["id"], change.old["role"])
        elif change.new is not None:
            before.setdefault(change.new["id"], None)
    now = next(iter(await tx.select("Mailbox", Eq("role", "trash"))), None)
    was = next((id for id, role in before.items() if role == "trash"), None)
    return Trash(now if was is None and now not in before else was, now)


def mailbox_type(limits: MailboxLimits, charge: Charge, keep: Keep) -> DataType:
    """The Mailbox data type."""
    return DataType(
        name="Mailbox",
        capability=CAPABILITY,
        shape=Mailbox,
        prefix="m",
        methods=("get", "changes", "set", "query", "queryChanges"),
        filters={
            "parentId": equals("parentId"),
            "name": contains("name"),
            "role": equals("role"),
            "hasAnyRole": _has_any_role,
            "isSubscribed": equals("isSubscribed"),
        },
        sorts={"sortOrder": by("sortOrder"), "name": by("name", "i;unicode-casemap")},
        default_sort=(Order("sortOrder"), Order("name", collation="i;unicode-casemap")),
        hooks=MailboxHooks(limits, charge, keep),
        computed=(Computed(("myRights",), ("role",), _my_rights),),
        unique=(Unique(("parentId", "name")), Unique(("role",))),
        volatile=frozenset(COUNTERS),
        set_arguments=MailboxSetArguments,
        query_arguments=MailboxQueryArguments,
        query_changes_arguments=MailboxQueryChangesArguments,
        refine=refine,
        rearrange=rearrange,
    )
