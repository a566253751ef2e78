"""The ASGI application: routes, authentication, limits per user, one log line and one count per request.

GET  /.well-known/jmap, /jmap/session                    the Session object (RFC 8620 §2)
POST /jmap                                               a Request (§3)
POST /jmap/upload/{accountId}/                           §6.1
GET  /jmap/download/{accountId}/{blobId}/{name}?accept=  §6.2
GET  /healthz, /readyz, /metrics                         for operators
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from secrets import token_hex
from time import perf_counter

import structlog
from prometheus_client import CollectorRegistry

from veredus.http import problems
from veredus.http.access import AccessLog, RequestLine, StructuredLog, now
from veredus.http.blobs import Blobs
from veredus.http.edge import Edge
from veredus.http.exchange import Exchange, Receive, Scope, Send
from veredus.http.metrics import HttpMetrics
from veredus.http.operations import Operations
from veredus.http.origins import Cors
from veredus.http.problems import Problem
from veredus.http.routes import Route, Routes
from veredus.http.siblings import Siblings
from veredus.http.stream import Disconnected
from veredus.ports import TooLarge
from veredus.wire.errors import RequestError

_JSON = (b"content-type", b"application/json")
# §2: "it is RECOMMENDED to disable HTTP caching altogether".
_NEVER_CACHED = (b"cache-control", b"no-cache, no-store, must-revalidate")
_NOT_JSON = "urn:ietf:params:jmap:error:notJSON"
# What nginx logs when the client closed the connection first; it is never sent.
_CLIENT_CLOSED = 499

log = structlog.get_logger("veredus.http")


class HttpApp:
    """A bare ASGI callable, for ``serve``."""

    def __init__(
        self,
        edge: Edge,
        *,
        ready: Callable[[], Awaitable[list[str]]],
        registry: CollectorRegistry,
        access_log: AccessLog | None = None,
        routes: Sequence[Route] = (),
        siblings: Siblings | None = None,
    ) -> None:
        """``routes``: of further endpoints; ``siblings``: of Operations."""
        self._edge = edge
        self._api = edge.api
        self._settings = edge.settings
        self._addresses = edge.addresses
        self._cors = Cors(edge.settings.cors_origins) if edge.settings.cors_origins else None
        self._metrics = HttpMetrics(registry)
        self._ids = map(f"{token_hex(4)}-%d".__mod__, count(1))
        self._access_log = access_log or StructuredLog()
        operations = Operations(ready, registry, siblings)
        exact = [
            Route("/.well-known/jmap", {"GET": self._session}),
            Route("/jmap/session", {"GET": self._session}),
            Route("/jmap", {"POST": self._process}),
            *operations.routes(self._settings.metrics),
            *routes,
        ]
        self._routes = Routes(exact, Blobs(self._api, self._settings).routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        x = Exchange(scope, receive, send, next(self._ids))
        structlog.contextvars.bind_contextvars(request=x.id)
        self._metrics.in_flight += 1
        try:
            await self._answer(x)
        except Disconnected:
            x.status = _CLIENT_CLOSED
        except asyncio.CancelledError:
            # Only the server cancels, when it closes; this is the outermost frame of the task.
            await self._refuse(x, Problem(503, "The server is shutting down.", [(b"retry-after", b"5")]))
        except Exception as error:
            await self._refuse(x, error)
        finally:
            self._metrics.in_flight -= 1
            self._record(x)

    def refused(self, status: int) -> None:
        """Count what the connection refused before it was a request."""
        self._metrics.count("other", "malformed", status)
        log.info("request refused", status=status)

    def closed(self) -> None:
        """Called by a server when its last response is out."""
        self._access_log.flush()

    async def _answer(self, x: Exchange) -> None:
        if self._cors is not None:
            x.common = self._cors.fields(x.headers.get(b"origin"))
        self._addresses.check_host(x)
        route = self._routes.find(x)
        x.route = route.template
        handler = route.handlers.get(x.method)
        if handler is None:
            await self._answer_other_method(x, route)
            return
        if not route.public:
            await self._authenticate(x, route)
        await handler(x)

    async def _answer_other_method(self, x: Exchange, route: Route) -> None:
        if x.method != "OPTIONS":
            raise Problem(405, None, [(b"allow", route.allow)])
        fields = [(b"allow", route.allow)]
        if self._cors is not None:
            fields += self._cors.preflight(route.allow)
        await x.respond(204, fields)

    async def _authenticate(self, x: Exchange, route: Route) -> None:
        authorization = x.headers.get(b"authorization")
        ticket = x.query.get("ticket") if route.tickets else None
        identity = None
        if authorization is not None:
            identity = await self._edge.authenticator.authenticate(authorization.decode("latin-1"))
        elif ticket is not None and self._edge.redeem is not None:
            identity = await self._edge.redeem(ticket)
        if identity is None:
            raise self._edge.unauthorized()
        x.identity = identity

    # ---------------------------------------------------------------- endpoints

    async def _session(self, x: Exchange) -> None:
        body, _ = await self._api.session(x.identity, self._addresses.base_url(x))
        await x.respond(200, [_JSON, _NEVER_CACHED], body)

    async def _process(self, x: Exchange) -> None:
        _check_is_json(x)
        limit = self._settings.max_size_request
        with self._edge.requests.one(x.identity.user):
            try:
                x.check_declared_size(limit)
                body = await x.body(limit)
            except TooLarge:
                detail = f"A request may have {limit} octets."
                raise RequestError.over_limit("maxSizeRequest", detail, status=413) from None
            response = await self._api.process(body, x.identity, self._addresses.base_url(x))
        await x.respond(200, [_JSON], response)

    # ---------------------------------------------------------------- failures and records

    async def _refuse(self, x: Exchange, error: Exception) -> None:
        problem = problems.to_problem(error)
        if problem is None:
            log.error("request failed", route=x.route, user=x.user, exc_info=error)
            problem = Problem(500, None, requestId=x.id)
        if x.status == 0:
            await x.respond(*problems.encode(problem))
        # Else the response has begun: uvicorn closes the connection, and so the client sees that it is cut.

    def _record(self, x: Exchange) -> None:
        seconds = perf_counter() - x.started
        self._metrics.record(x, seconds)
        self._access_log.write(
            RequestLine(
                now(),
                "debug" if x.route in Operations.QUIET else "info",
                x.id,
                x.method,
                x.route,
                x.status,
                round(seconds * 1000, 2),
                x.user,
                self._addresses.client(x),
                x.received,
                x.sent,
            )
        )


def _check_is_json(x: Exchange) -> None:
    """§3.1: the media type is application/json. Parameters are ignored: JSON is UTF-8."""
    content_type = x.headers.get(b"content-type", b"")
    if (
        content_type != b"application/json"
        and content_type.partition(b";")[0].strip().lower() != b"application/json"
    ):
        raise RequestError(_NOT_JSON, "The content type of a request must be application/json.", status=415)
    if x.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RequestError(_NOT_JSON, "Compressed requests are not understood.", status=415)
