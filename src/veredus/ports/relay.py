"""Handing messages on to other hosts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct


class Address(Struct, frozen=True):
    """An address of an envelope, and the parameters of its MAIL or RCPT command (RFC 8621 §7).

    ``email`` is empty for the null reverse-path. A parameter without a value is null; xtext is decoded.
    """

    email: str
    parameters: Mapping[str, str | None] | None = None


class Parcel(Struct, frozen=True):
    """A message on its way: ``data`` ends its lines in CRLF and has no trace fields of the next host."""

    sender: Address
    recipients: Sequence[Address]
    data: bytes


class Fate(Struct, frozen=True):
    """What became of one recipient.

    relayed: the next host has taken it. later: a temporary failure. failed: for good. unknown: the connection
    broke after the text and before its answer, so that the next host may have it.
    ``reply`` is one line, as RFC 8621 §7 (smtpReply) folds it; ``host``: who said so, "" when nobody did.
    ``reports``: the host has DSN (RFC 3461), so that it tells the sender of success by itself.
    """

    kind: Literal["relayed", "later", "failed", "unknown"]
    reply: str
    host: str = ""
    reports: bool = False


class Unreachable(Exception):
    """No host of the destination could be asked about anybody; the text is a line in the form of a reply.

    ``is_final``: it is of no use to try again (the domain does not exist, or takes no mail: RFC 7505).
    """

    def __init__(self, reply: str, *, is_final: bool = False) -> None:
        super().__init__(reply)
        self.is_final = is_final


# Awaited with the recipients that were accepted, before the first octet of the text: whoever dies after it
# cannot know whether they have got it. There may be several texts in one attempt.
BeforeText: TypeAlias = Callable[[Sequence[str]], Awaitable[None]]


class Relay(Protocol):
    """Hands messages on (RFC 5321 §5)."""

    def destination(self, address: str) -> str:
        """What addresses whose mail goes to the same hosts have in common: the domain in lower case, or the
        name of the smart host."""
        ...

    async def send(
        self, destination: str, parcel: Parcel, before_text: BeforeText | None = None
    ) -> Mapping[str, Fate]:
        """One attempt at all recipients of a parcel, who must have this destination; the fate of each.

        Raises Unreachable; any exception of ``before_text`` ends the attempt and passes on.
        """
        ...

    async def close(self) -> None:
        """End the connections that were kept."""
        ...
