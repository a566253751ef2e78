"""Messages out of one account, as they are stored; what is damaged is named and passed over."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from veredus.conditions import EVERYTHING, Condition, Has, Order
from veredus.ports import Snapshot
from veredus.wire.types import Id, JsonObject

if TYPE_CHECKING:
    from veredus.app import App

_PAGE = 100
_NEEDS = frozenset({"blobId", "size", "mailboxIds", "keywords", "receivedAt", "from"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A stored message. ``mailboxes``: the path of each Mailbox it is in."""

    id: Id
    data: bytes
    mailboxes: Sequence[tuple[str, ...]]
    keywords: Mapping[str, object]
    received: datetime
    # The address of its first author, for From_ lines.
    author: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message that is recorded, but whose bytes are not there."""

    where: str
    reason: str


async def mailbox_paths(snapshot: Snapshot) -> dict[Id, tuple[str, ...]]:
    """The names from the top down of every Mailbox; the inbox is INBOX."""
    boxes = {box["id"]: box for box in await snapshot.get("Mailbox", None)}
    paths: dict[Id, tuple[str, ...]] = {}
    for id in boxes:
        names: list[str] = []
        step: Id | None = id
        while step is not None and step in boxes and len(names) <= len(boxes):
            box = boxes[step]
            names.append("INBOX" if box["role"] == "inbox" and box["parentId"] is None else box["name"])
            step = box["parentId"]
        paths[id] = tuple(reversed(names))
    return paths


class Outlet:
    """The messages of an account, or of one Mailbox, oldest first. ``ids`` is set by ``open``."""

    def __init__(self, app: "App", account: Id, mailbox: Id | None) -> None:
        self._app, self._account, self._mailbox = app, account, mailbox
        self._paths: dict[Id, tuple[str, ...]] = {}
        self.ids: list[Id] = []

    async def open(self) -> None:
        """Note which messages there are now; what comes later is not exported."""
        where: Condition = EVERYTHING if self._mailbox is None else Has("mailboxIds", self._mailbox)
        async with self._app.store.read(self._account) as snapshot:
            self._paths = await mailbox_paths(snapshot)
            self.ids = await snapshot.select("Email", where, (Order("receivedAt"),))

    async def messages(self) -> AsyncIterator[Outgoing | Damaged]:
        for start in range(0, len(self.ids), _PAGE):
            async with self._app.store.read(self._account) as snapshot:
                emails = await snapshot.get("Email", self.ids[start : start + _PAGE], _NEEDS)
            for email in emails:
                yield await self._message(email)

    async def _message(self, email: JsonObject) -> Outgoing | Damaged:
        where = f"Email {email['id']}, received {email['receivedAt']}"
        data = await self._app.blobs.get(email["blobId"])
        if data is None:
            return Damaged(where, f"its bytes are missing (blob {email['blobId']})")
        if len(data) != email["size"]:
            return Damaged(where, f"{len(data)} octets are stored, but it had {email['size']}")
        authors = email.get("from") or [{}]
        return Outgoing(
            email["id"],
            data,
            [self._paths.get(id, (id,)) for id in email["mailboxIds"]],
            email["keywords"],
            datetime.fromisoformat(email["receivedAt"]),
            authors[0].get("email") or "MAILER-DAEMON",
        )
