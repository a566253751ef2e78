"""What is acknowledged, and how far the cursor may move because of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable


class Entry:
    """One page: ``open`` events are not acknowledged; ``state``: to save when none is left, if not None."""

    __slots__ = ("_ledger", "open", "state")

    def __init__(self, ledger: "Ledger", events: int, state: str | None) -> None:
        self._ledger, self.open, self.state = ledger, events, state

    async def acked(self) -> None:
        """One more event is done with."""
        self.open -= 1
        if not self.open:
            await self._ledger.settle()


class Ledger:
    """The pages of one type, in order. ``save`` makes a state durable; it is never called twice at a time."""

    def __init__(self, save: Callable[[str], Awaitable[None]]) -> None:
        self._save = save
        self._entries: deque[Entry] = deque()
        self._unsaved: str | None = None
        self._saving = asyncio.Lock()

    def add(self, events: int, state: str | None) -> Entry:
        entry = Entry(self, events, state)
        self._entries.append(entry)
        return entry

    async def settle(self) -> None:
        """Save the state behind the last page that has no page before it with something left to do."""
        async with self._saving:
            while self._entries and not self._entries[0].open:
                self._unsaved = self._entries.popleft().state or self._unsaved
            # Kept until it is saved: a save that failed or was cancelled is made up for by the next.
            if self._unsaved is not None:
                await self._save(self._unsaved)
                self._unsaved = None
