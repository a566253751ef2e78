"""Counts of push for Prometheus."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.push.hub import HubCounts


class PushMetrics:
    """A collector of prometheus-client. ``streams``: how many are open, by transport."""

    def __init__(
        self,
        registry: CollectorRegistry,
        counts: Callable[[], HubCounts],
        streams: Mapping[str, Callable[[], int]],
    ) -> None:
        self._counts, self._streams = counts, streams
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        streams = GaugeMetricFamily("veredus_push_streams", "Open streams.", labels=("transport",))
        for transport, count in self._streams.items():
            streams.add_metric((transport,), count())
        yield streams
        counts = self._counts()
        yield GaugeMetricFamily("veredus_push_subscribers", "Subscribers to changes.", counts.subscribers)
        yield GaugeMetricFamily("veredus_push_accounts", "Accounts that somebody watches.", counts.accounts)
        yield CounterMetricFamily("veredus_push_events", "Events that subscribers were told.", counts.told)
        yield CounterMetricFamily(
            "veredus_push_resyncs", "Times that the bus had lost hints, and the store was read.", counts.lost
        )
