"""Waiting for what no event tells of."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

_LONGEST_PAUSE_S = 0.05


async def until(holds: Callable[[], Any], patience_s: float = 60) -> None:
    """Ask until ``holds()``, which may be awaitable, gives something true. Raises TimeoutError.

    ``patience_s`` is for a machine under load: nothing waits so long when all is well.
    """
    pause_s = 0.002
    async with asyncio.timeout(patience_s):
        while True:
            found = holds()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
