"""What a test tells the peer to do: see ``peer``."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    HANG = "nothing more is said, and the connection stays open"
    STALL = "the same, and nothing is read"
    DROP = "the connection is reset"
    CLOSE = "the connection is closed in good order"


HANG, STALL, DROP, CLOSE = Fault.HANG, Fault.STALL, Fault.DROP, Fault.CLOSE


@dataclass(frozen=True)
class Last:
    """A reply, and the connection is closed after it."""

    reply: str


@dataclass(frozen=True)
class Slow:
    """The reply in pieces, ``pause_s`` between them."""

    reply: str
    pause_s: float = 0.02


Action = str | bytes | Fault | Last | Slow


@dataclass
class Rule:
    moment: str
    action: Action
    contains: str
    connection: int | None
    message: int | None
    times: int | None

    def fits(self, moment: str, line: str, connection: int, message: int) -> bool:
        return (
            self.moment == moment
            and self.contains in line
            and self.connection in (None, connection)
            and self.message in (None, message)
            and self.times != 0
        )


def on(
    moment: str,
    action: Action,
    *,
    contains: str = "",
    connection: int | None = None,
    message: int | None = None,
    times: int | None = None,
) -> Rule:
    """``connection`` and ``message`` (the MAIL commands of all connections) count from 1; ``times``: at most."""
    return Rule(moment, action, contains, connection, message, times)
