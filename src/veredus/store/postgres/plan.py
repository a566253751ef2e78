"""Selecting and counting in PostgreSQL.

What an index answers is one statement (``window``, ``counting``); the rest is evaluated here (``residual``).
"""

from veredus.store.postgres import residual
from veredus.store.postgres.selection import Fetch, Selection, Statement
from veredus.store.postgres.statements import counting, window
from veredus.wire.types import Id

__all__ = ["Fetch", "Selection", "Statement", "count", "select", "window"]


async def select(selection: Selection, fetch: Fetch) -> list[Id]:
    """As ``Snapshot.select``."""
    if selection.limit == 0:
        return []
    statement = window(selection)
    if statement is None:
        return await residual.select(selection, fetch)
    return [row[1] for row in await fetch(statement.sql, statement.values)]


async def count(selection: Selection, fetch: Fetch) -> int:
    """How many records ``select`` would give without a limit."""
    statement = counting(selection)
    if statement is None:
        return await residual.count(selection, fetch)
    ((number,),) = await fetch(statement.sql, statement.values)
    return int(number)
