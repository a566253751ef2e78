"""Removing what nobody sees of an account: an attempt to load it, or what was there before it was loaded."""

from collections.abc import Mapping

from veredus.store import moving
from veredus.store.postgres.pool import Pool
from veredus.store.postgres.schema import Layout

_AT_ONCE = 20_000


async def purge(writers: Pool, layouts: Mapping[str, Layout], account: int) -> None:
    """In transactions that are over soon; its row in ``account`` goes last."""
    tables = ["log", "blob"]
    for layout in layouts.values():
        others = (layout.cold, layout.txt, *layout.members.values())
        tables += [table for table in (layout.records, *others) if table]
    for table in tables:
        removed = _AT_ONCE
        while removed == _AT_ONCE:
            rows = await writers.change(
                f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY("
                f"SELECT ctid FROM {table} WHERE a = $1 LIMIT {_AT_ONCE})) RETURNING 1)"
                " SELECT count(*) FROM gone",
                (account,),
            )
            removed = rows[0][0]
    await writers.change(
        "DELETE FROM account WHERE a = $1 AND id LIKE $2 RETURNING a", (account, moving.HIDDEN + "%")
    )
