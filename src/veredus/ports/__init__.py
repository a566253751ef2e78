"""Every outside thing as a small Protocol; what implements it is named in ``app`` alone.

An implementation raises ``Unavailable`` (try again later) and no exception of its driver.
The contract suites in ``tests/contract`` are the specification of these classes. What moves accounts from
store to store has names of its own, in ``ports.moving``.
"""

from veredus.ports.auth import Access, AccountInfo, Authenticator, Directory, Identity
from veredus.ports.blobs import Blob, BlobsInUse, BlobStore, TooLarge
from veredus.ports.bus import BusCounts, EventBus, Hint, HintSubscription, ReceiveHint
from veredus.ports.clock import Clock
from veredus.ports.relay import Address, BeforeText, Fate, Parcel, Relay, Unreachable
from veredus.ports.store import (
    Change,
    Changes,
    Cursor,
    Kind,
    Lease,
    LeaseLost,
    Overtaken,
    Snapshot,
    Store,
    Table,
    Transaction,
)
from veredus.ports.trouble import Unavailable

__all__ = [
    "Access",
    "AccountInfo",
    "Address",
    "Authenticator",
    "BeforeText",
    "Blob",
    "BlobStore",
    "BlobsInUse",
    "BusCounts",
    "Change",
    "Changes",
    "Clock",
    "Cursor",
    "Directory",
    "EventBus",
    "Fate",
    "Hint",
    "HintSubscription",
    "Identity",
    "Kind",
    "Lease",
    "LeaseLost",
    "Overtaken",
    "Parcel",
    "ReceiveHint",
    "Relay",
    "Snapshot",
    "Store",
    "Table",
    "TooLarge",
    "Transaction",
    "Unavailable",
    "Unreachable",
]
