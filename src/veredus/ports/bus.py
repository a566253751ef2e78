"""Hints that an account has changed."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from veredus.wire.types import Id


class Hint(Struct, frozen=True):
    """That an account has changed: the new state of each type concerned.

    ``after``: the highest modseq of the account before. Whoever knows an older one has missed something.
    """

    account: Id
    after: int
    states: Mapping[str, int]


# Called in the event loop; must neither wait nor raise. None: hints may have been lost.
ReceiveHint: TypeAlias = Callable[[Hint | None], None]


class HintSubscription(Protocol):
    """Whose hints one receiver gets; nobody's at first."""

    async def add(self, account: Id) -> None:
        """Once this returns, the hint of every later commit is passed on."""
        ...

    def discard(self, account: Id) -> None: ...

    async def close(self) -> None: ...


class BusCounts(Struct):
    """For metrics: hints that were given to the bus, that it could not carry, and that came from other
    processes; ``lost``: how often receivers had to be told that some may be missing."""

    connected: bool
    published: int = 0
    dropped: int = 0
    received: int = 0
    lost: int = 0


class EventBus(Protocol):
    """Carries hints from those who commit to those who push: best effort, the log is the truth (ADR 0004)."""

    def publish(self, hint: Hint) -> None:
        """After the commit. Neither waits nor raises; what cannot be carried is lost."""
        ...

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        """``receive`` gets the hints of accounts that are added, those published here too.

        It gets None when some may have been lost: after that, only what the store says is current.
        """
        ...

    def trouble(self) -> str | None:
        """What is wrong with the bus, for people; None when nothing is."""
        ...

    def counts(self) -> BusCounts: ...

    async def close(self) -> None: ...
