"""What went wrong, as a port tells it: a lost or overloaded database is Unavailable, a mistake is not."""

import asyncpg

from veredus.ports import Unavailable

# Of these classes of SQLSTATE nothing is the fault of a statement: connection, transaction rolled back by the
# server, resources, operator intervention, system error.
_TRANSIENT = ("08", "40", "53", "57", "58")
# The same: read-only transaction (a server that is no longer the primary), failed transaction, idle timeout,
# lock not available.
_TRANSIENT_STATES = ("25006", "25P02", "25P03", "55P03")


class Lost(Unavailable):
    """The connection ended, or its statement was of another schema, before its transaction had done anything:
    another one may do."""


class Unconfirmed(Unavailable):
    """The answer to a commit did not come: it may have been done."""


def is_transient(error: BaseException) -> bool:
    """Whether trying again later may help."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        # The type of a column has changed; the statement is prepared anew the next time.
        is_outdated = isinstance(error, asyncpg.InvalidCachedStatementError)
        return is_outdated or state.startswith(_TRANSIENT) or state in _TRANSIENT_STATES
    # The server has said that it ends, and its connection is not closed yet: nothing was sent. Or none of
    # the hosts is a primary now.
    if isinstance(error, asyncpg.InternalClientError):
        return True
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, OSError | TimeoutError)


def is_refusal(error: BaseException | None) -> bool:
    """Authorization, unknown database or role, and too few privileges."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith("28") or state in ("3D000", "42501")


def translated(error: BaseException, place: str) -> Unavailable | None:
    """None: it is to be raised as it is."""
    said = str(error).strip() or type(error).__name__
    if isinstance(error, asyncpg.UndefinedTableError):  # tables have other names then (``migrate``)
        return Unavailable(f"PostgreSQL at {place}: {said}: a newer program has changed it - update this one")
    if not is_transient(error) and not is_refusal(error):
        return None
    return Unavailable(f"PostgreSQL at {place}: {said}")
