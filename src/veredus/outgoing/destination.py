"""Everything that is due for one destination, over a few connections."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from msgspec import structs

from veredus.outgoing import records
from veredus.outgoing.attempt import Tools, attempt, give_up, is_over
from veredus.outgoing.records import Destination, Queued
from veredus.outgoing.settle import Settling
from veredus.ports import Unreachable
from veredus.wire.dates import utc_date
from veredus.wire.types import Id

log = structlog.get_logger("veredus.outgoing")

# Rows that are read at a time, for each connection.
_ROWS = 10


class Work:
    """The destinations that are sent to at the moment, each by a task."""

    def __init__(self, tools: Tools, settling: Settling, account: Id, connections: int) -> None:
        self._tools, self._settling = tools, settling
        self._account, self._connections = account, connections
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsettled: list[Queued] = []
        self._is_stopping = False
        self._settling_now = asyncio.Lock()

    def busy(self) -> list[str]:
        return list(self._tasks)

    def begin(self, destination: Destination, ended: Callable[[], None]) -> None:
        """``ended`` is called when nothing more is due for it."""
        task = asyncio.create_task(self._serve(destination))
        self._tasks[destination.id] = task

        def end(task: asyncio.Task[None]) -> None:
            if not _has_failed(task):
                del self._tasks[destination.id]
            ended()

        task.add_done_callback(end)

    def raise_errors(self) -> None:
        """What a destination's task has ended with: Unavailable, LeaseLost, or a mistake of ours."""
        for id, task in list(self._tasks.items()):
            if _has_failed(task):
                del self._tasks[id]
                task.result()

    async def finish(self, timeout_s: float) -> None:
        """Begin with no further message, and let those under way end for so long."""
        self._is_stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)

    async def close(self) -> None:
        """Break off what is under way; rows say how far it has come."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _serve(self, destination: Destination) -> None:
        """Until nothing is due, or nobody can be reached."""
        known, width = destination, self._connections
        while not self._is_stopping:
            async with self._tools.store.read(self._account) as snapshot:
                rows = await records.due_rows(snapshot, known.id, self._tools.clock.now(), _ROWS * width)
            if not rows:
                break
            reached, error = await self._attempt_all(rows, width)
            if isinstance(error, Unreachable):
                self._tools.counts.unreachable += 1
                if error.is_final:
                    await self._fail(rows, str(error))
                elif reached and width > 1:
                    width = max(1, width // 2)  # it takes some connections, but not so many
                else:
                    await self._put_off(known, rows, str(error))
                    return
            elif error is not None:
                raise error
            if reached:
                known = structs.replace(known, failures=0, reply="")
        await self._tools.ledger.write(lambda tx: records.reschedule(tx, known))

    async def _attempt_all(self, rows: Sequence[Queued], width: int) -> tuple[bool, Exception | None]:
        """So many at a time; after an error what is under way ends, and nothing further begins."""
        waiting = iter(rows)
        errors: list[Exception] = []
        reached = False

        async def work() -> None:
            nonlocal reached
            for row in waiting:
                if errors or self._is_stopping:
                    return
                try:
                    await self._attempt(row)
                    reached = True
                except Exception as error:
                    errors.append(error)

        await asyncio.gather(*(work() for _ in range(min(width, len(rows)))))
        return reached, errors[0] if errors else None

    async def _attempt(self, row: Queued) -> None:
        after = await attempt(self._tools, row)
        if after is None:
            return
        if after.waiting() and is_over(after, self._tools.clock.now()):
            give_up(after)
        await self._settle([after])

    async def _settle(self, rows: Sequence[Queued]) -> None:
        """Together with what others have given meanwhile."""
        self._unsettled += rows
        async with self._settling_now:
            page, self._unsettled = self._unsettled, []
            if page:
                await self._settling.settle(page)

    async def _fail(self, rows: Sequence[Queued], reply: str) -> None:
        """The destination takes no mail at all."""
        async with self._tools.store.read(self._account) as snapshot:
            left = await records.rows(snapshot, [row.id for row in rows])
        for row in left:
            give_up(row, reply)
        await self._settle(left)

    async def _put_off(self, known: Destination, rows: Sequence[Queued], reply: str) -> None:
        """Nobody could be reached: one row says so for all that wait.

        Only what is over, late, or has never been told of is looked at beside that.
        """
        now = self._tools.clock.now()
        failures = known.failures + 1
        due = utc_date(now + self._tools.back_off.after(failures))
        log.info("destination not reached", destination=known.id, failures=failures, reply=reply)
        row = Destination(id=known.id, due=due, failures=failures, reply=reply)
        await self._tools.ledger.write(lambda tx: records.reschedule(tx, row))
        while True:
            async with self._tools.store.read(self._account) as snapshot:
                over = await records.until_now(snapshot, "expires", known.id, now)
                late = await records.until_now(snapshot, "warns", known.id, now)
                new = [row for row in await records.rows(snapshot, [row.id for row in rows]) if _is_new(row)]
            if not over and not late and not new:
                return
            for one in over:
                give_up(one, reply)
            affected = {one.id: one for one in [*new, *late, *over]}
            for one in affected.values():
                for recipient in one.waiting():
                    recipient.reply = reply
            await self._settle(list(affected.values()))


def _is_new(row: Queued) -> bool:
    return any(not recipient.reply for recipient in row.waiting())


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
