"""Counts of the outgoing queue for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.outgoing.attempt import Counts


class OutgoingMetrics:
    """A collector of prometheus-client."""

    def __init__(self, registry: CollectorRegistry, counts: Callable[[], Counts]) -> None:
        self._counts = counts
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        counts = self._counts()
        attempts = CounterMetricFamily(
            "veredus_outgoing_recipients",
            "Recipients by what an attempt made of them: relayed, later, failed, unknown.",
            labels=("outcome",),
        )
        for outcome in ("relayed", "later", "failed", "unknown"):
            attempts.add_metric((outcome,), getattr(counts, outcome))
        yield attempts
        yield CounterMetricFamily(
            "veredus_outgoing_unreachable",
            "Attempts that reached no host of a destination.",
            counts.unreachable,
        )
