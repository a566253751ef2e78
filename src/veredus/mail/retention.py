"""What maintenance does with the mail of all accounts: retention rules, and an end for what is kept."""

from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from veredus.conditions import All, Eq, Has, Range
from veredus.mail import undelete
from veredus.mail.removal import take_out
from veredus.mail.retention_rule import FOUND
from veredus.mail.retention_rule import TYPE as RULE
from veredus.mail.settle import Charge, settle
from veredus.mail.undelete import Undelete
from veredus.ports import Lease, Snapshot, Store
from veredus.wire.dates import utc_date
from veredus.wire.ids import new_id
from veredus.wire.types import MAX_INT, Id, JsonObject

log = structlog.get_logger()

# So much is changed in one transaction: others of the account wait for it.
_AT_ONCE = 200


class Retention:
    """One round at a time, under the lease of maintenance."""

    def __init__(self, store: Store, kept: Undelete, charge: Charge) -> None:
        self._store, self._kept, self._charge = store, kept, charge

    async def round(self, lease: Lease, now: datetime) -> None:
        """Apply all rules, then forget what was kept long enough. Raises LeaseLost, Unavailable."""
        removed = forgotten = 0
        for account in await self._store.accounts():
            async with self._store.read(account) as snapshot:
                rules = await snapshot.get(RULE, None)
                has_found = bool(rules) or bool(await snapshot.select(FOUND.name, limit=1))
            if has_found:
                removed += await self._apply(account, rules, lease, now)
            forgotten += await self._forget(account, lease, now)
        if removed or forgotten:
            log.info("retention done", removed=removed, forgotten=forgotten)

    async def _apply(self, account: Id, rules: list[JsonObject], lease: Lease, now: datetime) -> int:
        removed = 0
        for rule in rules:
            await self._find(account, rule["mailboxId"], lease, now)
            removed += await self._remove(account, rule, lease, now)
        await self._forget_others(account, {rule["mailboxId"] for rule in rules}, lease)
        return removed

    async def _find(self, account: Id, mailbox: Id, lease: Lease, now: datetime) -> None:
        """Note what is new in a Mailbox, and forget what has left it."""
        async with self._store.read(account) as snapshot:
            present = await snapshot.select("Email", Has("mailboxIds", mailbox))
            known = await snapshot.get(FOUND.name, await _notes(snapshot, mailbox), {"emailId"})
        noted = {note["emailId"] for note in known}
        new = [email for email in present if email not in noted]
        gone = noted.difference(present)
        await self._delete(account, [note["id"] for note in known if note["emailId"] in gone], lease)
        for start in range(0, len(new), _AT_ONCE):
            async with self._store.write(account, lease) as tx:
                for email in new[start : start + _AT_ONCE]:
                    note = {"id": new_id("n"), "mailboxId": mailbox, "emailId": email, "at": utc_date(now)}
                    await tx.put(FOUND.name, note)

    async def _remove(self, account: Id, rule: JsonObject, lease: Lease, now: datetime) -> int:
        """Take out what was found in the Mailbox that many days ago."""
        mailbox, removed = rule["mailboxId"], 0
        due = All((Eq("mailboxId", mailbox), Range("at", below=utc_date(now - timedelta(days=rule["days"])))))
        while True:
            async with self._store.write(account, lease) as tx:
                # The user may have changed the rule meanwhile.
                if await tx.get(RULE, [rule["id"]]) != [rule]:
                    return removed
                notes = await tx.get(FOUND.name, await tx.select(FOUND.name, due, limit=_AT_ONCE))
                emails = await tx.get("Email", [note["emailId"] for note in notes], {"mailboxIds"})
                ids = [email["id"] for email in emails if mailbox in email["mailboxIds"]]
                changed = await take_out(tx, mailbox, ids, self._kept.keep, now)
                for note in notes:
                    await tx.delete(FOUND.name, note["id"])
                await settle(tx, changed, self._charge)
            removed += len(changed)
            if len(notes) < _AT_ONCE:
                return removed

    async def _forget_others(self, account: Id, mailboxes: Collection[Id], lease: Lease) -> None:
        """The notes of rules that are no more."""
        async with self._store.read(account) as snapshot:
            notes = await snapshot.get(FOUND.name, None, {"mailboxId"})
        await self._delete(
            account, [note["id"] for note in notes if note["mailboxId"] not in mailboxes], lease
        )

    async def _delete(self, account: Id, notes: list[Id], lease: Lease) -> None:
        for start in range(0, len(notes), _AT_ONCE):
            async with self._store.write(account, lease) as tx:
                for id in notes[start : start + _AT_ONCE]:
                    await tx.delete(FOUND.name, id)

    async def _forget(self, account: Id, lease: Lease, now: datetime) -> int:
        """End the DestroyedEmails whose time is over, or that take more room than the account's mail may."""
        forgotten = 0
        while True:
            async with self._store.read(account) as snapshot:
                ids = await undelete.overdue(snapshot, now - self._kept.life, await _room(snapshot))
            if not ids:
                return forgotten
            async with self._store.write(account, lease) as tx:
                there = await tx.get(undelete.TYPE, ids, frozenset())
                for record in there:
                    await tx.delete(undelete.TYPE, record["id"])
            forgotten += len(there)


async def _notes(snapshot: Snapshot, mailbox: Id) -> list[Id]:
    return await snapshot.select(FOUND.name, Eq("mailboxId", mailbox))


async def _room(snapshot: Snapshot) -> int | None:
    """What the account's mail may take, in octets; None: no limit."""
    quotas = await snapshot.get("Quota", ["octets"], {"hardLimit"})
    if not quotas or quotas[0]["hardLimit"] == MAX_INT:
        return None
    limit: int = quotas[0]["hardLimit"]
    return limit
