"""What ends by somebody's hand is started again, as a service manager does it."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.cluster.cluster import Cluster
from tools.cluster.process import Process

AFTER_S = 10
_LOOK_S = 0.2

Say = Callable[[str], None]


async def keep(cluster: Cluster, say: Say) -> None:
    """For ever: start again what has ended, ``AFTER_S`` later. Raises NotStarted, PostgresFailed."""
    loops = [_process(node.process, node.begin, say) for node in cluster.nodes]
    loops += [_process(part.process, part.start, say) for part in (cluster.nats, cluster.proxy)]
    if (postgres := cluster.postgres) is not None:

        async def start() -> None:
            postgres.start()  # not in a thread: it ends with the one that started it

        loops.append(_again("PostgreSQL", lambda: postgres.pid, start, say))
    await asyncio.gather(*loops)


async def _process(process: Process, start: Callable[[], Awaitable[None]], say: Say) -> None:
    await _again(process.name, lambda: process.pid, start, say)


async def _again(
    name: str, pid: Callable[[], int | None], start: Callable[[], Awaitable[None]], say: Say
) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        if pid() is None:
            say(f"{name} has ended; it starts again in {AFTER_S} s")
            await asyncio.sleep(AFTER_S)
            await start()
            say(f"{name} started, pid {pid()}")
