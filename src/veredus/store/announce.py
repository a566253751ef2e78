"""The default of ``announce``: for stores whose changes nobody waits for."""

from veredus.ports import Hint


def silence(hint: Hint) -> None:
    """Tell nobody."""
