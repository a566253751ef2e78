"""Forgetting old entries of the log, one account at a time."""

import msgspec

from veredus.store.postgres.link import Link
from veredus.store.postgres.lock import lock
from veredus.store.postgres.pool import Pool
from veredus.store.postgres.reads import decode_states
from veredus.wire.types import Id

_OLD = "SELECT DISTINCT account.id FROM log JOIN account ON account.a = log.a WHERE log.at < $1"
# A prefix of the log, whatever the clocks of those who wrote it said; never its last entry.
_FORGET = """
WITH gone AS (
  DELETE FROM log WHERE a = $1 AND at < $2
    AND modseq < (SELECT max(modseq) FROM log WHERE a = $1)
    AND modseq < (SELECT coalesce(min(modseq), 9223372036854775807) FROM log WHERE a = $1 AND at >= $2)
  RETURNING type, modseq)
SELECT type, max(modseq) FROM gone GROUP BY type
"""


async def prune(readers: Pool, writers: Pool, before: int) -> None:
    """``before``: Unix seconds."""
    for (account,) in await readers.fetch(_OLD, (before,)):
        link = Link(writers)
        try:
            await _forget(link, account, before)
        finally:
            link.close()


async def _forget(link: Link, id: Id, before: int) -> None:
    found = await lock(link, id)
    if found is None:  # another one has come in its place
        return
    account, states = found["a"], decode_states(found["states"])
    rows = await link.fetch(_FORGET, (account, before))
    if not rows:
        return
    for type, modseq in rows:
        states[type] = (states[type][0], modseq)
    # The writer, too: a replica that has not come so far does not agree with the new states.
    await link.fetch(
        "UPDATE account SET writer = $2, states = $3::text::jsonb WHERE a = $1",
        (account, found["own"], msgspec.json.encode(states).decode()),
    )
    await link.commit()
