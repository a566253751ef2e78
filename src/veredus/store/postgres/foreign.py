"""A database that pg_restore has brought into another cluster, whose transactions have lower numbers.

The feed shows what is older than every running transaction; entries of a transaction that is yet to come
would not be shown until then, and no account could be written.
"""

from typing import Any

from veredus.store.postgres.step import step

# Both are quick: the log has an index for it, accounts are few beside records.
_IS_FOREIGN = """
SELECT greatest((SELECT max(writer) FROM log), (SELECT max(writer) FROM account))
  >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
# In an account later entries keep higher or equal numbers, so the order of its log stays.
_RESET = """
UPDATE log SET writer = pg_current_xact_id()::text::bigint WHERE writer > pg_current_xact_id()::text::bigint;
UPDATE account SET writer = pg_current_xact_id()::text::bigint
  WHERE writer > pg_current_xact_id()::text::bigint;
"""


async def adopt(connection: Any) -> None:
    """Number what comes from another cluster as if this transaction had written it."""
    if not await connection.fetchval(_IS_FOREIGN):
        return
    async with step(connection):
        if await connection.fetchval(_IS_FOREIGN):
            await connection.execute(_RESET)
