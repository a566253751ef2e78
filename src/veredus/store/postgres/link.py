"""What a snapshot or a transaction speaks to PostgreSQL through: one connection, taken when it is needed."""

from collections.abc import Sequence
from typing import Any

from veredus.ports import Unavailable
from veredus.store.postgres.pool import Lost, Pool, fetched, translated
from veredus.wire.types import Id

_WRITER = "SELECT writer FROM account WHERE id = $1"


class Link:
    """Belongs to one task. Raises Unavailable when the database cannot be used now."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._connection: Any = None
        self._begun = False

    async def first(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of the statement that begins the transaction.

        A connection that was lost while nobody used it is no reason to fail: the next one is tried.
        """
        for attempt in range(self.pool.size + 1):
            self._connection = await self.pool.take()
            try:
                rows = await fetched(self._connection, sql, values)
            except Lost:
                self.close()
                if attempt == self.pool.size:
                    raise
            except Exception as error:
                raise self._translated(error) from error
            else:
                self._begun = True
                return rows
        raise Unavailable(f"PostgreSQL at {self.pool.place}: every connection was lost")

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a further statement."""
        if not self._begun:
            return await self.first(sql, values)
        try:
            rows: list[Any] = await self._connection.fetch(sql, *values)
        except Exception as error:
            raise self._translated(error) from error
        return rows

    async def commit(self) -> None:
        """Commit. The outcome is unknown when this raises and ``is_lost`` holds afterwards."""
        try:
            await self.pool.commit(self._connection)
        except Exception as error:
            raise self._translated(error) from error
        connection, self._connection = self._connection, None
        self.pool.give_back(connection, done=True)

    @property
    def is_lost(self) -> bool:
        return self._connection is not None and self._connection.is_closed()

    def close(self) -> None:
        """End the transaction; what was not committed is taken back."""
        connection, self._connection, self._begun = self._connection, None, False
        if connection is not None:
            self.pool.give_back(connection)

    def _translated(self, error: Exception) -> BaseException:
        return translated(error, self.pool.place)


class Replicated(Link):
    """Reads the first statement from the primary, and the others from a replica that has come as far."""

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
        if self._replica is not None and self._begun and not self._replica._begun:
            await self._try_replica(self._replica)
        if self._replica is None:
            return await super().fetch(sql, values)
        return await self._replica.fetch(sql, values)

    async def _try_replica(self, replica: Link) -> None:
        """One that lags behind or cannot be reached is left alone."""
        try:
            rows = await replica.first(_WRITER, (self._account,))
        except Unavailable:
            rows = []
        if rows and rows[0][0] == self._writer:
            super().close()
        else:
            replica.close()
            self._replica = None

    def close(self) -> None:
        if self._replica is not None:
            self._replica.close()
        super().close()
