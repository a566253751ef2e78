"""What every port may raise, and what of an exception may be logged."""

import traceback


class Unavailable(Exception):
    """A resource cannot be used now; trying again later may work."""


def described(error: Exception) -> dict[str, object]:
    """Log fields of an exception: its type and the places it passed.

    Its text, or the locals that a renderer adds, may quote a message. That of Unavailable does not: it says
    which resource is lost, and why.
    """
    if isinstance(error, Unavailable):
        return {"error": type(error).__name__, "reason": str(error)}
    return {"error": type(error).__name__, "trace": traceback.format_tb(error.__traceback__)}
