"""What a store is and holds, told without opening it for work: nothing is migrated."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct


class Replica(Struct, frozen=True):
    """A read-only copy. ``behind_s``: how old what it shows may be; ``behind_octets``: of log to be replayed.

    ``trouble``: why it cannot be used, for people; None when it can.
    """

    place: str
    behind_s: float | None = None
    behind_octets: int | None = None
    trouble: str | None = None


class Server(Struct, frozen=True):
    """A database server. ``ahead_s``: of our clock. ``unsafe``: settings that lose what was acknowledged.

    ``held_s``: for how long changes have been kept from the feed, by a transaction that does not end; what is
    known of it is ``held_by``.
    """

    connections: int
    max_connections: int
    ahead_s: float
    unsafe: Sequence[str] = ()
    replicas: Sequence[Replica] = ()
    held_s: float = 0.0
    held_by: str = ""


class StoreStatus(Struct, frozen=True):
    """``place``: without credentials. ``version``: of the tables, 0: there are none. ``records``: by type.

    ``oldest``: when the first entry of the log was written. ``pending``: what opening would change;
    ``refused``: why this program cannot open it.
    """

    backend: Literal["sqlite", "postgresql"]
    place: str
    software: str
    version: int
    program_version: int
    size: int = 0
    accounts: int = 0
    records: Mapping[str, int] = {}
    log_entries: int = 0
    oldest: datetime | None = None
    pending: Sequence[str] = ()
    refused: str | None = None
    server: Server | None = None
