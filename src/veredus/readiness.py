"""Whether a process can do its work: what /readyz says, asked every second by each load balancer.

An answer comes within 1.5 s, whatever is wrong. A store waits for longer than that for a database
that restarts, so asking goes on behind the answer, and never more than once at a time: else the questions
alone would take every connection to a database that does not answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from veredus.ports import BlobStore, Store, Table
from veredus.wire.types import BlobId

# Below the time that a load balancer gives its check (deploy/haproxy.cfg: 2 s), and not far below: to be
# busy is not to be down.
_STORE_S = 1.5
# How often every table is asked for: a round trip each.
_TABLES_EVERY_S = 5.0
# How often the blob store is asked: each time is a request or two that may cost money.
_BLOBS_EVERY_S = 10.0
_BLOBS_S = 5.0


class Question:
    """One thing that is asked again and again."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """``ask``: raises what is wrong."""
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._began = 0.0
        self._trouble: str | None = None

    def ask(self, every_s: float = 0) -> asyncio.Task[None]:
        """The asking that is under way, or whose answer is not older than ``every_s``; else a new one."""
        asking = self._asking
        if asking is None or (asking.done() and monotonic() - self._began >= every_s):
            asking = self._asking = asyncio.create_task(self._run())
            self._began = monotonic()
        return asking

    def trouble(self, within_s: float) -> str | None:
        """What the last answer was; None: all is well. None for longer than ``within_s`` is wrong, too."""
        assert self._asking is not None
        seconds = monotonic() - self._began
        if not self._asking.done() and seconds >= within_s:
            return f"no answer for {seconds:.0f} s"
        return self._trouble

    async def _run(self) -> None:
        try:
            await self._ask()
        except Exception as error:  # whatever it is, it is the answer
            self._trouble = str(error) or type(error).__name__
        else:
            self._trouble = None

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])


class Readiness:
    """Of one process. ``tables``: those that the store must have; ``blob``: any id, there or not."""

    def __init__(self, store: Store, tables: Sequence[Table], blobs: BlobStore, blob: BlobId) -> None:
        self._store, self._tables = store, tables
        self._blobs, self._blob = blobs, blob
        self._of_store = Question(self._read)
        self._of_blobs = Question(self._look)
        self._had_tables = -_TABLES_EVERY_S

    async def problems(self) -> list[str]:
        """What keeps the process from serving; empty when nothing does."""
        await asyncio.wait([self._of_store.ask()], timeout=_STORE_S)
        trouble = self._of_store.trouble(0)
        return [] if trouble is None else [f"store: {trouble}"]

    def worse(self) -> list[str]:
        """What makes it worse without keeping it from serving: without blobs, lists of mail are still read.

        As it was when the blob store was asked last: nobody waits for it.
        """
        self._of_blobs.ask(_BLOBS_EVERY_S)
        trouble = self._of_blobs.trouble(_BLOBS_S)
        return [] if trouble is None else [f"blobs: {trouble}"]

    async def close(self) -> None:
        await self._of_store.close()
        await self._of_blobs.close()

    async def _read(self) -> None:
        """Now and then each table is asked for, since a newer program may have replaced one, and from then on
        each time."""
        # States are never overtaken.
        async with self._store.read("system", optimistic=True) as snapshot:
            await snapshot.state("User")
        if monotonic() - self._had_tables < _TABLES_EVERY_S:
            return
        async with self._store.read("system") as snapshot:
            for table in self._tables:
                await snapshot.get(table.name, [""])
            self._had_tables = monotonic()

    async def _look(self) -> None:
        await self._blobs.size(self._blob)
