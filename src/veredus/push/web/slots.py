"""How many requests are under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Slots:
    """So many in all, and so many of one user: whose URLs are slow holds up nobody else's."""

    def __init__(self, most: int, most_of_user: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_of_user = most_of_user
        # Kept by those who have a slot, or wait for one.
        self._users: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one(self, user: str) -> AsyncIterator[None]:
        """A slot, as soon as there is one."""
        own = self._users.get(user)
        if own is None:
            own = self._users[user] = asyncio.Semaphore(self._most_of_user)
        async with own, self._all:
            yield
