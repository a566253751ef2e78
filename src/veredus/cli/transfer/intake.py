"""Messages into one account, a batch in each transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from veredus.cli.transfer.incoming import Incoming, Parsed
from veredus.conditions import Eq
from veredus.mail.provision import create_mailbox, inbox
from veredus.ports import Transaction
from veredus.schema import Changed
from veredus.wire.errors import SetError
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

if TYPE_CHECKING:
    from veredus.app import App


class Full(Exception):
    """The quota of the account is used up."""


@dataclass(slots=True)
class Outcome:
    """What became of messages. ``refused``: where each was, and why it could not come in."""

    imported: int = 0
    present: int = 0
    octets: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """``other`` happened, too; the reasons for refusals are told when they happen, and not kept."""
        self.imported += other.imported
        self.present += other.present
        self.octets += other.octets


class Intake:
    """Writes into one account. ``skip_present``: what is in its Mailbox already is not stored again."""

    def __init__(self, app: "App", account: Id, *, skip_present: bool = False) -> None:
        self._app, self._account, self._skip_present = app, account, skip_present
        self._mailboxes: dict[tuple[str, ...], Id] = {}

    async def put(self, batch: Sequence[Parsed]) -> Outcome:
        """Store messages: their bytes first, then all their records together. Raises Full, and then
        nothing of the batch is kept."""
        outcome = Outcome()
        good = [one for one in batch if one.prepared is not None]
        outcome.refused += [(one.incoming.where, one.refusal) for one in batch if one.prepared is None]
        data = {one.blob_id: one.incoming.data for one in good}
        await asyncio.gather(*(self._app.blobs.put(one, max_size=len(one)) for one in data.values()))
        async with self._app.store.write(self._account) as tx:
            changed = []
            for one in good:
                try:
                    email = await self._put(tx, one)
                except SetError as error:
                    if error.type == "overQuota":
                        raise Full(error.description or "") from error
                    outcome.refused.append((one.incoming.where, error.description or error.type))
                    continue
                if email is None:
                    outcome.present += 1
                else:
                    changed.append(Changed(None, email))
                    outcome.imported += 1
                    outcome.octets += email["size"]
            await self._app.admission.finish(tx, changed)
        return outcome

    async def _put(self, tx: Transaction, one: Parsed) -> JsonObject | None:
        """None: it is there already."""
        assert one.prepared is not None
        mailbox = await self._mailbox(tx, one.incoming.mailbox)
        if self._skip_present and await _is_present(tx, one.blob_id, mailbox):
            return None
        email = one.prepared.email
        email["id"] = new_id("e")
        email["mailboxIds"] = {mailbox: True}
        email["keywords"] = dict.fromkeys(sorted(one.incoming.keywords), True)
        await self._app.admission.admit(tx, email)
        await tx.put("Email", email, one.prepared.texts)
        return email

    async def _mailbox(self, tx: Transaction, path: tuple[str, ...]) -> Id:
        """The Mailbox of this path, made if it is missing."""
        known = self._mailboxes.get(path)
        if known is None or not await tx.get("Mailbox", [known], frozenset()):
            known = self._mailboxes[path] = await _find_or_create(tx, path)
        return known


async def _find_or_create(tx: Transaction, path: tuple[str, ...]) -> Id:
    parent: Id | None = None
    for depth, name in enumerate(path):
        if depth == 0 and name.upper() == "INBOX":  # case-insensitive, as in IMAP (RFC 9051 §5.1)
            parent = await inbox(tx)
            continue
        ids = await tx.select("Mailbox", Eq("parentId", parent))
        siblings = await tx.get("Mailbox", ids, {"name"})
        same = [box["id"] for box in siblings if box["name"] == name]
        alike = [box["id"] for box in siblings if box["name"].casefold() == name.casefold()]
        parent = next(iter(same + alike), None) or await create_mailbox(tx, name, parent=parent)
    assert parent is not None, "a path has one name at least"
    return parent


async def _is_present(tx: Transaction, blob_id: str, mailbox: Id) -> bool:
    ids = await tx.select("Email", Eq("blobId", blob_id))
    return any(mailbox in email["mailboxIds"] for email in await tx.get("Email", ids, {"mailboxIds"}))


def batches(incoming: Sequence[Incoming], size: int) -> list[Sequence[Incoming]]:
    """Slices of at most ``size`` messages."""
    return [incoming[start : start + size] for start in range(0, len(incoming), size)]
