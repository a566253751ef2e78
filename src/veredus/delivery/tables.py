"""The table in which delivery remembers; apart from what uses it, since every command knows all tables."""

from typing import Final

from veredus.ports import Table

REMEMBERED: Final = "Remembered"
# {"id": a letter for the kind and a digest, "until": UTCDate of its end}; of senders that were answered
# {"handles": {handle: UTCDate}}, of rates {"count": messages of this hour}.
TABLE: Final = Table(REMEMBERED, scalars=("until",), logged=False)
