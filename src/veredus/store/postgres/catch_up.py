"""What has changed in an account of a PostgreSQL database since it was dumped; the same done to a copy."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from veredus.ports import Kind
from veredus.ports.moving import Delta, LogRow, Rows
from veredus.store import moving
from veredus.store.postgres.link import Link
from veredus.store.postgres.moving import PATIENT, Layouts, head_of, records
from veredus.store.postgres.pool import Pool
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.tx import Writes
from veredus.wire.types import Id

_LOG = """
INSERT INTO log(a, writer, modseq, type, id, kind, names, at) SELECT $1, $2, u.*
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[]) u
"""


async def changed_since(connection: Any, layouts: Layouts, id: Id, stamp: str) -> Delta | None:
    """``connection``: in a transaction that sees one moment."""
    await connection.execute(PATIENT)
    found = await connection.fetchrow("SELECT a, modseq, states FROM account WHERE id = $1", id)
    if found is None:
        return None
    account, modseq, states = found
    head, since = await head_of(connection, layouts, id, account, modseq, states), moving.modseq_of(stamp)
    if not moving.reaches_back(head, since):
        return None
    log = await connection.fetch(
        "SELECT modseq, type, id, kind, names, at FROM log WHERE a = $1 AND modseq > $2 ORDER BY modseq",
        *(account, since),
    )
    rows = []
    for layout in layouts.values():
        found = records(connection, layout, account, since=since if layout.table.logged else None)
        rows.append(Rows(layout.name, "", [row async for _, row in found]))
    return Delta(head, [LogRow(*row) for row in log], rows)


class _Writes(Writes):
    """What is written was logged elsewhere."""

    def _log(self, layout: Layout, id: Id, kind: Kind, names: frozenset[str] | None) -> None: ...

    async def take(self, delta: Delta) -> None:
        """States and log of the source; ``finish`` writes the states."""
        self._seen.modseq = delta.head.modseq
        self._seen.states.clear()
        self._seen.states.update(delta.head.states)
        for type, (_, floor) in delta.head.states.items():
            await self._link.fetch(
                "DELETE FROM log WHERE a = $1 AND type = $2 AND modseq <= $3", (self._a, type, floor)
            )
        columns: list[list[Any]] = [list(column) for column in zip(*delta.log, strict=True)]
        if columns:
            await self._link.fetch(_LOG, (self._a, self.writer, *columns))

    async def finish(self) -> bool:
        """The row of the account is written in any case."""
        await super().finish()
        states = msgspec.json.encode(self._seen.states).decode()
        await self._link.fetch(
            "UPDATE account SET modseq = $2, arrivals = $3, writer = $4, states = $5::text::jsonb"
            " WHERE a = $1",
            (self._a, self._seen.modseq, self._arrivals, self.writer, states),
        )
        return True

    @property
    def modseq(self) -> int:
        """Of the account, as it was found."""
        found: int = self._before
        return found


async def catch_up(writers: Pool, layouts: Layouts, id: Id, stamp: str, delta: Delta) -> bool:
    """In one transaction."""
    link = Link(writers)
    try:
        tx = _Writes(link, layouts, id, datetime.now(UTC))
        await tx.begin(None)
        found = await link.fetch("SELECT whole FROM loading WHERE account = $1 AND a IS NULL", (id,))
        if [row[0] for row in found] != [stamp] or tx.modseq != moving.modseq_of(stamp):
            return False
        await moving.apply(tx, {name: layout.table for name, layout in layouts.items()}, delta)
        await tx.take(delta)
        await tx.finish()
        await link.fetch("UPDATE loading SET whole = $2 WHERE account = $1", (id, delta.head.stamp))
        await link.commit()
    finally:
        link.close()
    return True
