"""Reading from a standby what the primary says is current."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from veredus.ports import Unavailable
from veredus.store.postgres.link import Link
from veredus.store.postgres.pool import Pool
from veredus.wire.types import Id

_WRITER = "SELECT writer FROM account WHERE id = $1"
# One that takes longer for this has other things to do.
_ANSWER_S = 2.0


class Replicated(Link):
    """Reads the first statement from the primary, and the others from a replica that has come as far.

    Every transaction that changes the account changes its writer, so equal writers see the same.
    """

    def __init__(self, pool: Pool, replica: Pool, account: Id) -> None:
        super().__init__(pool)
        self._account = account
        self._replica: Link | None = Link(replica)
        # The account's last writer, as the primary told.
        self._writer: int | None = None

    async def first(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        rows = await super().first(sql, values)
        self._writer = rows[0]["writer"] if rows else None
        return rows

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        if self._replica is not None and self._begun:
            await self._try_replica(self._replica)
        if self._replica is None:
            return await super().fetch(sql, values)
        try:
            return await self._replica.fetch(sql, values)
        except Unavailable as error:
            if isinstance(error.__cause__, asyncpg.QueryCanceledError):  # it would take the primary as long
                raise
            await self._go_back(error)
        return await super().fetch(sql, values)

    async def _try_replica(self, replica: Link) -> None:
        """One that lags behind or cannot be reached is left alone."""
        rows: list[Any] = []
        try:
            async with asyncio.timeout(_ANSWER_S):
                rows = await replica.first(_WRITER, (self._account,))
        except TimeoutError:
            replica.pool.avoid()
        except Unavailable:
            pass
        if rows and rows[0][0] == self._writer:
            super().close()
        else:
            replica.close()
            self._replica = None

    async def _go_back(self, error: Unavailable) -> None:
        """A standby ends what is in the way of its replaying. The primary may still see the same."""
        if self._replica is not None:
            self._replica.close()
            self._replica = None
        rows = await super().first(_WRITER, (self._account,))
        if not rows or rows[0][0] != self._writer:
            self._failed = True
            raise error

    def close(self) -> None:
        if self._replica is not None:
            self._replica.close()
        super().close()
