"""Messages out of one account, as they are stored; what is damaged is named and passed over."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from veredus.cli.sound import Sound
from veredus.conditions import EVERYTHING, Condition, Has, Order
from veredus.ports import Snapshot, Unavailable
from veredus.wire.types import BlobId, Id, JsonObject

if TYPE_CHECKING:
    from veredus.app import App

_PAGE = 100
# So many blobs that cannot be read one after another are no damage: the store is not there.
_MOST_IN_A_ROW = 20
_ALWAYS = frozenset({"blobId", "mailboxIds", "keywords", "receivedAt"})
_NEEDS = _ALWAYS | {"from"}


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
    """A message of which the record, or the bytes, cannot be read."""

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
        self._unread = 0
        self.ids: list[Id] = []
        # Mailboxes that cannot be read; Emails in them go by the Mailbox's id.
        self.damaged: list[Damaged] = []

    async def open(self) -> None:
        """Note which messages there are now; what comes later is not exported."""
        where: Condition = EVERYTHING if self._mailbox is None else Has("mailboxIds", self._mailbox)
        async with self._app.store.read(self._account) as snapshot:
            sound = Sound(snapshot)
            self._paths = await mailbox_paths(sound)
            self.damaged = _damaged(sound)
            self.ids = await snapshot.select("Email", where, (Order("receivedAt"),))

    async def messages(self) -> AsyncIterator[Outgoing | Damaged]:
        """What is damaged has its place among the others."""
        for start in range(0, len(self.ids), _PAGE):
            async with self._app.store.read(self._account) as snapshot:
                sound = Sound(snapshot)
                emails = await sound.get("Email", self.ids[start : start + _PAGE], _NEEDS)
            for damaged in _damaged(sound):
                yield damaged
            for email in emails:
                yield await self._message(email)

    async def _message(self, email: JsonObject) -> Outgoing | Damaged:
        where = f"Email {email['id']}, received {email.get('receivedAt')}"
        lacking = sorted(_ALWAYS - email.keys())
        if lacking:
            return Damaged(where, f"its record lacks {', '.join(lacking)}")
        data = await self._read(email["blobId"])
        if isinstance(data, str):
            return Damaged(where, data)
        authors = email.get("from") or [{}]
        return Outgoing(
            email["id"],
            data,
            [self._paths.get(id, (id,)) for id in email["mailboxIds"]],
            email["keywords"],
            datetime.fromisoformat(email["receivedAt"]),
            authors[0].get("email") or "MAILER-DAEMON",
        )

    async def _read(self, blob: BlobId) -> bytes | str:
        """The bytes, or what is wrong with them."""
        from veredus.app import id_of_blob

        try:
            data = await self._app.blobs.get(blob)
        except Unavailable as error:
            self._unread += 1
            if self._unread >= _MOST_IN_A_ROW:
                raise
            return f"its bytes cannot be read: {error} (blob {blob})"
        self._unread = 0
        if data is None:
            return f"its bytes are missing (blob {blob})"
        if id_of_blob(data) != blob:
            return f"its bytes are damaged: {len(data)} octets with another digest (blob {blob})"
        return data


def _damaged(sound: Sound) -> list[Damaged]:
    return [
        Damaged(f"{type} {id}", f"its record is damaged: {reason}")
        for (type, id), reason in sound.damaged.items()
    ]
