"""What delivery is told of the outside: limits, names, and the parts that other layers bring."""

from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from veredus.mail.mailbox import MailboxLimits
from veredus.reception import Envelope

# "here": accounts of this server.
Reach: TypeAlias = Literal["everybody", "here", "nobody"]


class Inspected(Protocol):
    """What was found about a message: ``message`` is what to store, with ``fields`` to stand before it.

    ``reply``: code, enhanced code and text for one that is refused or put off.
    """

    @property
    def fields(self) -> bytes: ...
    @property
    def verdict(self) -> Literal["accept", "junk", "reject", "defer"]: ...
    @property
    def reply(self) -> tuple[int, str, str] | None: ...
    @property
    def message(self) -> bytes: ...


class Inspector(Protocol):
    async def inspect(self, envelope: Envelope, message: bytes) -> Inspected:
        """Who sent it, and whether it is spam. Raises Unavailable."""
        ...


class Terms(Struct, frozen=True):
    """``reach``: to whom Departures get. Whom nothing gets to is not redirected to, nor answered.

    ``inspector``: None: nothing is looked at, nor how often a message has been here. ``separator``: of
    sub-addresses (RFC 5233). ``mailboxes``: limits of those that scripts make.
    """

    hostname: str = "localhost"
    reach: Reach = "nobody"
    inspector: Inspector | None = None
    max_redirects: int = 5
    max_steps: int = 10_000
    separator: str | None = "+"
    mailboxes: MailboxLimits = MailboxLimits()
