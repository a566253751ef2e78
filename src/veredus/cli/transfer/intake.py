"""Messages into one account, a batch in each transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from veredus.cli.transfer.incoming import Incoming, Message
from veredus.conditions import Eq
from veredus.mail.email.admit import Prepared
from veredus.mail.provision import create_mailbox, inbox
from veredus.ports import Snapshot, Transaction
from veredus.schema import Changed
from veredus.wire.errors import SetError
from veredus.wire.ids import new_id
from veredus.wire.types import BlobId, Id, JsonObject

if TYPE_CHECKING:
    from veredus.app import App


class Full(Exception):
    """The quota of the account is used up."""


@dataclass(slots=True)
class Outcome:
    """What became of messages. ``refused``: where each was, and why it could not come in."""

    imported: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class Intake:
    """Writes into one account. ``skip_present``: what is in its Mailbox already is not stored again."""

    def __init__(self, app: "App", account: Id, *, skip_present: bool = False) -> None:
        self._app, self._account, self._skip_present = app, account, skip_present
        self._mailboxes: dict[tuple[str, ...], Id] = {}

    async def stage(self, batch: Sequence[Incoming]) -> list[tuple[Incoming, Message]]:
        """Store the bytes of messages, durably; gives what is left to parse and ``put``."""
        blobs = await asyncio.gather(
            *(self._app.blobs.put(one.data, max_size=len(one.data)) for one in batch)
        )
        wanted = [
            (one, Message(one.data, blob.id, one.received)) for one, blob in zip(batch, blobs, strict=True)
        ]
        if not self._skip_present:
            return wanted
        async with self._app.store.read(self._account) as snapshot:
            return [
                (one, message)
                for one, message in wanted
                if not await _is_present(snapshot, message.blob_id, one.mailbox)
            ]

    async def put(self, batch: Sequence[tuple[Incoming, Prepared | str]]) -> Outcome:
        """Store the records of staged messages together. Raises Full, and then none of them is kept."""
        outcome = Outcome()
        async with self._app.store.write(self._account) as tx:
            changed = []
            for incoming, prepared in batch:
                if isinstance(prepared, str):
                    outcome.refused.append((incoming.where, prepared))
                    continue
                try:
                    changed.append(Changed(None, await self._put(tx, incoming, prepared)))
                except SetError as error:
                    if error.type == "overQuota":
                        raise Full(error.description or "") from error
                    outcome.refused.append((incoming.where, error.description or error.type))
            await self._app.admission.finish(tx, changed)
        outcome.imported = len(changed)
        return outcome

    async def _put(self, tx: Transaction, incoming: Incoming, prepared: Prepared) -> JsonObject:
        email = prepared.email
        email["id"] = new_id("e")
        email["mailboxIds"] = {await self._mailbox(tx, incoming.mailbox): True}
        email["keywords"] = dict.fromkeys(sorted(incoming.keywords), True)
        await self._app.admission.admit(tx, email)
        await tx.put("Email", email, prepared.texts)
        return email

    async def _mailbox(self, tx: Transaction, path: tuple[str, ...]) -> Id:
        """The Mailbox of this path, made if it is missing; it may be removed while we are at work."""
        known = self._mailboxes.get(path)
        if known is None or not await tx.get("Mailbox", [known], frozenset()):
            known = self._mailboxes[path] = await _create(tx, path)
        return known


async def _create(tx: Transaction, path: tuple[str, ...]) -> Id:
    parent: Id | None = None
    for depth, name in enumerate(path):
        found = await _child(tx, parent, name)
        if found is None:
            is_inbox = depth == 0 and name.upper() == "INBOX"
            found = await inbox(tx) if is_inbox else await create_mailbox(tx, name, parent=parent)
        parent = found
    assert parent is not None, "a path has one name at least"
    return parent


async def _child(snapshot: Snapshot, parent: Id | None, name: str) -> Id | None:
    """The Mailbox of that name below ``parent``, else one whose name differs only in case.

    INBOX is the inbox, whatever its name (RFC 9051 §5.1).
    """
    if parent is None and name.upper() == "INBOX":
        return next(iter(await snapshot.select("Mailbox", Eq("role", "inbox"), limit=1)), None)
    siblings = await snapshot.get(
        "Mailbox", await snapshot.select("Mailbox", Eq("parentId", parent)), {"name"}
    )
    same = [box["id"] for box in siblings if box["name"] == name]
    alike = [box["id"] for box in siblings if box["name"].casefold() == name.casefold()]
    return next(iter(same + alike), None)


async def find_mailbox(snapshot: Snapshot, path: tuple[str, ...]) -> Id | None:
    """The Mailbox of this path, if there is one."""
    found: Id | None = None
    for name in path:
        found = await _child(snapshot, found, name)
        if found is None:
            return None
    return found


async def _is_present(snapshot: Snapshot, blob_id: BlobId, path: tuple[str, ...]) -> bool:
    ids = await snapshot.select("Email", Eq("blobId", blob_id))
    if not ids:
        return False
    mailbox = await find_mailbox(snapshot, path)
    return any(mailbox in email["mailboxIds"] for email in await snapshot.get("Email", ids, {"mailboxIds"}))
