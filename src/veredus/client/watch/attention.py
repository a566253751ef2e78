"""When to look at /changes of one type."""

import asyncio

from veredus.client.errors import JMAPError
from veredus.client.watch.patience import Patience
from veredus.wire.types import Id


class Attention:
    """A hub's Listener. ``news``: an event to share with others; else it has its own."""

    def __init__(self, account: Id, type: str, patience: Patience, news: asyncio.Event | None = None) -> None:
        self.account, self.type = account, type
        self._patience = patience
        self._state: str | None = None
        self._news = news or asyncio.Event()
        self._error: JMAPError | None = None
        self.is_due = True

    def look(self, state: str | None) -> None:
        if state is None or state != self._state:
            self.is_due = True
            self._news.set()

    def connected(self) -> None:
        self._patience.connected()
        self.look(None)

    def fail(self, error: JMAPError) -> None:
        self._error = error
        self._news.set()

    def looking(self, state: str | None) -> None:
        """What is told from now on is not known yet."""
        self._news.clear()
        self.is_due = False
        self._state = state

    def reached(self, state: str | None) -> None:
        """Signals of this state are no news."""
        self._state = state

    async def wait(self) -> None:
        """Until there may be something. Raises what ended push."""
        if self._error is None:
            await self._news.wait()
        if self._error is not None:
            raise self._error
