"""Where a record stands in its table: row numbers in the table's own order (ADR 0014).

    rid = account number << 48 | second << 15 | sequence

A table without an order property counts: ``account number << 48 | counter``.
"""

from calendar import timegm
from typing import Any

ACCOUNT_SHIFT = 48
SECOND_SHIFT = 15
MAX_ACCOUNTS = 2**15
RECORDS_OF_SECOND = 2**SECOND_SHIFT
# A second that is full spills into the following ones, at most this far.
MAX_SPILL = 64
MAX_SECOND = 2**33 - 1 - MAX_SPILL


def second(value: Any) -> int:
    """The Unix second of a UTCDate; before 1970 (and absent) counts as 0, after 2242 as the last."""
    if not isinstance(value, str) or value < "1970":
        return 0
    year, month, day, hour, minute = (
        int(value[at:end]) for at, end in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16))
    )
    return min(timegm((year, month, day, hour, minute, int(value[17:19]))), MAX_SECOND)


def bounds(account: int) -> tuple[int, int]:
    """The first and the last row number of an account."""
    return account << ACCOUNT_SHIFT, (account + 1 << ACCOUNT_SHIFT) - 1


def first_of(account: int, at: int) -> int:
    """The first row number of a second."""
    # Added, not or-ed: the second behind the last one is the next account.
    return (account << ACCOUNT_SHIFT) + (at << SECOND_SHIFT)
