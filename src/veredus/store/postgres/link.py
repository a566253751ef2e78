"""What a snapshot or a transaction speaks to PostgreSQL through: one connection, taken when it is needed."""

from collections.abc import Sequence
from typing import Any, NoReturn

from veredus.ports import Unavailable
from veredus.store.postgres.failures import Lost, Unconfirmed, translated
from veredus.store.postgres.pool import Pool, fetched


class Link:
    """Belongs to one task. Raises Unavailable when the database cannot be used now.

    After a statement that failed, or was cancelled, nothing more can be done in the transaction: PostgreSQL
    would answer a commit of it with a rollback, and call that a success.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._connection: Any = None
        self._begun = False
        self._failed = False

    @property
    def timeline(self) -> str:
        """Of the server that the transaction was begun on."""
        return "" if self._connection is None else str(self._connection.timeline)

    async def first(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of the statement that begins the transaction.

        A connection that was lost while nobody used it is no reason to fail: the next one is tried.
        """
        self.close()
        for attempt in range(self.pool.size + 1):
            self._connection = await self.pool.take()
            try:
                rows = await fetched(self._connection, sql, values)
            except BaseException as error:
                self.close()
                if not isinstance(error, Lost) or attempt == self.pool.size:
                    self._raise(error)
            else:
                self._begun = True
                return rows
        raise AssertionError("a pool has connections")

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a further statement."""
        if not self._begun:
            return await self.first(sql, values)
        self._must_be_whole()
        try:
            rows: list[Any] = await self._connection.fetch(sql, *values)
        except BaseException as error:
            self._failed = True
            self._raise(error)
        return rows

    async def commit(self) -> None:
        """Raises Unconfirmed when it may have been done all the same; the connection is gone then."""
        self._must_be_whole()
        connection, self._connection = self._connection, None
        try:
            await self.pool.commit(connection)
        except BaseException as error:
            connection.terminate()
            self.pool.give_back(connection)
            if not isinstance(error, Exception):
                raise
            raise Unconfirmed(f"PostgreSQL at {self.pool.place}: {error}") from error
        self.pool.give_back(connection, done=True)

    def _must_be_whole(self) -> None:
        if self._failed:
            raise Unavailable(
                f"PostgreSQL at {self.pool.place}: an earlier statement failed, so all of it has"
            )

    def close(self) -> None:
        """End the transaction; what was not committed is taken back."""
        connection, self._connection = self._connection, None
        self._begun = self._failed = False
        if connection is not None:
            self.pool.give_back(connection)

    def _raise(self, error: BaseException) -> NoReturn:
        found = translated(error, self.pool.place)
        if found is None:
            raise error
        raise found from error
