"""When the next request may go to a push URL: after failures, and for one that wants fewer.

What is learned is kept in its Progress, so that a restart of the server shortens no wait.
"""

import asyncio
import random
from datetime import timedelta

from veredus.ports import Clock
from veredus.push.web import records
from veredus.push.web.outcome import Outcome
from veredus.push.web.records import Progress
from veredus.wire.dates import utc_date

# Between tries: twice as long each time, from about a second to an hour.
FIRST_WAIT_S = 1.0
_MAX_WAIT_S = 3600.0
# What a URL that asks for fewer requests is given between two of them, at first.
FIRST_GAP_S = 2.0
_MAX_GAP_S = 3600.0
# With each request that it takes, the gap gets so much shorter.
_GAP_EASES = 0.9
# A URL that takes nothing for so long is given up: one that fails, one that says it never will.
FAILING_LIFE = timedelta(days=3)
REFUSING_LIFE = timedelta(days=1)


class Pace:
    """Of one URL."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress, self._clock = progress, clock
        self._loop = asyncio.get_running_loop()
        self._not_before = self._loop.time()
        if progress.next_attempt is not None:
            left = records.moment(progress.next_attempt) - clock.now()
            self._not_before += max(0.0, left.total_seconds())

    def wait_s(self) -> float:
        """How long until a request may go; 0: it may."""
        return max(0.0, self._not_before - self._loop.time())

    def learn(self, outcome: Outcome) -> str | None:
        """Of a request that went; why the subscription has to be destroyed, if it has."""
        progress, reason = self._progress, None
        wait = float(outcome.retry_after_s or 0)
        match outcome.kind:
            case "delivered":
                progress.failures, progress.failing_since = 0, None
                progress.gap_s = progress.gap_s * _GAP_EASES if progress.gap_s > FIRST_GAP_S / 2 else 0
                wait = progress.gap_s
            case "gone":
                reason = outcome.detail
            case "slow_down":
                progress.gap_s = min(max(progress.gap_s * 2, FIRST_GAP_S), _MAX_GAP_S)
                wait = max(wait, progress.gap_s)
            case "retry" | "refused":
                longest, reason = self._count_failure(is_refused=outcome.kind == "refused")
                wait = max(wait, longest)
        self._note(outcome.detail, wait)
        return reason

    def fail(self, text: str) -> str | None:
        """Of a try that did not even reach the URL; the same."""
        wait, reason = self._count_failure(is_refused=False)
        self._note(text, wait)
        return reason

    def _count_failure(self, *, is_refused: bool) -> tuple[float, str | None]:
        """How long to wait, in seconds; why to give up, when it was to no avail for too long."""
        progress, now = self._progress, self._clock.now()
        progress.failures += 1
        progress.failing_since = progress.failing_since or utc_date(now)
        life = REFUSING_LIFE if is_refused else FAILING_LIFE
        is_over = records.moment(progress.failing_since) + life <= now
        # Not all at the same moment when a push service comes back.
        longest = min(FIRST_WAIT_S * float(2 ** min(progress.failures, 20)), _MAX_WAIT_S)
        wait = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        return wait, f"it has taken nothing since {progress.failing_since}" if is_over else None

    def _note(self, outcome: str, wait_s: float) -> None:
        now = self._clock.now()
        self._not_before = self._loop.time() + wait_s
        self._progress.attempted = utc_date(now)
        self._progress.outcome = outcome
        self._progress.next_attempt = utc_date(now + timedelta(seconds=wait_s)) if wait_s else None
