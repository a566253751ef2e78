"""The counts and moments of bridges for Prometheus."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.bridge.status import AccountStatus, BridgeStatus, TrackStatus

Labels: TypeAlias = tuple[str, str, str, str]
_TRACK = ("bridge", "account", "type", "stream")
# Keys of TrackStatus.counts, and what they are called here.
_COUNTS = {
    "duplicates": ("bridge_duplicates", "Messages that the stream had already."),
    "retried": ("bridge_item_retries", "Further attempts with one record."),
    "retries": ("bridge_retries", "Times that everything of a type waited for a server, and began again."),
    "parked": ("bridge_newly_parked", "Records that became dead letters."),
    "left_out": ("bridge_left_out", "Records that filters leave out, or that were in the stream already."),
    "vanished": ("bridge_vanished", "Records that were gone before they could be fetched."),
    "spilled": ("bridge_spilled", "Messages too large for NATS, whose body is an object."),
    "parts_stored": ("bridge_parts_stored", "Parts stored as objects."),
    "part_octets": ("bridge_part_bytes", "Octets of parts stored as objects."),
    "parts_evicted": ("bridge_evictions", "Objects removed to make room."),
    "bucket_full": ("bridge_bucket_full", "Parts for which the object store had no room."),
}
# Nothing in the stream of events has parts.
_OF_PARTS = ("parts_stored", "part_octets", "bucket_full")
_PUBLISHED = "published."


class BridgeMetrics:
    """A collector of prometheus-client, over all bridges of this process."""

    def __init__(self, registry: CollectorRegistry, bridges: Sequence[BridgeStatus]) -> None:
        self._bridges = bridges
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        yield from self._of_bridges()
        yield from self._of_accounts()
        yield from self._moments()
        yield self._published()
        for key, (name, about) in _COUNTS.items():
            family = CounterMetricFamily(name, about, labels=_TRACK)
            for labels, track in self._tracks():
                if key not in _OF_PARTS or labels[-1] == "emails":
                    family.add_metric(labels, track.counts[key])
            yield family

    def _of_bridges(self) -> Iterator[Metric]:
        push = GaugeMetricFamily(
            "bridge_push_connected",
            "1: the JMAP server pushes; 0: it is asked.",
            labels=("bridge", "transport"),
        )
        up = GaugeMetricFamily(
            "bridge_connected", "1: connected to the server of JMAP, or NATS.", labels=("bridge", "to")
        )
        octets = GaugeMetricFamily(
            "bridge_object_bytes", "Octets in the object store, as of the last heartbeat.", labels=("bridge",)
        )
        for one in self._bridges:
            push.add_metric((one.name, one.transport or ""), one.transport not in (None, "poll"))
            up.add_metric((one.name, "jmap"), one.jmap_connected)
            up.add_metric((one.name, "nats"), one.nats_connected)
            if one.object_octets is not None:
                octets.add_metric((one.name,), one.object_octets)
        yield from (push, up, octets)

    def _of_accounts(self) -> Iterator[Metric]:
        labels = ("bridge", "account")
        lag = GaugeMetricFamily(
            "bridge_lag_seconds", "How long the next step of something has been due.", labels=labels
        )
        held = GaugeMetricFamily(
            "bridge_lease_held", "1: this process reads the account; 0: another shall.", labels=labels
        )
        parked = GaugeMetricFamily(
            "bridge_parked", "Dead letters that are there, as of the last heartbeat.", labels=labels
        )
        paused = GaugeMetricFamily("bridge_paused", "1: nobody reads the account, by order.", labels=labels)
        for bridge, account in self._accounts():
            values = (bridge.name, account.id)
            lag.add_metric(values, account.lag_s)
            held.add_metric(values, account.active)
            paused.add_metric(values, account.paused)
            parked.add_metric(values, bridge.parked.get(account.id, 0))
        yield from (lag, held, parked, paused)

    def _moments(self) -> Iterator[Metric]:
        """Of what this process reads: the age of what another or nobody reads would grow for ever."""
        age = GaugeMetricFamily(
            "bridge_checkpoint_age_seconds", "Since the cursor moved, or was seen to be right.", labels=_TRACK
        )
        for bridge, account in self._accounts():
            for labels, track in _tracks_of(bridge, account) if account.mode == "active" else ():
                if track.moved_at is not None:
                    age.add_metric(labels, time.monotonic() - track.moved_at)
        yield age

    def _published(self) -> Metric:
        """From the counts ``published.<op>``."""
        family = CounterMetricFamily(
            "bridge_published", "Messages that a stream has taken.", labels=(*_TRACK, "op")
        )
        for labels, track in self._tracks():
            for op, count in {"created": 0, **_by_op(track)}.items():
                family.add_metric((*labels, op), count)
        return family

    def _accounts(self) -> Iterator[tuple[BridgeStatus, AccountStatus]]:
        for bridge in self._bridges:
            for account in bridge.accounts.values():
                yield bridge, account

    def _tracks(self) -> Iterator[tuple[Labels, TrackStatus]]:
        for bridge, account in self._accounts():
            yield from _tracks_of(bridge, account)


def _tracks_of(bridge: BridgeStatus, account: AccountStatus) -> Iterator[tuple[Labels, TrackStatus]]:
    for name, track in account.tracks.items():
        pipeline, _, type = name.partition("/")
        yield (bridge.name, account.id, type, pipeline), track


def _by_op(track: TrackStatus) -> dict[str, int]:
    counts = track.counts.items()
    return {key.removeprefix(_PUBLISHED): count for key, count in counts if key.startswith(_PUBLISHED)}
