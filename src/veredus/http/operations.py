"""What operators and their tools ask: is the process alive, can it work, what has it done."""

from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from veredus.http.exchange import Exchange, Receive, Scope, Send
from veredus.http.problems import Headers, Problem, encode
from veredus.http.routes import Route, Routes
from veredus.http.siblings import Siblings


class Degraded(str):
    """A problem in spite of which everything is served, if more slowly."""


def _json() -> Headers:
    return [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Operations:
    """/healthz, /readyz and /metrics; none needs credentials, none says anything of a user."""

    # Asked every few seconds for ever: logged at level debug.
    QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

    def __init__(
        self,
        ready: Callable[[], Awaitable[list[str]]],
        registry: CollectorRegistry,
        siblings: Siblings | None = None,
    ) -> None:
        """``siblings``: the other processes for which this one answers, too, when it is asked for metrics."""
        self._ready = ready
        self._registry = registry
        self._siblings = siblings

    def routes(self, metrics: bool) -> list[Route]:
        """The routes; ``metrics``: whether /metrics is one of them."""
        routes = [
            Route("/healthz", {"GET": self._health}, public=True),
            Route("/readyz", {"GET": self._readiness}, public=True),
        ]
        if metrics:
            routes.append(Route("/metrics", {"GET": self._scrape}, public=True))
        return routes

    async def _health(self, x: Exchange) -> None:
        await x.respond(200, _json(), b'{"status":"ok"}')

    async def _readiness(self, x: Exchange) -> None:
        problems = await self._ready()
        status = "degraded" if problems else "ready"
        if not all(isinstance(problem, Degraded) for problem in problems):
            status = "unavailable"
        body = msgspec.json.encode({"status": status, "problems": [str(problem) for problem in problems]})
        await x.respond(503 if status == "unavailable" else 200, _json(), body)

    async def _scrape(self, x: Exchange) -> None:
        encode, content_type = choose_encoder(x.headers.get(b"accept", b"").decode("latin-1"))
        if self._siblings is not None:
            content_type = CONTENT_TYPE_LATEST
            body = await self._siblings.metrics(generate_latest(self._registry))
        else:
            body = encode(self._registry)
        await x.respond(200, [(b"content-type", content_type.encode("ascii"))], body)


class OperationsApp:
    """The same endpoints alone, for a listener that only operators reach; for ``serve``."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[list[str]]],
        registry: CollectorRegistry,
        siblings: Siblings | None = None,
    ) -> None:
        self._routes = Routes(Operations(ready, registry, siblings).routes(metrics=True), {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        x = Exchange(scope, receive, send, "")
        try:
            route = self._routes.find(x)
            if x.method not in route.handlers:
                raise Problem(405, None, [(b"allow", route.allow)])
            await route.handlers[x.method](x)
        except Problem as problem:
            await x.respond(*encode(problem))

    def refused(self, status: int) -> None:
        """Not counted: these are the operators' own tools."""

    def closed(self) -> None:
        """Nothing is held back."""
