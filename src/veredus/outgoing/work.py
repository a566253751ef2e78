"""The destinations that are sent to at the moment, each by a task."""

import asyncio
from collections.abc import Callable, Sequence

from veredus.outgoing.attempt import Tools
from veredus.outgoing.destination import Serving
from veredus.outgoing.records import Destination, Queued
from veredus.outgoing.settle import Settling
from veredus.wire.types import Id


class Work:
    """``account``: the server's own; ``connections``: to one destination at a time."""

    def __init__(self, tools: Tools, settling: Settling, account: Id, connections: int) -> None:
        self._tools, self._settling = tools, settling
        self._account, self._connections = account, connections
        self._serving: dict[str, Serving] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsettled: list[Queued] = []
        self._settling_now = asyncio.Lock()

    def busy(self) -> list[str]:
        """Destinations that are sent to."""
        return list(self._tasks)

    def begin(self, destination: Destination, ended: Callable[[], None]) -> None:
        """``ended`` is called when nothing more is due for it."""
        serving = Serving(self._tools, self._settle, self._account, destination, self._connections)
        task = asyncio.create_task(serving.run())
        self._serving[destination.id], self._tasks[destination.id] = serving, task

        def end(task: asyncio.Task[None]) -> None:
            del self._serving[destination.id]
            if not _has_failed(task):
                del self._tasks[destination.id]
            ended()

        task.add_done_callback(end)

    def look(self) -> None:
        """More may be due for destinations that are sent to."""
        for serving in self._serving.values():
            serving.look()

    def raise_errors(self) -> None:
        """What a destination's task has ended with: Unavailable, LeaseLost, or a mistake of ours."""
        for id, task in list(self._tasks.items()):
            if _has_failed(task):
                del self._tasks[id]
                task.result()

    async def finish(self, timeout_s: float) -> None:
        """Begin with no further message, and let those under way end for so long."""
        for serving in self._serving.values():
            serving.stop()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)

    async def close(self) -> None:
        """Break off what is under way; rows say how far it has come."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _settle(self, rows: Sequence[Queued]) -> None:
        """Together with what others have given meanwhile."""
        self._unsettled += rows
        async with self._settling_now:
            page, self._unsettled = self._unsettled, []
            if page:
                await self._settling.settle(page)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
