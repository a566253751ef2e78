"""The sockets of an app. Apart from ``app``: most commands open none, and start in half the time."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from veredus.app import App
from veredus.app.incoming import inbound_of
from veredus.app.outgoing import queue_of
from veredus.certificates import Certificate
from veredus.config.settings import Log
from veredus.delivery.submitted import Policy, Submitted
from veredus.http.access import AccessLog, JsonLines, StructuredLog
from veredus.http.app import HttpApp
from veredus.http.bus_metrics import BusMetrics
from veredus.http.edge import Edge
from veredus.http.eventsource import EventSource
from veredus.http.operations import Degraded, OperationsApp
from veredus.http.outgoing_metrics import OutgoingMetrics
from veredus.http.push_metrics import PushMetrics
from veredus.http.routes import Route
from veredus.http.server import HttpServer
from veredus.http.server import serve as serve_http
from veredus.http.settings import HttpSettings
from veredus.http.siblings import Siblings
from veredus.http.tickets import Tickets
from veredus.http.websocket import WebSockets
from veredus.lmtp.server import serve as serve_lmtp
from veredus.reception import Delivery
from veredus.reception import Limits as ReceptionLimits
from veredus.reception import Server as ReceptionServer
from veredus.smtp.server import serve as serve_smtp
from veredus.smtp.submission import Terms as SubmissionTerms
from veredus.smtp.submission import serve as serve_submission

log = structlog.get_logger()


class Place(Struct):
    """What a process is told of its part when several serve together.

    ``sockets``: bound already, by section of the configuration. ``directory``: for sockets between the
    workers. ``is_retired``: asked at the end, whether others go on serving on the same sockets.
    """

    worker: int
    sockets: Mapping[str, Sequence[socket.socket]]
    directory: Path
    is_retired: Callable[[], bool]


class Running(Struct):
    """The open sockets of an app."""

    http: HttpServer
    # Set when the process was told to stop: /readyz says so.
    leaving: asyncio.Event
    smtp: ReceptionServer | None
    lmtp: ReceptionServer | None
    submission: ReceptionServer | None

    async def drain(self, seconds: float) -> None:
        """Serve on for so long while clients of HTTP go elsewhere; before the end of `serve`."""
        self.leaving.set()
        if seconds:
            log.info("draining", seconds=seconds)
            await self.http.drain(seconds)


@asynccontextmanager
async def serve(
    app: App,
    *,
    receive: Callable[[Delivery], Delivery] | None = None,
    routes: Sequence[Route] = (),
    place: Place | None = None,
) -> AsyncIterator[Running]:
    """Open all sockets of the configuration; on exit what is in flight ends, then they close.

    ``receive``: puts something before the delivery into inboxes; ``routes``: of further HTTP endpoints;
    ``place``: of this process among several.
    """
    config = app.config
    tls = (str(config.tls.cert), str(config.tls.key)) if config.tls.mode == "files" else None
    registry = CollectorRegistry()
    leaving = asyncio.Event()
    ready = _ready(app, leaving)
    siblings = Siblings(place.worker, place.directory) if place else None
    async with AsyncExitStack() as stack:
        inbound: Delivery = await stack.enter_async_context(inbound_of(app))
        delivery = receive(inbound) if receive else inbound
        background = await stack.enter_async_context(_background())
        stop = asyncio.Event()
        stack.callback(stop.set)
        queue = queue_of(app, delivery)
        OutgoingMetrics(registry, lambda: queue.counts)
        for work in (
            app.hub.run(stop),
            app.vapid.follow(stop, app.engine.forget_sessions),
            app.web_push.run(stop),
            queue.run(stop),
        ):
            background.create_task(work)
        servers: list[HttpServer | ReceptionServer] = []
        stack.push_async_callback(_close, servers, place)
        http_app = _http_app(app, ready, registry, siblings, routes, place.worker if place else None)
        http = await serve_http(http_app, _where(place, "http", config.http.listen), tls=tls)
        servers.append(http)
        if config.metrics.enabled and config.metrics.listen is not None:
            listen = _where(place, "metrics", [config.metrics.listen])
            servers.append(await serve_http(OperationsApp(ready, registry, siblings), listen))
        if siblings is not None:
            servers.append(await serve_http(OperationsApp(ready, registry), [siblings.address]))
        context = _mail_tls(tls, background, stop)
        mail: list[ReceptionServer | None] = []
        for section, addresses, start in (
            ("smtp", config.smtp.listen, serve_smtp),
            ("lmtp", config.lmtp.listen, serve_lmtp),
        ):
            if not addresses:
                mail.append(None)
                continue
            limits = ReceptionLimits(message_size=config.smtp.max_size)
            listen = _where(place, section, addresses)
            server = await start(listen, delivery, hostname=config.hostname, limits=limits, tls=context)
            servers.append(server)
            mail.append(server)
        submission = await _serve_submission(app, context, place)
        servers += [submission] if submission else []
        yield Running(http, leaving, mail[0], mail[1], submission)


@asynccontextmanager
async def _background() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup out of which a single exception comes as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None


def _mail_tls(
    files: tuple[str, str] | None, background: asyncio.TaskGroup, stop: asyncio.Event
) -> ssl.SSLContext | None:
    """``files``: of the certificate chain and of its key, followed until ``stop``. Raises OSError."""
    if files is None:
        return None
    certificate = Certificate(*files)
    background.create_task(certificate.follow(stop))
    return certificate.context


async def _serve_submission(
    app: App, tls: ssl.SSLContext | None, place: Place | None
) -> ReceptionServer | None:
    config = app.config
    if not config.submission.listen and not config.submission.tls_listen:
        return None
    outgoing = config.outgoing
    sends: Literal["off", "local", "all"]
    match outgoing.url:
        case "off" | "local" as few:
            sends = few
        case _:
            sends = "all"

    policy = Policy(config.hostname, sends, app.domains.has)
    submitted = Submitted(app.store, app.blobs, app.directory, app.authenticator, app.clock, policy)
    terms = SubmissionTerms(
        hostname=config.hostname,
        limits=ReceptionLimits(message_size=outgoing.max_size, recipients=outgoing.max_recipients),
        tls=tls,
        max_delay_s=int(outgoing.max_delay),
    )
    return await serve_submission(
        _where(place, "submission", config.submission.listen),
        _where(place, "submission-tls", config.submission.tls_listen),
        submitted,
        terms,
    )


def _where(place: Place | None, section: str, addresses: Sequence[str]) -> Sequence[str | socket.socket]:
    return place.sockets.get(section, ()) if place else addresses


async def _close(servers: Sequence[HttpServer | ReceptionServer], place: Place | None) -> None:
    is_retired = place is not None and place.is_retired()
    async with asyncio.TaskGroup() as tasks:
        for server in servers:
            if isinstance(server, HttpServer):
                tasks.create_task(server.close(retired=is_retired))
            else:
                tasks.create_task(server.close())


def _http_app(
    app: App,
    ready: Callable[[], Awaitable[list[str]]],
    registry: CollectorRegistry,
    siblings: Siblings | None,
    routes: Sequence[Route],
    worker: int | None,
) -> HttpApp:
    config = app.config
    settings = HttpSettings(
        max_size_request=config.limits.max_size_request,
        max_size_upload=config.limits.max_size_upload,
        max_concurrent_requests=config.limits.max_concurrent_requests,
        max_concurrent_upload=config.limits.max_concurrent_upload,
        max_streams=config.limits.max_streams,
        public_url=config.http.public_url,
        trusted_proxies=config.http.trusted_proxies,
        cors_origins=config.http.cors_origins,
        metrics=config.metrics.enabled and config.metrics.listen is None,
    )
    edge = Edge(app.engine, app.authenticator, settings, app.tickets.redeem)
    events = EventSource(edge, app.hub)
    sockets = WebSockets(edge, app.hub, registry)
    BusMetrics(registry, app.bus.counts)
    streams = {"eventsource": events.streams, "websocket": sockets.streams}
    PushMetrics(registry, app.hub.counts, streams, app.web_push.counts)
    return HttpApp(
        edge,
        ready=ready,
        registry=registry,
        access_log=_access_log(config.log, worker),
        siblings=siblings,
        routes=[*Tickets(edge, app.tickets.mint).routes(), *events.routes(), *sockets.routes(), *routes],
    )


def _ready(app: App, leaving: asyncio.Event) -> Callable[[], Awaitable[list[str]]]:
    async def ready() -> list[str]:
        if leaving.is_set():
            return ["stopping: this server was told to stop, and new clients belong elsewhere"]
        return [*await app.ready(), *map(Degraded, app.degraded())]

    return ready


def _access_log(log: Log, worker: int | None) -> AccessLog:
    """Request lines take a path of their own where every microsecond of them counts (veredus.http.access)."""
    is_text = log.format == "text" or (log.format == "auto" and sys.stderr.isatty())
    if is_text or log.level in ("warning", "error"):
        return StructuredLog()
    return JsonLines(sys.stderr.buffer, debug=log.level == "debug", worker=worker)
