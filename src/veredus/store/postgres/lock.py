"""The row of an account, locked by who writes it."""

import hashlib
from typing import Any

from veredus.ports import Unavailable
from veredus.store.postgres.link import Link
from veredus.store.postgres.pool import IDLE_MS
from veredus.wire.types import Id

# Writers of an account queue for the advisory lock, since waiting for a row gives a transaction its number:
# of sixteen writers who waited for the row, most found that they had got theirs too early, and began anew.
_LOCK = f"""
WITH queue AS MATERIALIZED (SELECT pg_advisory_xact_lock($2)),
locked AS MATERIALIZED (
  SELECT a, modseq, states, arrivals, writer FROM account, queue WHERE id = $1 FOR UPDATE OF account)
SELECT a, modseq, states, arrivals, writer, pg_current_xact_id()::text::bigint AS own,
  set_config('idle_in_transaction_session_timeout', '{IDLE_MS}', true) FROM locked
"""
_CREATE = "INSERT INTO account(id) VALUES($1) ON CONFLICT DO NOTHING"
# Of a writer that began before another one and got the lock after it.
_ATTEMPTS = 10


async def lock(link: Link, id: Id, *, create: bool = False) -> Any:
    """Begin a transaction with a higher number (``own``) than all that wrote the account before it.

    With a lower one its changes would come before theirs in the feed. None: there is no account.
    """
    place = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big", signed=True)
    for _ in range(_ATTEMPTS):
        rows = await link.first(_LOCK, (id, place))
        if not rows and create:
            await link.fetch(_CREATE, (id,))
            rows = await link.fetch(_LOCK, (id, place))
        if not rows:
            return None
        if rows[0]["writer"] < rows[0]["own"]:
            return rows[0]
        link.close()
    raise Unavailable(f"account {id} is written too often")
