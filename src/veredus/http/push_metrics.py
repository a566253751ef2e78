"""Counts of push for Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from veredus.push.hub import HubCounts
from veredus.push.web.outcome import Kind, PushCounts


class PushMetrics:
    """A collector of prometheus-client. ``streams``: how many are open, by transport."""

    def __init__(
        self,
        registry: CollectorRegistry,
        hub: Callable[[], HubCounts],
        streams: Mapping[str, Callable[[], int]],
        web_push: Callable[[], PushCounts] = PushCounts,
    ) -> None:
        self._hub, self._web_push, self._streams = hub, web_push, streams
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        streams = GaugeMetricFamily("veredus_push_streams", "Open streams.", labels=("transport",))
        for transport, count in self._streams.items():
            streams.add_metric((transport,), count())
        yield streams
        counts = self._hub()
        yield GaugeMetricFamily("veredus_push_subscribers", "Subscribers to changes.", counts.subscribers)
        yield GaugeMetricFamily("veredus_push_accounts", "Accounts that somebody watches.", counts.accounts)
        yield CounterMetricFamily("veredus_push_events", "Events that subscribers were told.", counts.told)
        yield CounterMetricFamily(
            "veredus_push_resyncs", "Times that the bus had lost hints, and the store was read.", counts.lost
        )
        yield from self._of_web_push()

    def _of_web_push(self) -> Iterator[Metric]:
        counts = self._web_push()
        requests = CounterMetricFamily(
            "veredus_webpush_requests", "Requests to push URLs.", labels=("outcome",)
        )
        for outcome in get_args(Kind):
            requests.add_metric((outcome,), counts.outcomes.get(outcome, 0))
        yield requests
        for name, about, value in (
            ("subscriptions", "Push subscriptions that this process serves.", counts.subscriptions),
            ("in_flight", "Subscriptions with a request under way.", counts.in_flight),
            ("waiting", "Subscriptions whose URL is left alone for a time.", counts.waiting),
        ):
            yield GaugeMetricFamily(f"veredus_webpush_{name}", about, value)
