"""Committing, and finding out what became of a commit whose answer was lost.

Whoever is told of a failure may do the same again, so it must be one.
"""

import asyncio
from contextlib import suppress

import asyncpg
import structlog

from veredus.ports import Unavailable
from veredus.store.postgres.failures import Unconfirmed
from veredus.store.postgres.link import Link

# How long a database that went away in the midst of a commit is asked about it.
_PATIENCE_S = 20.0
_ASK_EVERY_S = 0.2

# The entry of the log, too: a standby that takes over without the last transactions gives their numbers out
# again.
_STATUS = """
SELECT pg_xact_status($1::text::xid8), $2::bigint IS NULL
  OR EXISTS(SELECT 1 FROM log WHERE a = $2::bigint AND modseq = $3::bigint AND writer = $1::text::bigint)
"""
# The server may not know yet that nobody is there to say more; nothing of the transaction comes after this.
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = $1::text::xid8::xid"

_log = structlog.get_logger()


async def settle(link: Link, writer: int, last: tuple[int, int] | None) -> None:
    """Commit. ``writer``: number of the transaction; ``last``: account number and modseq of its last entry.

    Raises Unavailable when it was not committed, or when that could not be found out.
    """
    try:
        await link.commit()
    except Unconfirmed as error:
        if not await _is_committed(link, writer, last):
            raise Unavailable("the database was lost before the commit; nothing was changed") from error
        _log.warning("a commit was confirmed after its connection was lost")


async def _is_committed(link: Link, writer: int, last: tuple[int, int] | None) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_S
    account, modseq = last if last is not None else (None, None)
    while True:
        with suppress(Unavailable):
            try:
                rows = await link.pool.fetch(_STATUS, (str(writer), account, modseq))
            except asyncpg.InvalidParameterValueError:  # a standby has taken over that does not know it
                return False
            status, is_logged = rows[0]
            if status == "committed":
                return bool(is_logged)
            if status != "in progress":
                return False
            await link.pool.fetch(_END, (str(writer),))
        if loop.time() > end:
            raise Unavailable("the database was lost during a commit, whose outcome is not known")
        await asyncio.sleep(_ASK_EVERY_S)
