"""Runs bridges: a link to NATS, a client for JMAP, a reader for each account, and push that wakes them.

What is down is waited for, for ever. At the start, what only a person can put right ends the process: wrong
credentials, an account that is not there, a stream that cannot be as the settings say. Later the same is
waited for, too, since a token may be rotated and a stream be mended. Of several bridges in a process one that
ends takes the others with it, in good order: who supervises the process must notice.

To stop, at any moment, is safe: what is not acknowledged is read again from the cursor.
"""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Sequence

import structlog

from veredus.bridge.bridge import Bridge
from veredus.bridge.monitor.http import serving
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.tasks import stop

log = structlog.get_logger("veredus.bridge")
_NOT_IN_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


async def run(bridges: Sequence[BridgeSettings], *, verbose: bool = False) -> int:
    """All of them, until this is cancelled. Raises what only a person can put right: JMAPError, NatsError,
    SecretError, OSError.

    ``verbose``: log each heartbeat, too.
    """
    running = [Bridge(settings, _instance(), verbose=verbose) for settings in bridges]
    monitored = [(one.status, one.settings.monitor.listen, one.settings.monitor.max_lag_s) for one in running]
    async with serving(monitored):
        tasks = {asyncio.create_task(one.run()): one for one in running}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    log.error("bridge_ended", bridge=tasks[task].settings.name, error=str(error))
                task.result()
        finally:
            log.info("stopping")
            await stop(tasks)
            log.info("stopped")
    return 0


def _instance() -> str:
    """A name for people, in which the host is seen; one token of a subject, and of a key."""
    host = _NOT_IN_A_TOKEN.sub("_", socket.gethostname())
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"
