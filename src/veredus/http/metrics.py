"""Counts of requests for Prometheus.

Plain numbers, turned into metrics when somebody asks: the counters of prometheus-client take a lock for
each increment, and one event loop needs none. Labels are routes, methods and statuses, so they are few.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.http.exchange import Exchange

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUND_LABELS = [*map(str, _BOUNDS), "+Inf"]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class _Route:
    """Sums of one route."""

    __slots__ = ("buckets", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUND_LABELS)
        self.seconds = 0.0
        self.received = 0
        self.sent = 0


class HttpMetrics:
    """A collector of prometheus-client."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.in_flight = 0
        self._counts: dict[tuple[str, str, int], int] = {}
        self._routes: dict[str, _Route] = {}
        registry.register(self)

    def record(self, x: Exchange, seconds: float) -> None:
        """Count a finished request."""
        self.count(x.method, x.route, x.status)
        route = self._routes.get(x.route)
        if route is None:
            route = self._routes[x.route] = _Route()
        route.buckets[bisect_left(_BOUNDS, seconds)] += 1
        route.seconds += seconds
        route.received += x.received
        route.sent += x.sent

    def count(self, method: str, route: str, status: int) -> None:
        """Count a response without timing it."""
        labels = (method if method in _METHODS else "other", route, status)
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        yield GaugeMetricFamily("veredus_http_requests_in_flight", "Requests being answered.", self.in_flight)
        requests = CounterMetricFamily(
            "veredus_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for (method, route, status), count in self._counts.items():
            requests.add_metric((method, route, str(status)), count)
        yield requests
        durations = HistogramMetricFamily(
            "veredus_http_request_duration_seconds",
            "From the header section to the last octet.",
            labels=("route",),
        )
        received = CounterMetricFamily(
            "veredus_http_received_bytes", "Octets of request bodies.", labels=("route",)
        )
        sent = CounterMetricFamily("veredus_http_sent_bytes", "Octets of response bodies.", labels=("route",))
        for name, sums in self._routes.items():
            durations.add_metric(
                (name,), list(zip(_BOUND_LABELS, _cumulated(sums.buckets), strict=True)), sums.seconds
            )
            received.add_metric((name,), sums.received)
            sent.add_metric((name,), sums.sent)
        yield from (durations, received, sent)


def _cumulated(buckets: list[int]) -> Iterator[float]:
    total = 0
    for count in buckets:
        total += count
        yield total
