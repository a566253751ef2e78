"""A server in a thread of its own, and what a test may do to it."""

import asyncio
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from veredus.app import AccountError, App, open_app
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Blobs, Config, Http, Push, Storage
from veredus.delivery.inbound import Inbound
from veredus.http.access import RequestLine
from veredus.http.app import HttpApp
from veredus.http.edge import Edge
from veredus.http.eventsource import EventSource
from veredus.http.server import serve
from veredus.http.settings import HttpSettings, Timeouts
from veredus.http.tickets import Tickets
from veredus.http.websocket import WebSockets
from veredus.pytest_plugin.faults import Failure, FaultyApi
from veredus.reception import Envelope
from veredus.wire.types import Id

T = TypeVar("T")
_PATIENCE_S = 60.0
_MOST_REQUESTS = 10_000
# What is in flight when a test ends is of no interest to anybody.
_TIMEOUTS = Timeouts(shutdown_s=0.2)


class JmapAccount(Struct, frozen=True):
    """An account; ``address`` is the user name, too."""

    id: Id
    address: str
    password: str


class JmapServer:
    """Runs inside ``with``. All methods may be called from any thread, and from async tests."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="jmap_server", daemon=True)
        self._opened: Future[None] = Future()
        self._gate: threading.Event | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._app: App
        self._faults: FaultyApi
        # http://host:port
        self.url = ""
        self._requests: deque[RequestLine] = deque(maxlen=_MOST_REQUESTS)

    def __enter__(self) -> "JmapServer":
        self._thread.start()
        self._opened.result(_PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            raise RuntimeError("the server does not end")

    @property
    def session_url(self) -> str:
        """Of the Session resource (RFC 8620 §2)."""
        return f"{self.url}/jmap/session"

    @property
    def requests(self) -> list[RequestLine]:
        """The last requests it has answered, oldest first, with method, route and status."""
        if self._gate is None:
            # A line is written right behind the answer: let the server come to the end of that step.
            self._call(asyncio.sleep(0))
        return list(self._requests)

    def add_account(self, address: str, password: str = "secret") -> JmapAccount:  # noqa: S107 - for tests
        """A user with an account that has the usual Mailboxes. Raises ValueError: there is one already, or
        it is no address."""
        try:
            id = self._call(self._app.add_account(address, password))
        except AccountError as error:
            raise ValueError(str(error)) from None
        return JmapAccount(id, address, password)

    def deliver(self, message: bytes, to: str) -> None:
        """A message comes in for an address, as by LMTP; its Email is there on return.

        LF line ends become CRLF. Raises ValueError with the reply that refuses it.
        """
        crlf = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        envelope = Envelope("sender@example.org", (to,), "127.0.0.1", "localhost", "LMTP")
        app = self._app
        inbound = Inbound(app.store, app.blobs, app.directory, app.admission, app.clock)
        [reply] = self._call(inbound.deliver(envelope, crlf))
        if reply.is_refusal:
            raise ValueError(f"{to}: {reply.code} {reply.enhanced} {reply.text}")

    def freeze(self) -> None:
        """Stop answering: connections are accepted, and not one octet is sent, on streams neither."""
        if self._gate is not None:
            return
        self._gate, held = threading.Event(), threading.Event()

        def hold(gate: threading.Event) -> None:
            held.set()
            gate.wait()

        self._loop.call_soon_threadsafe(hold, self._gate)
        held.wait(_PATIENCE_S)

    def thaw(self) -> None:
        """Go on, with what has come in meanwhile."""
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    def fail_next(
        self, what: int | str, times: int = 1, *, method: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """The next requests fail; nothing of what fails is executed.

        ``what``: an HTTP status, for any request but those for a push stream; or the type of a method-level
        error such as ``serverFail`` (RFC 8620 §3.6.2), for each call of a request. ``method``: only requests
        with such a call, and with an error type only such calls. Raises ValueError.
        """
        if isinstance(what, int) and not 400 <= what <= 599:
            raise ValueError(f"{what} is no status of a failure")
        if times < 1:
            raise ValueError("times must be 1 or more")
        failure = Failure(what, times, method, retry_after_s)
        # Before any request that is sent from now on, and also while the server is frozen.
        self._loop.call_soon_threadsafe(self._faults.failures.append, failure)

    def recover(self) -> None:
        """No request fails any more."""
        self._loop.call_soon_threadsafe(self._faults.failures.clear)

    # ---------------------------------------------------------------- the thread

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of something that is to run beside the server."""
        if self._gate is not None:
            coroutine.close()
            raise RuntimeError("the server is frozen: thaw() it first")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with tempfile.TemporaryDirectory(prefix="jmap-server-") as directory:
            config = Config(
                hostname="mail.example.com",
                data_dir=Path(directory),
                storage=Storage(url="memory"),
                blobs=Blobs(url="memory"),
                http=Http(listen=("127.0.0.1:0",)),
                lmtp=Lmtp(listen=()),
                push=Push(allow=("127.0.0.0/8", "::1/128")),
            )
            with _logged():
                async with open_app(config) as app, self._listening(app):
                    self._app = app
                    self._opened.set_result(None)
                    await self._stop.wait()

    @asynccontextmanager
    async def _listening(self, app: App) -> AsyncIterator[None]:
        """What `serving.serve` does, without mail, TLS and metrics, and with faults."""
        limits = app.config.limits
        settings = HttpSettings(
            max_size_request=limits.max_size_request,
            max_size_upload=limits.max_size_upload,
            max_concurrent_requests=limits.max_concurrent_requests,
            max_concurrent_upload=limits.max_concurrent_upload,
        )
        self._faults, registry = FaultyApi(app.engine), CollectorRegistry()
        edge = Edge(self._faults, app.authenticator, settings, app.tickets.redeem)
        routes = [
            *Tickets(edge, app.tickets.mint).routes(),
            *EventSource(edge, app.hub).routes(),
            *WebSockets(edge, app.hub, registry).routes(),
        ]
        http = HttpApp(
            edge, ready=app.ready, registry=registry, access_log=_Requests(self._requests), routes=routes
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(app.hub.run(stop))
            tasks.create_task(app.vapid.follow(stop, app.engine.forget_sessions))
            tasks.create_task(app.web_push.run(stop))
            server = await serve(http, app.config.http.listen, timeouts=_TIMEOUTS)
            self.url = f"http://{server.addresses[0]}"
            try:
                yield
            finally:
                await server.close()
                stop.set()


class _Requests:
    """http.access.AccessLog into a list."""

    def __init__(self, lines: deque[RequestLine]) -> None:
        self._lines = lines

    def write(self, line: RequestLine) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def _logged() -> Iterator[None]:
    """Log lines go to `logging`, where pytest shows those of a failed test; else structlog would print them
    into what a test captures. Who has set structlog up has decided otherwise."""
    if structlog.is_configured():
        yield
        return
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
