"""What a bridge knows of itself: counters and moments, for /metrics, /readyz, heartbeats and `bridge status`.

Plain values that the loops write and the monitor reads, all in one event loop.
"""

import time
from collections import Counter
from datetime import UTC, datetime

from msgspec import Struct, field


class TrackStatus(Struct):
    """One type of one account on its way into one stream. Moments are of the monotonic clock, in seconds."""

    state: str | None = None
    # Since when there is something that is not in the stream yet; None: nothing that we know of.
    behind_since: float | None = None
    moved_at: float | None = None
    error: str | None = None
    # The dead letters of this run of the process; how many there are in all is asked of the stream.
    counts: Counter[str] = field(default_factory=Counter)

    def looked(self) -> None:
        """Something may have changed at the server."""
        if self.behind_since is None:
            self.behind_since = time.monotonic()

    def caught_up(self, state: str) -> None:
        """Everything up to ``state`` is in the stream."""
        self.state, self.error, self.behind_since = state, None, None
        self.moved_at = time.monotonic()

    def moved(self, state: str) -> None:
        """The cursor has moved, and there is more."""
        self.state, self.error = state, None
        self.behind_since = self.moved_at = time.monotonic()

    @property
    def lag_s(self) -> float:
        """How long something has been waiting for its next step; 0: nothing waits."""
        return 0.0 if self.behind_since is None else time.monotonic() - self.behind_since


class AccountStatus(Struct):
    """One account. ``active``: this process holds its lease. ``error``: why it cannot even begin."""

    id: str
    name: str = ""
    active: bool = False
    paused: bool = False
    error: str | None = None
    tracks: dict[str, TrackStatus] = field(default_factory=dict)

    def track(self, pipeline: str, type: str) -> TrackStatus:
        """The status of ``type`` on its way to ``pipeline``; made when it is first asked for."""
        return self.tracks.setdefault(f"{pipeline}/{type}", TrackStatus())


class BridgeStatus(Struct):
    """One server read into one NATS, by one process. ``transport``: of push; None: nothing pushes."""

    name: str
    instance: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    server: str = ""
    nats: str = ""
    nats_connected: bool = False
    jmap_connected: bool = False
    transport: str | None = None
    error: str | None = None
    accounts: dict[str, AccountStatus] = field(default_factory=dict)

    @property
    def lag_s(self) -> float:
        """The longest lag of all accounts that this process reads."""
        return max(
            (
                track.lag_s
                for account in self.accounts.values()
                if account.active
                for track in account.tracks.values()
            ),
            default=0.0,
        )
