"""What the checker says."""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "lost",  # acknowledged or seen, and gone without anybody having taken it away
    "twice",  # there twice, or back again after it was gone
    "phantom",  # there, and nobody wrote it, or it was refused
    "early",  # seen at a state older than the one that wrote it
    "wrong",  # a fact that none of the writes in question gave
    "torn",  # a part of one transaction without the rest
    "overlap",  # two writes that each believed to be the only one between two states
    "condition",  # ifInState named another state
    "back",  # somebody was told an older state after a newer one was known
    "split",  # two copies of one state that are not the same
    "replay",  # /changes does not lead to what /get gives
    "splice",  # /queryChanges does not lead to what /query gives
    "stale",  # a subscriber that was not told the last state
    "fence",  # a write by somebody who was not the holder of the lease any more
]


class Violation(Struct, frozen=True):
    """One thing that must not be; ``text`` names the records, states and writes concerned."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
