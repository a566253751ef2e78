"""Which failures pass, and how long to wait for that."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from veredus.client.backoff import Backoff
from veredus.client.errors import JMAPError, MethodError, RequestError, TransportError, Unauthorized

T = TypeVar("T")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
# Of method errors (RFC 8620 §3.6.2), those that are no answer to what was asked.
_PASSING = frozenset({"serverUnavailable", "serverFail", "serverPartialFail"})
# Limits (§3.6.1) that are of the moment, not of the request.
_BUSY = frozenset({"maxConcurrentRequests", "maxConcurrentUpload", "rate"})


def is_passing(error: JMAPError) -> bool:
    """Whether the same request may succeed later."""
    match error:
        case Unauthorized():
            return False
        case MethodError(type=type):
            return type in _PASSING
        case RequestError(limit=limit):
            return limit in _BUSY
    return isinstance(error, TransportError)


class Patience:
    """``give_up_after_s``: seconds without any success after which the failure is raised; None: never."""

    def __init__(self, give_up_after_s: float | None = None) -> None:
        self._give_up_after_s = give_up_after_s
        self._backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._failing_since: float | None = None
        self._is_back = asyncio.Event()

    def allow(self, give_up_after_s: float | None) -> None:
        """From now on this long."""
        self._give_up_after_s = give_up_after_s
        self._failing_since = None

    def connected(self) -> None:
        """The server answers again: there is no reason to wait any longer."""
        self._is_back.set()

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """What ``request`` returns, however often it takes. Raises what does not pass."""
        while True:
            self._is_back.clear()
            try:
                result = await request()
            except JMAPError as error:
                if not is_passing(error) or self._is_over():
                    raise
                await self._wait_after(error)
            else:
                self._failing_since = None
                self._backoff.reset()
                return result

    def _is_over(self) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return self._give_up_after_s is not None and now - self._failing_since >= self._give_up_after_s

    async def _wait_after(self, error: JMAPError) -> None:
        asked_s = error.retry_after_s if isinstance(error, TransportError) else None
        wait_s = self._backoff.next_s(asked_s)
        if asked_s is not None:
            await asyncio.sleep(wait_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._is_back.wait()
