"""One stream of push for all the watchers of a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from veredus.client.errors import JMAPError
from veredus.client.push.signals import Changed, Connected, Lost, Poll, Signal

if TYPE_CHECKING:
    from veredus.client.push.push import Push
    from veredus.wire.types import Id


class Listener(Protocol):
    """Interested in one type of one account."""

    account: "Id"
    type: str

    def look(self, state: str | None) -> None:
        """There may be changes. ``state``: the newest; None: not known."""
        ...

    def connected(self) -> None:
        """The server is there, or there again."""
        ...

    def fail(self, error: JMAPError) -> None:
        """There will be no more signals."""
        ...


class Hub:
    """Listens while somebody is interested. All types are asked for: who comes later needs no new stream."""

    def __init__(self, push: "Push") -> None:
        self.push = push
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def joined(self, listener: Listener) -> AsyncIterator[None]:
        """The listener is told of changes until the block is left."""
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="watch-push")
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])

    async def _listen(self) -> None:
        try:
            async with aclosing(self.push.signals()) as signals:
                async for signal in signals:
                    self._tell(signal)
        except JMAPError as error:
            for listener in list(self._listeners):
                listener.fail(error)

    def _tell(self, signal: Signal) -> None:
        for listener in list(self._listeners):
            match signal:
                case Changed(changed):
                    state = changed.get(listener.account, {}).get(listener.type)
                    if state is not None:
                        listener.look(state)
                case Connected():
                    listener.connected()
                case Poll():
                    listener.look(None)
                case Lost():
                    pass  # when to look meanwhile, push says, too
