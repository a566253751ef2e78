"""The transactions in which a database is changed into another version."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

# Whoever migrates keeps others waiting by this advisory lock.
_MIGRATION_LOCK = 0x7665726564757301

# Connections give up on locks and statements after a while; who migrates waits for the others who do.
_PATIENT = """
SET LOCAL lock_timeout = 0;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '60s';
"""


@asynccontextmanager
async def step(connection: Any) -> AsyncIterator[None]:
    """A transaction in which nobody else migrates; each of its statements sees what is committed by then."""
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_PATIENT)
        await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        yield
