"""Concurrent work that ends together."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
# A cancellation can be lost (see ``check_cancelled``); longer than any work takes to end in good order.
_AGAIN_S = 10.0


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results, in order. The first failure is raised as it is, once all the others have been stopped.

    A TaskGroup would wrap it, and who retries wants to see what it was.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await stop(tasks)


async def stop(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel what still runs, and wait until it has ended; what it raises then is of no interest."""
    tasks = list(tasks)
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


def check_cancelled() -> None:
    """Raise the CancelledError that somebody else has swallowed.

    ``wait_for`` of Python 3.11, which nats-py uses, does when what it waits for ends at the same moment.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
