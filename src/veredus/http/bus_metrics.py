"""Counts of the event bus for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.ports import BusCounts


class BusMetrics:
    """A collector of prometheus-client."""

    def __init__(self, registry: CollectorRegistry, counts: Callable[[], BusCounts]) -> None:
        self._counts = counts
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        counts = self._counts()
        yield GaugeMetricFamily(
            "veredus_bus_connected", "Whether hints reach other processes.", int(counts.connected)
        )
        for name, about, value in (
            ("published", "Hints given to the bus.", counts.published),
            ("dropped", "Hints that could not be carried or understood.", counts.dropped),
            ("received", "Hints of other processes.", counts.received),
            ("lost", "Times that hints may have been lost, and the store is read.", counts.lost),
        ):
            yield CounterMetricFamily(f"veredus_bus_{name}", about, value)
