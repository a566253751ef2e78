"""Leases in PostgreSQL, by its own clock (ADR 0021).

A fenced transaction holds the row with FOR KEY SHARE (``tx``): renewing passes by that, taking over does not,
so a lease changes hands only between such transactions.
"""

from veredus.ports import Lease
from veredus.store.postgres.pool import Pool

_RENEW = """
UPDATE lease SET until = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1 AND holder = $2 AND until > clock_timestamp() RETURNING token
"""
_TAKE = """
WITH free AS (SELECT name FROM lease WHERE name = $1 AND until <= clock_timestamp() FOR UPDATE SKIP LOCKED)
UPDATE lease SET holder = $2, token = token + 1, until = clock_timestamp() + make_interval(secs => $3)
FROM free WHERE lease.name = free.name RETURNING token
"""
_BEGIN = """
INSERT INTO lease VALUES($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT DO NOTHING RETURNING token
"""
# The row stays, so that tokens rise.
_RELEASE = (
    "UPDATE lease SET until = '-infinity' WHERE name = $1 AND holder = $2 AND token = $3 RETURNING token"
)


async def acquire(pool: Pool, name: str, holder: str, ttl_s: float) -> Lease | None:
    for statement in (_RENEW, _TAKE, _BEGIN):
        rows = await pool.change(statement, (name, holder, float(ttl_s)))
        if rows:
            return Lease(name, holder, rows[0][0])
    return None


async def release(pool: Pool, lease: Lease) -> None:
    await pool.change(_RELEASE, (lease.name, lease.holder, lease.token))
