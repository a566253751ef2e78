"""Follows the changes of one type of one account, for as long as somebody else does not.

The order is what nothing is lost by: read the cursor, ask for the changes after it, do all their work, and
only then move the cursor. Without a cursor the state comes first, and then what is there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from veredus.bridge.attempts import Unreachable
from veredus.bridge.cursor import Cursor
from veredus.bridge.nats.errors import Conflict, NatsError, NatsLost
from veredus.bridge.source import AccountSource, CannotCalculate
from veredus.bridge.status import TrackStatus
from veredus.bridge.tasks import stop
from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, ProtocolError, TransportError
from veredus.client.results import Changes
from veredus.wire.types import JsonObject

log = structlog.get_logger("veredus.bridge")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


class Track(Protocol):
    """Where changes go."""

    type: str

    @property
    def properties(self) -> Sequence[str]:
        """What of a created record comes along with the changes."""
        ...

    async def begin(self, old_state: str | None) -> str:
        """There is no cursor (None), or the server cannot calculate from ``old_state``: take what is there.

        The state that the work was begun with, which is where following goes on.
        """
        ...

    async def take(self, changes: Changes, created: Sequence[JsonObject]) -> None:
        """Do all the work of a page, durably."""
        ...


class Follower:
    """``run`` returns never, and raises when the lease or the link is gone. ``asked``: whether there is a
    snapshot to be done although there is a cursor."""

    def __init__(
        self,
        source: AccountSource,
        track: Track,
        cursor: Cursor,
        status: TrackStatus,
        *,
        poll_s: float,
        asked: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.type = track.type
        self._source, self._track, self._cursor, self._status = source, track, cursor, status
        self._poll_s, self._asked = poll_s, asked
        self._may_be_asked = asked is not None
        self._wake = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._pausing = asyncio.Event()

    def look(self) -> None:
        """Something may have changed."""
        self._status.looked()
        self._wake.set()

    def begin_anew(self) -> None:
        """Somebody may have asked for a snapshot, or moved the cursor."""
        self._may_be_asked = self._asked is not None
        self.look()

    def pause(self, paused: bool) -> None:
        """Stop after the page of changes that is being worked on, or go on; a snapshot is interrupted."""
        if paused:
            self._running.clear()
            self._pausing.set()
        else:
            self._pausing.clear()
            self._running.set()

    async def run(self) -> None:
        """Raises NatsLost, and Conflict when another reader moves the cursor."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            self._wake.clear()
            self._status.looked()
            try:
                await self._catch_up()
            except (NatsLost, Conflict):
                raise
            except (JMAPError, NatsError, Unreachable) as error:
                await self._wait_after(error, backoff)
            else:
                backoff.reset()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):  # wait_for may swallow a cancellation
                        await self._wake.wait()

    async def _wait_after(self, error: Exception, backoff: Backoff) -> None:
        """Nothing is lost: the cursor stands where it stood."""
        self._status.error = f"{type(error).__name__}: {error}"
        asked_s = error.retry_after_s if isinstance(error, TransportError) else None
        wait_s = backoff.next_s(asked_s)
        self._status.counts["retries"] += 1
        log.warning(
            "waiting",
            account=self._source.account,
            type=self._track.type,
            seconds=round(wait_s, 1),
            error=self._status.error,
        )
        await asyncio.sleep(wait_s)

    async def _catch_up(self) -> None:
        await self._running.wait()
        state = await self._cursor.load()
        if state is None or await self._is_asked():
            state = await self._begin(state)
        self._may_be_asked = False
        self._status.state = state
        while True:
            await self._running.wait()
            try:
                changes, created = await self._source.changes(self._track.type, state, self._track.properties)
            except CannotCalculate:
                state = await self._begin(state)
                continue
            if changes.created or changes.updated or changes.destroyed:
                await self._track.take(changes, created)
            if changes.new_state != state:
                await self._cursor.save(changes.new_state)
                state = changes.new_state
            elif changes.has_more_changes:
                raise ProtocolError(
                    self._source.client.host, f"more changes of {self._track.type}, but no new state"
                )
            if not changes.has_more_changes:
                self._status.caught_up(state)
                return
            self._status.moved(state)

    async def _is_asked(self) -> bool:
        return self._may_be_asked and self._asked is not None and await self._asked()

    async def _begin(self, old_state: str | None) -> str:
        log.info("begins_anew", account=self._source.account, type=self._track.type, old_state=old_state)
        state = None
        while state is None:
            await self._running.wait()
            state = await self._begin_unless_paused(old_state)
        await self._cursor.save(state)
        return state

    async def _begin_unless_paused(self, old_state: str | None) -> str | None:
        """None: it was interrupted, and goes on where it was when it is called again."""
        beginning = asyncio.create_task(self._track.begin(old_state))
        pausing = asyncio.create_task(self._pausing.wait())
        try:
            await asyncio.wait([beginning, pausing], return_when=asyncio.FIRST_COMPLETED)
            return beginning.result() if beginning.done() else None
        finally:
            await stop([beginning, pausing])
