"""Which Mailbox a search means by ``in:…``."""

from collections.abc import Iterable, Mapping
from typing import Any

from veredus.client.search.nodes import SearchError
from veredus.client.search.operators import one_of
from veredus.wire.types import Id

PROPERTIES = ("id", "name", "parentId", "role")
"""What ``Mailboxes`` reads of a Mailbox."""


class UnknownMailbox(SearchError):
    """No Mailbox, or more than one, is what ``in:`` says."""


class Mailboxes:
    """The Mailboxes of an account, as Mailbox/get gives them, with PROPERTIES at least."""

    def __init__(self, mailboxes: Iterable[Mapping[str, Any]] = ()) -> None:
        by_id = {mailbox["id"]: mailbox for mailbox in mailboxes}
        self._ids = set(by_id)
        self._roles: dict[str, Id] = {}
        self._paths: dict[str, Id] = {}
        self._names: dict[str, list[Id]] = {}
        for id, mailbox in by_id.items():
            if mailbox.get("role"):
                self._roles[mailbox["role"].casefold()] = id
            self._paths[_path(mailbox, by_id)] = id
            self._names.setdefault(mailbox["name"].casefold(), []).append(id)

    def find(self, wanted: str) -> Id:
        """By role; else by path, or a name that only one has, without case; else by id.

        Raises UnknownMailbox.
        """
        folded = wanted.casefold()
        if folded in self._roles:
            return self._roles[folded]
        if wanted in self._paths:
            return self._paths[wanted]
        found = [id for path, id in self._paths.items() if path.casefold() == folded]
        found = found or self._names.get(folded, [])
        if len(found) > 1:
            paths = sorted(path for path, id in self._paths.items() if id in found)
            raise UnknownMailbox(f"in:{wanted} may be {' or '.join(map(repr, paths))}: write the whole path")
        if found:
            return found[0]
        if wanted in self._ids:
            return wanted
        known = list(dict.fromkeys([*self._roles, *sorted(self._paths)]))
        raise UnknownMailbox(f"no Mailbox {wanted!r}: {one_of(wanted, known) if known else 'there are none'}")


def _path(mailbox: Mapping[str, Any], by_id: Mapping[Id, Mapping[str, Any]]) -> str:
    names: list[str] = []
    seen: set[Id] = set()
    at: Mapping[str, Any] | None = mailbox
    # A list read while Mailboxes moved may show a circle.
    while at is not None and at["id"] not in seen:
        seen.add(at["id"])
        names.append(at["name"])
        at = by_id.get(at.get("parentId") or "")
    return "/".join(reversed(names))
