"""One StateChange on its way to all subscribers who see the same."""

from collections.abc import Callable
from functools import cached_property

from veredus.push import position as positions
from veredus.push.position import Position
from veredus.wire.push import StateChange


class Event:
    """A change, and where a subscriber stands once it has been told. Encoded once for each transport."""

    def __init__(self, change: StateChange, position: Position) -> None:
        self.change = change
        self.position = position
        self._encoded: dict[Callable[[Event], bytes], bytes] = {}

    @cached_property
    def id(self) -> str:
        """The position as text: the id of an event, the pushState of a StateChange."""
        return positions.encode(self.position)

    def encoded(self, encode: "Callable[[Event], bytes]") -> bytes:
        """What ``encode`` makes of this event; it is asked once, so it must be a function, not a closure."""
        found = self._encoded.get(encode)
        if found is None:
            found = self._encoded[encode] = encode(self)
        return found
