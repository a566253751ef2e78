"""The sockets of an app. Apart from ``app``: most commands open none, and start in half the time."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct
from prometheus_client import CollectorRegistry

from veredus.app import App
from veredus.config.settings import Log
from veredus.delivery.inbound import Inbound
from veredus.http.access import AccessLog, JsonLines, StructuredLog
from veredus.http.app import HttpApp
from veredus.http.edge import Edge
from veredus.http.operations import OperationsApp
from veredus.http.server import HttpServer
from veredus.http.server import serve as serve_http
from veredus.http.settings import HttpSettings
from veredus.lmtp.server import serve as serve_lmtp
from veredus.reception import Delivery
from veredus.reception import Limits as ReceptionLimits
from veredus.reception import Server as ReceptionServer
from veredus.smtp.server import serve as serve_smtp


class Running(Struct):
    """The open sockets of an app."""

    http: HttpServer
    smtp: ReceptionServer | None
    lmtp: ReceptionServer | None


@asynccontextmanager
async def serve(app: App, *, receive: Callable[[Delivery], Delivery] | None = None) -> AsyncIterator[Running]:
    """Open all sockets of the configuration; on exit what is in flight ends, then they close.

    ``receive``: puts something before the delivery into inboxes.
    """
    config = app.config
    tls = (str(config.tls.cert), str(config.tls.key)) if config.tls.mode == "files" else None
    inbound: Delivery = Inbound(app.store, app.blobs, app.directory, app.admission, app.clock)
    delivery = receive(inbound) if receive else inbound
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    async with AsyncExitStack() as stack:
        registry = CollectorRegistry()
        stop = asyncio.Event()
        background = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(stop.set)
        background.create_task(app.hub.run(stop))
        http = await serve_http(_http_app(app, registry), config.http.listen, tls=tls)
        stack.push_async_callback(http.close)
        if config.metrics.enabled and config.metrics.listen is not None:
            operations = await serve_http(OperationsApp(app.ready, registry), [config.metrics.listen])
            stack.push_async_callback(operations.close)
        mail: list[ReceptionServer | None] = []
        for listen, size, start in (
            (config.smtp.listen, config.smtp.max_size, serve_smtp),
            (config.lmtp.listen, config.smtp.max_size, serve_lmtp),
        ):
            if not listen:
                mail.append(None)
                continue
            limits = ReceptionLimits(message_size=size)
            server = await start(listen, delivery, hostname=config.hostname, limits=limits, tls=context)
            stack.push_async_callback(server.close)
            mail.append(server)
        yield Running(http, *mail)


def _http_app(app: App, registry: CollectorRegistry) -> HttpApp:
    config = app.config
    settings = HttpSettings(
        max_size_request=config.limits.max_size_request,
        max_size_upload=config.limits.max_size_upload,
        max_concurrent_requests=config.limits.max_concurrent_requests,
        max_concurrent_upload=config.limits.max_concurrent_upload,
        public_url=config.http.public_url,
        trusted_proxies=config.http.trusted_proxies,
        cors_origins=config.http.cors_origins,
        metrics=config.metrics.enabled and config.metrics.listen is None,
    )
    return HttpApp(
        Edge(app.engine, app.authenticator, settings),
        ready=app.ready,
        registry=registry,
        access_log=_access_log(config.log),
    )


def _access_log(log: Log) -> AccessLog:
    """Request lines take a path of their own where every microsecond of them counts (veredus.http.access)."""
    is_text = log.format == "text" or (log.format == "auto" and sys.stderr.isatty())
    if is_text or log.level in ("warning", "error"):
        return StructuredLog()
    return JsonLines(sys.stderr.buffer, debug=log.level == "debug")
