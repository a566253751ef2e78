"""Everything that is due for one destination, over a few connections."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import structlog
from msgspec import structs

from veredus.outgoing import records
from veredus.outgoing.attempt import Tools, attempt, give_up, is_over, put_aside
from veredus.outgoing.records import Destination, Queued
from veredus.ports import LeaseLost, Unavailable, Unreachable
from veredus.ports.trouble import described
from veredus.wire.dates import utc_date
from veredus.wire.types import Id

log = structlog.get_logger("veredus.outgoing")

# Rows that are read at a time, for each connection.
_ROWS = 10

Settle = Callable[[Sequence[Queued]], Coroutine[None, None, None]]


class Serving:
    """``run`` belongs to one task. ``account``: the server's own; ``width``: messages at a time."""

    def __init__(
        self, tools: Tools, settle: Settle, account: Id, destination: Destination, width: int
    ) -> None:
        self._tools, self._settle, self._account = tools, settle, account
        self._known, self._width = destination, width
        self._waiting: deque[Queued] = deque()
        self._in_flight: dict[asyncio.Task[None], Queued] = {}
        # Whether rows may be due that were not read yet; and somebody has just said so.
        self._may_be_more = True
        self._looked = asyncio.Event()
        self._is_stopping = False
        # Of this round: whether anybody was reached, and what went wrong.
        self._is_reached = False
        self._errors: list[Exception] = []

    def look(self) -> None:
        """Something may have become due."""
        self._may_be_more = True
        self._looked.set()

    def stop(self) -> None:
        """Begin with no further message."""
        self._is_stopping = True

    async def run(self) -> None:
        """Until nothing is due, or nobody can be reached. Raises Unavailable, LeaseLost."""
        looking = asyncio.create_task(self._looked.wait())
        try:
            while await self._fill() or self._errors:
                if self._in_flight:
                    await asyncio.wait({*self._in_flight, looking}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self._in_flight if task.done()]:
                    del self._in_flight[task]
                if looking.done():
                    self._looked.clear()
                    looking = asyncio.create_task(self._looked.wait())
                if self._errors and not self._in_flight and not await self._goes_on():
                    return
            now = self._tools.clock.now()
            await self._tools.ledger.write(lambda tx: records.reschedule(tx, self._known, now))
        finally:
            looking.cancel()
            for task in self._in_flight:
                task.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _fill(self) -> bool:
        """Begin with as many as may be sent at a time; False: nothing is under way."""
        if self._errors or self._is_stopping:
            return bool(self._in_flight)
        if not self._waiting and self._may_be_more:
            self._may_be_more = False
            busy = {row.id for row in self._in_flight.values()}
            limit = _ROWS * self._width + len(busy)
            try:
                async with self._tools.store.read(self._account) as snapshot:
                    rows = await records.due_rows(snapshot, self._known.id, self._tools.clock.now(), limit)
            except Unavailable as error:
                self._errors.append(error)
                return bool(self._in_flight)
            self._waiting.extend(row for row in rows if row.id not in busy)
            self._may_be_more |= bool(self._waiting)
        while self._waiting and len(self._in_flight) < self._width:
            row = self._waiting.popleft()
            self._in_flight[asyncio.create_task(self._attempt(row))] = row
        return bool(self._in_flight)

    async def _attempt(self, row: Queued) -> None:
        try:
            await self._guarded([row], self._try(row))
        except Exception as error:  # what is under way ends first
            self._errors.append(error)
            if isinstance(error, Unreachable):
                self._waiting.appendleft(row)

    async def _try(self, row: Queued) -> None:
        after = await attempt(self._tools, row)
        self._is_reached = True
        if self._known.failures:
            self._known = structs.replace(self._known, failures=0, reply="")
        if after is None:
            return
        if after.waiting() and is_over(after, self._tools.clock.now()):
            give_up(after)
        await self._settle([after])

    async def _guarded(self, rows: Sequence[Queued], work: Awaitable[None]) -> None:
        """A mistake of ours concerns these rows alone."""
        try:
            await work
        except (Unreachable, Unavailable, LeaseLost):
            raise
        except Exception as error:
            ids = [row.id for row in rows]
            log.error("messages are put aside", messages=ids, **described(error))
            for row in rows:
                await put_aside(self._tools, row)

    async def _goes_on(self) -> bool:
        """After the end of a round in which something went wrong; False: enough for now."""
        rows, self._waiting = list(self._waiting), deque()
        errors, self._errors = self._errors, []
        reached, self._is_reached = self._is_reached, False
        for error in errors:
            if not isinstance(error, Unreachable):
                raise error
        self._tools.counts.unreachable += 1
        error = errors[0]
        assert isinstance(error, Unreachable)
        self._may_be_more = True
        if error.is_final:
            await self._fail(rows, str(error))
        elif reached and self._width > 1:
            self._width = max(1, self._width // 2)  # it takes some connections, but not so many
        else:
            await self._put_off(rows, str(error))
            return False
        return True

    async def _fail(self, rows: Sequence[Queued], reply: str) -> None:
        """The destination takes no mail at all."""
        async with self._tools.store.read(self._account) as snapshot:
            left = await records.rows(snapshot, [row.id for row in rows])
        for row in left:
            give_up(row, reply)
        await self._guarded(left, self._settle(left))

    async def _put_off(self, rows: Sequence[Queued], reply: str) -> None:
        """Nobody could be reached: one row says so for all that wait.

        Only what is over, late, or has never been told of is looked at beside that.
        """
        now = self._tools.clock.now()
        known = self._known
        failures = known.failures + 1
        due = utc_date(now + self._tools.back_off.after(failures))
        log.info("destination not reached", destination=known.id, failures=failures, reply=reply)
        row = Destination(id=known.id, due=due, failures=failures, reply=reply)
        await self._tools.ledger.write(lambda tx: records.reschedule(tx, row, now))
        seen: set[Id] = set()
        while True:
            async with self._tools.store.read(self._account) as snapshot:
                over = await records.until_now(snapshot, "expires", known.id, now)
                late = await records.until_now(snapshot, "warns", known.id, now)
                new = [row for row in await records.rows(snapshot, [row.id for row in rows]) if _is_new(row)]
            if seen.issuperset(row.id for row in (*over, *late, *new)):
                return
            for one in over:
                give_up(one, reply)
            affected = {one.id: one for one in [*new, *late, *over]}
            for one in affected.values():
                for recipient in one.waiting():
                    recipient.reply = reply
            seen |= affected.keys()
            await self._guarded(list(affected.values()), self._settle(list(affected.values())))


def _is_new(row: Queued) -> bool:
    return any(not recipient.reply for recipient in row.waiting())
