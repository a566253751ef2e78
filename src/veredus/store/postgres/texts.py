"""Full text of a PostgreSQL database that is made after the records."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from veredus.store import moving
from veredus.store.postgres.moving import text_rows
from veredus.store.postgres.pool import Pool
from veredus.store.postgres.reads import decode_states
from veredus.store.postgres.schema import Layout
from veredus.wire.types import Id


async def unindexed(readers: Pool, layout: Layout, id: Id) -> AsyncGenerator[list[Id], None]:
    """Each page as of its own moment: nobody keeps the database from tidying up meanwhile."""
    if layout.txt is None:
        return
    before = 2**63 - 1
    while rows := await readers.fetch(
        f"SELECT r.rid, r.id FROM {layout.records} r"
        " WHERE r.a = (SELECT a FROM account WHERE id = $1) AND r.rid < $2 AND NOT r.texts"
        " ORDER BY r.a DESC, r.rid DESC LIMIT $3",
        (id, before, moving.RECORDS_AT_ONCE),
    ):
        before = rows[-1][0]
        yield [row[1] for row in rows]


async def index(
    writers: Pool, layout: Layout, id: Id, texts: Mapping[Id, Mapping[str, str]], state: int | None
) -> bool:
    """False: the state is another, and nothing was done."""
    async with writers.connection() as connection:
        # Who changes the account meanwhile waits.
        found = await connection.fetchrow("SELECT a, states FROM account WHERE id = $1 FOR NO KEY UPDATE", id)
        if found is None or (state is not None and _state(found[1], layout) != state):
            return False
        account: int = found[0]
        rows: list[Any] = await connection.fetch(
            f"UPDATE {layout.records} SET texts = true WHERE a = $1 AND id = ANY($2::text[])"
            " RETURNING rid, id",
            *(account, list(texts)),
        )
        await connection.execute(
            f"DELETE FROM {layout.txt} WHERE a = $1 AND rid = ANY($2::bigint[])",
            *(account, [rid for rid, _ in rows]),
        )
        table, columns, records = text_rows(layout, account, {rid: texts[id] for rid, id in rows})
        if records:
            await connection.copy_records_to_table(table, records=records, columns=columns)
        # No state has changed; what is remembered of searches, and replicas, go by the last writer.
        await connection.execute(
            "UPDATE account SET writer = greatest(writer, pg_current_xact_id()::text::bigint) WHERE a = $1",
            account,
        )
        await writers.commit(connection)
    return True


def _state(encoded: str, layout: Layout) -> int:
    return decode_states(encoded).get(layout.name, (0, 0))[0]
