"""Try one item again, a bounded number of times; a server that is down is not the item's fault."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from veredus.bridge.nats.errors import (
    BucketFull,
    Conflict,
    NatsError,
    NatsLost,
    StreamFull,
    TimedOut,
    Unavailable,
)
from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, TransportError, Unauthorized

T = TypeVar("T")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
# What ends the work of all items: nobody knows whether the next one would fare better.
_OF_ALL = (NatsLost, Conflict, Unavailable, TimedOut, StreamFull, Unauthorized)
# The last three: a record that is not as its RFC says. One such must not end the work of all the others.
_OF_AN_ITEM = (JMAPError, NatsError, ValueError, TypeError, LookupError, AttributeError)


class Unreachable(Exception):
    """The JMAP server does not answer at all: everything waits."""


class Failed(Exception):
    """An item failed as often as it may. ``__cause__`` is the last error."""

    def __init__(self, error: Exception, attempts: int, first_at: datetime) -> None:
        super().__init__(f"failed {attempts} times: {error}")
        self.error, self.attempts, self.first_at, self.last_at = error, attempts, first_at, datetime.now(UTC)


def _is_of_all(error: Exception) -> bool:
    """A server that asks to be spared is not the item's fault either, however long it does."""
    if isinstance(error, TransportError):
        asks = error.status == 503 and error.retry_after_s is not None
        return error.status == 429 or asks or isinstance(error, Unauthorized)
    return isinstance(error, _OF_ALL) and not isinstance(error, BucketFull)


class Attempts:
    """``probe``: whether the server answers a harmless request."""

    def __init__(self, most: int, probe: Callable[[], Awaitable[bool]], retried: Callable[[], None]) -> None:
        self._most, self._probe, self._retried = most, probe, retried

    async def run(self, action: Callable[[int], Awaitable[T]]) -> T:
        """What ``action`` gives; it is told the number of the attempt, from 1.

        Raises Failed, Unreachable, and what concerns all items: see ``_OF_ALL``.
        """
        backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        first_at = datetime.now(UTC)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await action(attempt)
            except _OF_AN_ITEM as error:
                if _is_of_all(error):
                    raise
                if isinstance(error, TransportError) and not await self._probe():
                    raise Unreachable(str(error)) from error
                # A full bucket that nothing may be taken out of is as full at the next attempt.
                if attempt >= self._most or isinstance(error, BucketFull):
                    raise Failed(error, attempt, first_at) from error
                self._retried()
                asked_s = error.retry_after_s if isinstance(error, TransportError) else None
                await asyncio.sleep(backoff.next_s(asked_s))
