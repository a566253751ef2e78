"""What is said of a setting: see ``settings``."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """What a person must know of a setting, and what its value must satisfy besides its type."""

    doc: str
    minimum: int | None = None
    maximum: int | None = None
    # Called with each string of the value; says what is wrong, or None.
    check: Callable[[str], str | None] | None = None


# JMAP numbers are UnsignedInt: 2^53 - 1 at most (RFC 8620 §1.3).
MAX_INT = 2**53 - 1


def limit(doc: str, minimum: int = 1) -> Setting:
    return Setting(doc, minimum=minimum, maximum=MAX_INT)
