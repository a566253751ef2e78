"""Work beside the mail: it goes on as long as its link does, and never stands in the way of the mail."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from veredus.bridge.nats.errors import NatsError, NatsLost
from veredus.client.errors import JMAPError

log = structlog.get_logger("veredus.bridge")
_AGAIN_S = 30.0


async def lasting(bridge: str, what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work`` again and again, whatever becomes of it. Raises NatsLost."""
    said = ""
    while True:
        try:
            await work()
        except NatsLost:
            raise
        except (NatsError, JMAPError, OSError) as error:
            if str(error) != said:  # a missing permission stays missing: once is enough
                said = str(error)
                log.warning("monitor_failed", bridge=bridge, what=what, error=said)
        await asyncio.sleep(_AGAIN_S)
