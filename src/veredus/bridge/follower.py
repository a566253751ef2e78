"""Follows the changes of one type of one account, for as long as somebody else does not.

The order is what nothing is lost by: read the cursor, ask for the changes after it, do all their work, and
only then move the cursor. Without a cursor the state comes first, and then what is there.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
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
    pipeline: str

    @property
    def properties(self) -> Sequence[str]:
        """What of a created record comes along with the changes."""
        ...

    async def begin(self, old_state: str | None) -> str:
        """There is no cursor (None), or the server cannot calculate from ``old_state``: take what is there.

        The state that the work was begun with, which is where following goes on.
        """
        ...

    async def begun(self) -> None:
        """The cursor stands at the state that ``begin`` gave."""
        ...

    async def take(self, changes: Changes, created: Sequence[JsonObject]) -> None:
        """Do all the work of a page, durably. ``created``: records, as far as they came along."""
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
        # How often somebody may have asked for a snapshot, and how often of these it was looked up.
        self._said, self._looked_up = 0, -1
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
        self._said += 1
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
                await self._wait_after(error, f"{type(error).__name__}: {error}", backoff)
            except Exception as error:
                # An answer that is not as its RFC says, or a bug of ours: all other types and accounts go on.
                log.error("unexpected", account=self._source.account, type=self.type, error=_place(error))
                await self._wait_after(error, _place(error), backoff)
            else:
                backoff.reset()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):  # wait_for may swallow a cancellation
                        await self._wake.wait()

    async def _wait_after(self, error: Exception, said: str, backoff: Backoff) -> None:
        """Nothing is lost: the cursor stands where it stood."""
        self._status.error = said
        asked_s = error.retry_after_s if isinstance(error, TransportError) else None
        wait_s = backoff.next_s(asked_s)
        self._status.counts["retries"] += 1
        log.warning(
            "waiting",
            account=self._source.account,
            type=self._track.type,
            seconds=round(wait_s, 1),
            error=said,
        )
        await asyncio.sleep(wait_s)

    async def _catch_up(self) -> None:
        await self._running.wait()
        state = await self._cursor.load()
        said = self._said
        has_begun = state is None or await self._is_asked()
        if state is None or has_begun:
            state = await self._begin(state)
        self._looked_up = said
        self._status.state = state
        has_more = True
        while has_more:
            await self._running.wait()
            try:
                state, has_more = await self._follow(state)
            except CannotCalculate:
                if await self._source.state(self.type) == state:
                    has_more = False
                elif has_begun:
                    raise ProtocolError(
                        self._source.client.host, f"no changes of {self.type} even from a state just given"
                    ) from None
                else:
                    state, has_begun = await self._begin(state), True
            self._status.moved(state)
        self._status.caught_up(state)

    async def _follow(self, state: str) -> tuple[str, bool]:
        """One page: the state at its end, and whether there are more. Raises CannotCalculate."""
        changes, created = await self._source.changes(self.type, state, self._track.properties)
        if changes.created or changes.updated or changes.destroyed:
            await self._track.take(changes, created)
        if changes.new_state != state:
            await self._cursor.save(changes.new_state)
        elif changes.has_more_changes:
            raise ProtocolError(self._source.client.host, f"more changes of {self.type}, but no new state")
        return changes.new_state, changes.has_more_changes

    async def _is_asked(self) -> bool:
        return self._said != self._looked_up and self._asked is not None and await self._asked()

    async def _begin(self, old_state: str | None) -> str:
        account, track = self._source.account, self._track
        log.info(
            "begins_anew", account=account, pipeline=track.pipeline, type=track.type, old_state=old_state
        )
        said, self._looked_up = self._said, -1  # what is interrupted must be gone on with
        state = None
        while state is None:
            await self._running.wait()
            state = await self._begin_unless_paused(old_state)
        await self._cursor.save(state)
        await self._track.begun()
        self._looked_up = said
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


def _place(error: Exception) -> str:
    """What went wrong and where, without the error's own words: they may quote a message."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
