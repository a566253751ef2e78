"""What a bridge knows of itself: counters and moments, for /metrics, /readyz, heartbeats and `bridge status`.

Plain values that the loops write and the monitor reads, all in one event loop.
"""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from msgspec import Struct, field

from veredus import __version__
from veredus.bridge.wire.times import utc
from veredus.wire.types import Id, JsonObject

Mode: TypeAlias = Literal["active", "standby", "paused"]


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
        self.state = state
        self.progressed()

    def progressed(self) -> None:
        """A piece of the work is done, and there is more."""
        self.error = None
        self.behind_since = self.moved_at = time.monotonic()

    @property
    def lag_s(self) -> float:
        """How long something has been waiting for its next step; 0: nothing waits."""
        return 0.0 if self.behind_since is None else time.monotonic() - self.behind_since

    @property
    def age_s(self) -> float | None:
        """How long ago it was last known to stand where it stands; None: not yet in this process."""
        return None if self.moved_at is None else time.monotonic() - self.moved_at


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

    @property
    def mode(self) -> Mode:
        """Of this process; an account is paused for all of them."""
        if self.paused:
            return "paused"
        return "active" if self.active else "standby"

    @property
    def lag_s(self) -> float:
        """The longest of its tracks; 0 while another process reads it, or nobody shall."""
        waiting = self.tracks.values() if self.mode == "active" else ()
        return max((track.lag_s for track in waiting), default=0.0)


class BridgeStatus(Struct):
    """One server read into one NATS, by one process. ``transport``: of push; None: nothing pushes.

    ``parked``: dead letters by account, and ``object_octets``: of the object store, as last asked of NATS.
    """

    name: str
    instance: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    server: str = ""
    nats: str = ""
    nats_connected: bool = False
    nats_error: str | None = None
    jmap_connected: bool = False
    jmap_error: str | None = None
    transport: str | None = None
    accounts: dict[Id, AccountStatus] = field(default_factory=dict)
    parked: dict[Id, int] = field(default_factory=dict)
    object_octets: int | None = None

    @property
    def lag_s(self) -> float:
        """The longest lag of all accounts that this process reads."""
        return max((account.lag_s for account in self.accounts.values()), default=0.0)

    @property
    def mode(self) -> Mode:
        """``active`` if this process reads any account, ``paused`` if nobody may."""
        modes = {account.mode for account in self.accounts.values()}
        if "active" in modes:
            return "active"
        return "paused" if modes == {"paused"} else "standby"

    def problems(self, max_lag_s: float) -> list[str]:
        """Why it is not ready; empty: it is. A standby is, as long as it could take over."""
        return list(self._problems(max_lag_s))

    def _problems(self, max_lag_s: float) -> Iterator[str]:
        if not self.jmap_connected:
            yield f"JMAP: {self.jmap_error or 'not connected yet'}"
        if not self.nats_connected:
            yield f"NATS: {self.nats_error or 'not connected yet'}"
        for account in self.accounts.values():
            if account.error is not None:
                yield f"account {account.id}: {account.error}"
            if account.mode == "active":
                yield from self._problems_of(account, max_lag_s)

    def _problems_of(self, account: AccountStatus, max_lag_s: float) -> Iterator[str]:
        for name, track in account.tracks.items():
            about = f"account {account.id}, {name}"
            if track.error is not None:
                yield f"{about}: {track.error}"
            elif track.lag_s > max_lag_s:
                yield f"{about}: {track.lag_s:.0f} s behind"
            if self.transport is None and (track.age_s is None or track.age_s > max_lag_s):
                yield f"{about}: nothing pushes, and it was not looked at for {max_lag_s:.0f} s"


def report(status: BridgeStatus, max_lag_s: float) -> JsonObject:
    """What heartbeats, the control service and ``info`` in KV tell; nothing of any message."""
    return {
        "bridge": status.name,
        "instance": status.instance,
        "version": __version__,
        "startedAt": utc(status.started_at),
        "at": utc(datetime.now(UTC)),
        "mode": status.mode,
        "server": status.server,
        "nats": status.nats,
        "push": status.transport,
        "lagSeconds": round(status.lag_s, 3),
        "problems": status.problems(max_lag_s),
        "accounts": {account.id: _of_account(account) for account in status.accounts.values()},
    }


def _of_account(account: AccountStatus) -> JsonObject:
    ages = [track.age_s for track in account.tracks.values() if track.age_s is not None]
    return {
        "mode": account.mode,
        "lagSeconds": round(account.lag_s, 3),
        "lastMovedSeconds": round(min(ages), 3) if ages else None,
        "error": account.error,
        "tracks": {
            name: {"state": track.state, "error": track.error, "counts": dict(track.counts)}
            for name, track in account.tracks.items()
        },
    }
