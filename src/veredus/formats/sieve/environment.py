"""What a script can ask of the world, passed in by whoever runs it: this package does no I/O."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from veredus.formats.sieve.script import Script

Location = Literal["personal", "global"]


class Mailboxes(Protocol):
    """The mailboxes of the recipient."""

    def exists(self, path: str) -> bool: ...

    def exists_id(self, id: str) -> bool: ...

    def exists_special_use(self, use: str, path: str | None) -> bool:
        """If there is a mailbox of that use, such as ``\\Junk``; with a path: if that one has it."""
        ...


class NoMailboxes:
    """Nothing but an inbox."""

    def exists(self, path: str) -> bool:
        return path.upper() == "INBOX"

    def exists_id(self, id: str) -> bool:
        return False

    def exists_special_use(self, use: str, path: str | None) -> bool:
        return False


def _no_script(name: str, location: Location) -> Script | None:
    return None


def _never_seen(key: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One delivery to one recipient.

    ``sender`` "": the null reverse-path. ``recipient``: the address in RCPT TO. ``include`` finds the script
    of a name, or None. ``is_duplicate``: if a Duplicate of this key was remembered and has not expired.
    ``items``: what ``environment`` tests, by name (RFC 5183 §4.1). ``own_addresses``: of the recipient, for
    vacation. ``max_steps``: tests and commands, those of included scripts too; what matches much text costs
    more. ``max_redirects``: addresses to redirect to, and notifications.
    """

    sender: str
    recipient: str
    now: datetime
    mailboxes: Mailboxes = field(default_factory=NoMailboxes)
    include: Callable[[str, Location], Script | None] = _no_script
    is_duplicate: Callable[[str], bool] = _never_seen
    items: Mapping[str, str] = field(default_factory=dict)
    subaddress_separator: str | None = "+"
    own_addresses: Collection[str] = ()
    max_steps: int = 10_000
    max_redirects: int = 5
