"""Reading an account without a transaction, which would cost a round trip more: each statement sees a moment
of its own, and says whether the account is still as the first one saw it.
"""

from collections.abc import Sequence
from typing import Any

from veredus.ports import Overtaken
from veredus.store.postgres.link import Link
from veredus.store.postgres.pool import Pool


class Glance(Link):
    """``pool``: of connections that begin no transaction. One is used for each statement, and not kept."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        # The account's last writer, as the first statement saw it; None: there is no account.
        self._writer: int | None = None
        self._timeline = ""

    @property
    def timeline(self) -> str:
        return self._timeline

    async def first(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """``sql`` gives one row at most, with the account's ``writer``."""
        before = self.pool.timeline
        rows = await self.pool.fetch(sql, values)
        self._timeline = before if before == self.pool.timeline else ""
        self._begun = True
        self._writer = rows[0]["writer"] if rows else None
        return rows

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement whose first value is the account's number. Raises Overtaken."""
        if not self._begun:
            return await self.first(sql, values)
        # There is a row in any case; ``there`` tells it from those of the statement.
        guarded = (
            "SELECT (SELECT writer FROM account WHERE a = $1), q.* FROM (VALUES (1)) AS one LEFT JOIN LATERAL"
            f" (SELECT true AS there, found.* FROM ({sql}) AS found) AS q ON true"
        )
        rows = await self.pool.fetch(guarded, values)
        if rows[0][0] != self._writer:
            raise Overtaken
        return [row[2:] for row in rows if row[1]]
