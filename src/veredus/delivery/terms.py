"""What delivery is told of the outside: limits, names, and the parts that other layers bring."""

from typing import Literal, Protocol

from msgspec import Struct

from veredus.mail.mailbox import MailboxLimits
from veredus.reception import Envelope, Reply


class Inspected(Protocol):
    """What was found about a message: ``message`` is what to store, with ``fields`` to stand before it.

    ``reply`` says why it is refused, or put off.
    """

    @property
    def fields(self) -> bytes: ...
    @property
    def verdict(self) -> Literal["accept", "junk", "reject", "defer"]: ...
    @property
    def reply(self) -> Reply | None: ...
    @property
    def message(self) -> bytes: ...


class Inspector(Protocol):
    async def inspect(self, envelope: Envelope, message: bytes) -> Inspected:
        """Who sent it, and whether it is spam. Raises Unavailable."""
        ...


class Terms(Struct, frozen=True):
    """``can_send``: whether anything takes Departures; without it nothing is redirected or answered.

    ``max_hops``: Received fields of a message that runs in a circle (RFC 5321 §6.3). ``separator``: of
    sub-addresses (RFC 5233). ``mailboxes``: limits of those that scripts make.
    """

    hostname: str = "localhost"
    can_send: bool = True
    inspector: Inspector | None = None
    max_hops: int = 50
    max_redirects: int = 5
    max_steps: int = 10_000
    separator: str | None = "+"
    mailboxes: MailboxLimits = MailboxLimits()
