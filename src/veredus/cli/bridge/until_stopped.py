"""Running bridges as a process: the event loop, and the signals that end it."""

import asyncio
import signal
from typing import TYPE_CHECKING

from veredus.cli import running

if TYPE_CHECKING:
    from veredus.bridge.settings import BridgeSettings


def until_stopped(bridges: "list[BridgeSettings]", verbose: bool) -> int:
    """Until they end by themselves, or SIGINT or SIGTERM comes, which is success; the second one kills."""
    return running.run(_until_stopped(bridges, verbose))


async def _until_stopped(bridges: "list[BridgeSettings]", verbose: bool) -> int:
    from veredus.bridge.run import run

    loop = asyncio.get_running_loop()
    task = loop.create_task(run(bridges, verbose=verbose))
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        return 0
