"""What a delivery is given and what becomes of it; apart from ``sender``, which takes long to import."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from veredus.formats.webpush import Keys, VapidKey

Urgency = Literal["very-low", "low", "normal", "high"]
Kind = Literal["delivered", "gone", "slow_down", "retry", "refused"]


class Target(Struct, frozen=True):
    """Where to send: URL and keys of a subscription (None: not encrypted), and the key it was made with."""

    url: str
    keys: Keys | None
    vapid: VapidKey


class Outcome(Struct, frozen=True):
    """What became of a delivery.

    gone: the subscription no longer exists there (404, 410). slow_down: fewer, please (429). retry: it may
    work later. refused: it never will. ``status``: None when no response came. ``retry_after_s``: how long
    the push service asked to be left alone. ``detail``: for people; it names the host, and no more of a URL.
    """

    kind: Kind
    status: int | None
    retry_after_s: int | None
    detail: str


class Bounds(Struct, frozen=True):
    """What a push service may take up. ``total_timeout_s``: for a delivery with all its redirects."""

    connect_timeout_s: float = 10
    total_timeout_s: float = 30
    connections: int = 100
    connections_per_host: int = 20


class PushCounts(Struct):
    """For metrics. ``outcomes``: of the requests that were sent since the start; the others: of now.

    ``waiting``: subscriptions whose URL is left alone for a time. All zero in a process that does not push.
    """

    outcomes: Mapping[Kind, int] = {}
    subscriptions: int = 0
    in_flight: int = 0
    waiting: int = 0
