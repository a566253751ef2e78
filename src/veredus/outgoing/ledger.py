"""Writes of many attempts at a time in one transaction, so that each costs a part of a commit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from veredus.ports import Lease, LeaseLost, Store, Transaction, Unavailable
from veredus.wire.types import Id

# What one attempt has to write. It raises nothing but what the store raises.
Entry: TypeAlias = Callable[[Transaction], Awaitable[None]]
_AT_ONCE = 200


class Ledger:
    """``write`` may be called by many tasks; what they give within one commit goes into the next."""

    def __init__(self, store: Store, account: Id, lease: Lease) -> None:
        self._store, self._account, self._lease = store, account, lease
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, entry: Entry) -> None:
        """Durable when it returns. Raises Unavailable and LeaseLost."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await done

    async def close(self) -> None:
        """What was given is written or has failed afterwards."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                page, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                errors = await self._errors(page)
                for (_, done), error in zip(page, errors, strict=True):
                    if done.done():  # who waited was canceled
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
        finally:
            self._writing = None

    async def _errors(self, page: list[tuple[Entry, asyncio.Future[None]]]) -> list[Exception | None]:
        """What went wrong for each. A mistake in one entry is nobody else's."""
        error = await self._write(page)
        if error is None or len(page) == 1 or isinstance(error, (Unavailable, LeaseLost)):
            return [error] * len(page)
        return [await self._write([one]) for one in page]

    async def _write(self, page: list[tuple[Entry, asyncio.Future[None]]]) -> Exception | None:
        try:
            async with self._store.write(self._account, self._lease) as tx:
                for entry, _ in page:
                    await entry(tx)
        except Exception as error:  # each of those who wait is told
            return error
        return None
