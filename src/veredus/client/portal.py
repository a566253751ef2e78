"""The event loop of the sync client: in a thread of its own, for as long as the client is open."""

import asyncio
import atexit
import threading
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from veredus.client import blobs

T = TypeVar("T")
S = TypeVar("S")
Data: TypeAlias = bytes | bytearray | memoryview | Path | Iterable[bytes]
# How long what was interrupted has to end, and what is left at the end.
_PATIENCE_S = 5.0
_END: Any = object()


class Portal:
    """From any thread into the loop. After ``close`` it may be opened again."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._changing = threading.RLock()  # the garbage collector may come back here

    @property
    def is_open(self) -> bool:
        return self._loop is not None

    def enter(self, client: AbstractAsyncContextManager[Any]) -> None:
        """Start the loop, and enter ``client`` there; when that fails, nothing is left running."""
        self.start()
        atexit.register(self.leave, client)
        try:
            self.call(client.__aenter__())
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Only the loop. Raises RuntimeError: it runs already."""
        with self._changing:
            if self._loop is not None:
                raise RuntimeError("the client is open already")
            loop = self._loop = asyncio.new_event_loop()
            # A daemon: a program that forgets to close its client ends all the same.
            self._thread = threading.Thread(target=_run, args=(loop,), name="veredus-client", daemon=True)
            self._thread.start()
        atexit.register(self.stop)

    def leave(self, client: AbstractAsyncContextManager[Any]) -> None:
        """Leave ``client``, and end the thread; without effect when it is closed."""
        if self._loop is None:
            return
        try:
            self.call(client.__aexit__(None, None, None))
        finally:
            self.stop()

    def call(self, work: Awaitable[T]) -> T:
        """The result of ``work`` in the loop. An interrupt (Ctrl-C) ends it there first."""
        begun: list[Awaitable[T]] = []

        def begin() -> Awaitable[T]:
            begun.append(work)
            return work

        try:
            return self._run(begin)
        finally:
            if not begun and asyncio.iscoroutine(work):
                work.close()

    def _run(self, begin: Callable[[], Awaitable[T]]) -> T:
        """The same of what ``begin`` gives, which is called in the loop: nothing is lost if it never is."""
        done: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            tasks.append(asyncio.get_running_loop().create_task(_begun(begin)))
            tasks[0].add_done_callback(lambda task: _pass_on(task, done))

        def stop() -> None:
            # Whatever of ``start`` was scheduled has run before this.
            if tasks:
                tasks[0].cancel()
            else:
                done.cancel()

        try:
            if not self._schedule(start):
                raise RuntimeError("the client is closed: use it inside `with`, or open() it")
            return done.result()
        except BaseException:
            if not done.done() and self._schedule(stop):
                wait([done], _PATIENCE_S)
            raise

    def _schedule(self, function: Callable[[], None]) -> bool:
        """False: there is no loop to run it in, or this is its own thread, which must not wait for it."""
        # Under the lock: what is begun before the end is ended by it, and nothing is begun after it.
        with self._changing:
            if self._loop is None or threading.current_thread() is self._thread:
                return False
            self._loop.call_soon_threadsafe(function)
            return True

    def iterate(self, source: AsyncIterator[T]) -> Generator[T, None, None]:
        """The items of ``source``, one by one; left early, it is closed."""

        async def step() -> T:
            return await anext(source, _END)

        try:
            while (item := self._run(step)) is not _END:
                yield item
        finally:
            self._finish(source)

    @contextmanager
    def manage(
        self, context: AbstractAsyncContextManager[S], show: Callable[["Portal", S], T]
    ) -> Iterator[T]:
        """``context`` entered and left in the loop; ``show`` makes of what it gives what the caller sees."""
        value = self.call(context.__aenter__())
        try:
            yield show(self, value)
        except BaseException as error:
            if not self.call(context.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.call(context.__aexit__(None, None, None))

    def _finish(self, source: AsyncIterator[Any]) -> None:
        close = getattr(source, "aclose", None)
        loop = self._loop
        if close is None or loop is None:
            return
        if threading.current_thread() is self._thread:
            # The garbage collector runs in whatever thread it likes.
            loop.create_task(close()).add_done_callback(lambda task: task.cancelled() or task.exception())
        else:
            self.call(close())

    def stop(self) -> None:
        """End the loop with all that runs in it, and the thread; without effect when there is none."""
        with self._changing:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        atexit.unregister(self.leave)
        atexit.unregister(self.stop)
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE_S)


def octets(data: Data) -> blobs.Data:
    """``data`` for the async client; an iterator runs in threads of its own, so it may block."""
    if isinstance(data, bytes | bytearray | memoryview | Path):
        return data
    given: object = data
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{blobs.NO_DATA}, not {type(data).__name__}")
    return _chunks(iter(data))


def whole(value: T) -> T:
    """``value`` for the async client: what it would have to wait for, if it is to be iterated there.

    A search stays one; what runs in the loop already, or in the caller, is gone through here.
    """
    of = getattr(value, "_of", None)
    if isinstance(of, AsyncIterable):
        return of  # type: ignore[return-value]
    if isinstance(value, Iterable) and not isinstance(value, Collection):
        return list(value)  # type: ignore[return-value]
    return value


async def _chunks(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (chunk := await asyncio.to_thread(next, chunks, _END)) is not _END:
        yield chunk


async def _begun(begin: Callable[[], Awaitable[T]]) -> T:
    # A task that is cancelled before its first step has begun nothing that would have to be closed.
    return await begin()


def _pass_on(task: "asyncio.Task[T]", to: "Future[T]") -> None:
    if task.cancelled():
        to.set_exception(RuntimeError("the client was closed meanwhile"))
    elif (error := task.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(task.result())


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
