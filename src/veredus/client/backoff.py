"""How long to wait before the next attempt: exponential, with full jitter, and forgotten once all is well.

No I/O and no task: the caller says what happened, and sleeps itself.
"""

import random
import time
from collections.abc import Callable


class Backoff:
    """Waits between 0 and ``first_s``, then up to twice that, and so on up to ``longest_s``.

    A connection that was healthy for ``healthy_s`` makes it begin again, and so does ``reset``.
    """

    def __init__(
        self,
        first_s: float = 0.5,
        longest_s: float = 60.0,
        healthy_s: float = 60.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``clock`` in seconds; ``uniform`` as of ``random``."""
        self._first_s, self._longest_s, self._healthy_s = first_s, longest_s, healthy_s
        self._clock, self._uniform = clock, uniform
        self._ceiling_s = first_s
        self._connected_at: float | None = None

    def connected(self) -> None:
        """A connection stands; whether it is worth anything is to be seen."""
        self._connected_at = self._clock()

    def reset(self) -> None:
        """It was worth something."""
        self._ceiling_s = self._first_s

    def next_s(self, at_least_s: float | None = None) -> float:
        """Something failed: seconds to wait. ``at_least_s``: what the server asks for (Retry-After)."""
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None and self._clock() - connected_at >= self._healthy_s:
            self.reset()
        wait_s = self._uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._longest_s, self._ceiling_s * 2)
        # Jitter upon what a server asks of all its clients, or they come back together.
        return wait_s if at_least_s is None else at_least_s + wait_s
