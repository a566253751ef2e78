"""Group commit: one thread that writes what many wait for, with one fsync for all of them."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

import apsw

from veredus.ports import Unavailable

Write = Callable[[apsw.Connection], object]

# Bounds how long the first of a batch waits for the last, and how large the log grows by one commit.
_BATCH = 256


class GroupWriter:
    """Owns the one connection that writes. Belongs to the event loop in which it is made."""

    def __init__(self, connection: apsw.Connection, name: str) -> None:
        self._db = connection
        self._loop = asyncio.get_running_loop()
        # Not bounded: an entry is there because a task waits for it.
        self._queue: SimpleQueue[tuple[Write, asyncio.Future[None]] | None] = SimpleQueue()
        self._closed = False
        # daemon: a process that ends without ``close`` must not hang; nobody was told that more is stored.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, write: Write) -> None:
        """Returns when ``write`` is durable. It may be carried out although the caller was cancelled.

        Writes are committed together, and fail together (Unavailable).
        """
        if self._closed:
            raise Unavailable("closed")
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((write, future))
        try:
            await future
        except apsw.Error as error:
            raise Unavailable(str(error)) from error

    async def close(self) -> None:
        """Carries out what is waiting, then closes the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._collect()
            if batch:
                error = self._commit(batch)
                self._loop.call_soon_threadsafe(_answer, batch, error)
        self._db.close()

    def _collect(self) -> tuple[list[tuple[Write, asyncio.Future[None]]], bool]:
        """What waits now, at least one; False: it is the last."""
        batch = []
        entry = self._queue.get()
        try:
            while entry is not None:
                batch.append(entry)
                if len(batch) == _BATCH:
                    break
                entry = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, entry is not None

    def _commit(self, batch: list[tuple[Write, asyncio.Future[None]]]) -> Exception | None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for write, _ in batch:
                write(self._db)
            self._db.execute("COMMIT")
        except Exception as error:  # the loop must go on, and whoever waits must be told
            with suppress(apsw.Error):  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            return error
        return None


def _answer(batch: list[tuple[Write, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, future in batch:
        if future.done():  # cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
