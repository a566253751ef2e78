"""The destinations that are sent to at the moment, each by a task."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from veredus.outgoing.attempt import Tools
from veredus.outgoing.destination import Serving
from veredus.outgoing.records import Destination, Queued
from veredus.outgoing.settle import Settling
from veredus.ports import LeaseLost
from veredus.ports.trouble import described
from veredus.wire.types import Id

log = structlog.get_logger("veredus.outgoing")

# After what has nothing to do with the destination: a lost database, or a mistake of ours.
_REST_S = 2.0


class Work:
    """``account``: the server's own; ``connections``: to one destination at a time."""

    def __init__(self, tools: Tools, settling: Settling, account: Id, connections: int) -> None:
        self._tools, self._settling = tools, settling
        self._account, self._connections = account, connections
        self._serving: dict[str, Serving] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsettled: list[Queued] = []
        # By row.
        self._failed: dict[Id, Exception] = {}
        self._settling_now = asyncio.Lock()

    def busy(self) -> list[str]:
        """Destinations that are sent to, and those that rest after a failure of ours."""
        return list(self._tasks)

    def begin(self, destination: Destination, ended: Callable[[], None]) -> None:
        """``ended`` is called when nothing more is due for it."""
        serving = Serving(self._tools, self._settle, self._account, destination, self._connections)
        task = asyncio.create_task(serving.run())
        self._serving[destination.id], self._tasks[destination.id] = serving, task

        def rest() -> None:
            if self._tasks.get(destination.id) is task:
                del self._tasks[destination.id]
                ended()

        def end(task: asyncio.Task[None]) -> None:
            del self._serving[destination.id]
            error = _error_of(task)
            if error is None:
                del self._tasks[destination.id]
            elif not isinstance(error, LeaseLost):
                # Others may be sent to: a message that is broken off may come twice.
                log.warning("a destination waits", destination=destination.id, **described(error))
                asyncio.get_running_loop().call_later(_REST_S, rest)
            ended()

        task.add_done_callback(end)

    def look(self) -> None:
        """More may be due for destinations that are sent to."""
        for serving in self._serving.values():
            serving.look()

    def raise_errors(self) -> None:
        """LeaseLost, if that has ended a destination's task."""
        for task in self._tasks.values():
            if isinstance(error := _error_of(task), LeaseLost):
                raise error

    async def finish(self, timeout_s: float) -> None:
        """Begin with no further message, and let those under way end for so long."""
        for serving in self._serving.values():
            serving.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout_s)

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
            try:
                failed = await self._settling.settle(page) if page else {}
            except Exception as error:  # each of those who wait is told
                failed = {row.id: error for row in page}
            self._failed.update(failed)
        for row in rows:
            if (reason := self._failed.pop(row.id, None)) is not None:
                raise reason


def _error_of(task: asyncio.Task[None]) -> Exception | None:
    error = task.exception() if task.done() and not task.cancelled() else None
    return error if isinstance(error, Exception) else None
