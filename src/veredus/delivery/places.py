"""The mailboxes of an account by the paths that scripts name them with (RFC 5228 §4.1, RFC 5490, RFC 8579).

A path is the names from the top down, with "/" between them; INBOX, in any case, is the inbox. A name may
have slashes itself: an existing mailbox is found however the path is to be read, and made level by level.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from veredus.mail.mailbox import MailboxLimits
from veredus.mail.mailbox_shape import ROLES
from veredus.mail.provision import create_mailbox, inbox
from veredus.ports import Snapshot, Transaction
from veredus.wire.types import Id, JsonObject

_MOST: Final = 1000
"""So many mailboxes scripts may make the account have: who writes subjects could name them all."""
_LONGEST_PATH: Final = 4096
_ASIDE: Final = ("junk", "trash")


class Wanted(Struct, frozen=True):
    """A mailbox as a script names it; see formats.sieve.outcome.FileInto."""

    path: str
    create: bool = False
    role: str | None = None
    id: Id | None = None


def role_of(use: str) -> str:
    r"""The role of a special use such as ``\Junk``."""
    return use.removeprefix("\\").lower()


class Places:
    """The mailboxes as of one moment; what ``mailbox_of`` makes is among them afterwards."""

    def __init__(self, records: Iterable[JsonObject]) -> None:
        self._ids: set[Id] = set()
        self._by_name: dict[tuple[Id | None, str], Id] = {}
        self._by_role: dict[str, Id] = {}
        for record in records:
            self._add(record["id"], record["parentId"], record["name"], record["role"])

    def _add(self, id: Id, parent: Id | None, name: str, role: str | None) -> None:
        self._ids.add(id)
        self._by_name.setdefault((parent, unicodedata.normalize("NFC", name)), id)
        if role is not None:
            self._by_role[role] = id

    @classmethod
    async def of(cls, snapshot: Snapshot) -> "Places":
        return cls(await snapshot.get("Mailbox", None, {"name", "parentId", "role"}))

    # ------------------------------------------------------------ for scripts that ask

    def exists(self, path: str) -> bool:
        return self.find(path) is not None

    def exists_id(self, id: str) -> bool:
        return id in self._ids

    def exists_special_use(self, use: str, path: str | None) -> bool:
        id = self._by_role.get(role_of(use))
        return id is not None and (path is None or self.find(path) == id)

    def find(self, path: str) -> Id | None:
        path = unicodedata.normalize("NFC", path)
        if len(path) > _LONGEST_PATH:
            return None
        first, slash, rest = path.partition("/")
        if first.upper() == "INBOX" and (box := self._by_role.get("inbox")) is not None:
            return self._below(box, rest) if slash else box
        return self._below(None, path)

    def _below(self, parent: Id | None, path: str) -> Id | None:
        found = self._by_name.get((parent, path))
        end = path.find("/")
        while found is None and end >= 0:
            child = self._by_name.get((parent, path[:end]))
            if child is not None:
                found = self._below(child, path[end + 1 :])
            end = path.find("/", end + 1)
        return found

    # ------------------------------------------------------------ for what is delivered

    async def mailbox_of(self, tx: Transaction, wanted: Wanted, limits: MailboxLimits) -> Id | None:
        """Where to; None: there is no such mailbox, and it was not to be made or cannot be."""
        found = self._existing(wanted)
        if found is None and wanted.create:
            found = await self._make(tx, wanted, limits)
        return found

    def is_aside(self, wanted: Wanted) -> bool:
        """Whether it is the mailbox for spam or for what is thrown away, or will be made to be."""
        found = self._existing(wanted)
        if found is None:
            return wanted.create and wanted.role in _ASIDE
        return any(self._by_role.get(role) == found for role in _ASIDE)

    def _existing(self, wanted: Wanted) -> Id | None:
        if wanted.id is not None and wanted.id in self._ids:
            return wanted.id
        if wanted.role is not None and wanted.role in self._by_role:
            return self._by_role[wanted.role]
        return self.find(wanted.path)

    async def inbox(self, tx: Transaction) -> Id:
        return self._by_role.get("inbox") or await inbox(tx)

    async def _make(self, tx: Transaction, wanted: Wanted, limits: MailboxLimits) -> Id | None:
        names = unicodedata.normalize("NFC", wanted.path).split("/")
        is_too_deep = limits.max_depth is not None and len(names) > limits.max_depth
        if is_too_deep or not all(_is_name(name, limits.max_name_size) for name in names):
            return None
        if len(self._ids) >= _MOST:
            return None
        parent: Id | None = None
        if len(names) > 1 and names[0].upper() == "INBOX":
            parent = await self.inbox(tx)
            del names[0]
        for number, name in enumerate(names, 1):
            below = self._by_name.get((parent, name))
            if below is None:
                role = wanted.role if number == len(names) and wanted.role in ROLES else None
                below = await create_mailbox(tx, name, parent=parent, role=role)
                self._add(below, parent, name, role)
            parent = below
        return parent


def _is_name(name: str, max_size: int) -> bool:
    """RFC 8621 §2, as Mailbox/set checks it."""
    return (
        bool(name.strip())
        and len(name.encode("utf-8", "replace")) <= max_size
        and not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name)
    )
