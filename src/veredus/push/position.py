"""Where a subscriber stands: of each account the highest modseq it has been told (RFC 8620 §7.3, event id).

One number for an account says all: a type has changed since exactly if its state is higher. So the whole
visible state fits in the id of an event, and the server remembers nothing of those who are away.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

from veredus.wire.types import Id

# Never changed once it was handed out: many subscribers share one.
Position: TypeAlias = Mapping[Id, int]

# Characters of a position: more than fit into a header section, and so into a Last-Event-ID.
_MOST = 65_536
_PART = re.compile(r"([A-Za-z0-9_-]{1,255})\.([0-9]{1,16})\Z")


def encode(position: Position) -> str:
    """As the id of an event and as a pushState: letters, digits and ``-_.~``."""
    return "~".join(f"{account}.{modseq}" for account, modseq in position.items())


def decode(text: str) -> Position | None:
    """The position that ``encode`` wrote; None when it is none of ours."""
    if len(text) > _MOST:
        return None
    position: dict[Id, int] = {}
    for part in text.split("~") if text else ():
        found = _PART.match(part)
        if found is None:
            return None
        position[found[1]] = int(found[2])
    return position
