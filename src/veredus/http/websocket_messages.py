"""What the messages of a JMAP WebSocket mean (RFC 8887 §4.3): requests, and push."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import Counter
from websockets.extensions import Extension
from websockets.frames import CloseCode

from veredus.http import problems
from veredus.http.edge import Edge
from veredus.http.exchange import Exchange
from veredus.http.problems import Problem
from veredus.http.stream import Stream
from veredus.http.websocket_stream import Liveness, WebSocketStream, text_frame
from veredus.ports import Unavailable
from veredus.push import position as positions
from veredus.push.event import Event
from veredus.push.hub import Hub, NotAllowed
from veredus.push.position import Position
from veredus.push.view import End, Subscription
from veredus.wire import json
from veredus.wire import websocket as wire
from veredus.wire.errors import RequestError
from veredus.wire.types import JsonObject

# Where those stand who are told of nothing. One object, so that a view works out once what they miss.
NOWHERE: Position = {}
_NOTHING: frozenset[str] = frozenset()

log = structlog.get_logger("veredus.http")


class Shared(Struct):
    """What all connections of a server share. ``messages`` counts by kind; ``open``: those there are."""

    edge: Edge
    hub: Hub
    messages: Counter
    open: set[Stream]
    liveness: Liveness


class _Wanted(Struct, frozen=True):
    """What a client wants to be told of. ``types`` None: all; ``since``: from where on."""

    types: frozenset[str] | None
    since: Position


def _state_change(event: Event) -> bytes:
    change = msgspec.structs.replace(event.change, push_state=event.id)
    return text_frame(msgspec.json.encode(change))


class Connection(WebSocketStream):
    """One client: its requests, each a task, and its subscription, as a Sink (push.view)."""

    __slots__ = (
        "_base_url",
        "_count",
        "_id",
        "_identity",
        "_is_ending",
        "_shared",
        "_tasks",
        "_wanted",
        "subscription",
    )

    subscription: Subscription

    def __init__(
        self, shared: Shared, x: Exchange, base_url: str, head: bytes, extensions: list[Extension]
    ) -> None:
        """``head``: the response to the handshake ``x``."""
        super().__init__(head, extensions, shared.edge.settings.max_size_request, shared.liveness)
        self._shared, self._base_url = shared, base_url
        self._identity, self._id = x.identity, x.id
        self._count = 0
        # Requests in flight, and a change of the subscription.
        self._tasks: set[asyncio.Task[None]] = set()
        # What is to replace the subscription.
        self._wanted: _Wanted | None = None
        self._is_ending = False

    # ---------------------------------------------------------------- of WebSocketStream

    def opened(self) -> None:
        self._shared.open.add(self)
        super().opened()

    def left(self) -> None:
        """Requests in flight end all the same, as they do over HTTP."""
        self._wanted = None
        self.subscription.close()
        self._shared.open.discard(self)

    def lost(self) -> None:
        super().lost()
        self._shared.edge.streams.end(self._identity.user)

    def writable(self) -> None:
        super().writable()
        if self.can_push:
            self.subscription.ready()
            self._close_if_done()

    def shut_down(self) -> None:
        self._is_ending = True
        self._close_if_done()

    def too_big(self) -> bytes:
        limit = self._shared.edge.settings.max_size_request
        detail = f"A request may have {limit} octets."
        error = RequestError.over_limit("maxSizeRequest", detail, status=413)
        return wire.request_error(error.to_json(), None)

    # ---------------------------------------------------------------- of Sink

    def take(self, event: Event) -> bool:
        if not self.can_push:
            return False
        self.transport.write(event.encoded(_state_change))
        return True

    def end(self, why: End) -> None:
        if why == "shutdown":
            self.shut_down()
        elif why == "credentials":
            self._refuse_credentials()
        else:
            # Other accounts may be seen now: the rest goes on, and a Session tells the client the same.
            self._want(self.subscription.view.key.types, self.subscription.position)

    def _refuse_credentials(self) -> None:
        self.close(CloseCode.POLICY_VIOLATION, "The credentials are no longer valid.")

    # ---------------------------------------------------------------- messages

    def received(self, message: bytes) -> None:
        try:
            document = json.decode(message)
        except json.NotIJson as error:
            if _is_utf8(message):
                self._count_message("notJSON")
                self._refuse(RequestError.not_json(str(error)), None)
            else:
                self.fail(CloseCode.INVALID_DATA, "The message is not UTF-8.")
            return
        if not isinstance(document, dict):
            self._count_message("notRequest")
            self._refuse(RequestError.not_request("A message is an object."), None)
            return
        self._understand(document)

    def _understand(self, document: JsonObject) -> None:
        """By its @type (§4.3.2, §4.3.5)."""
        request_id: str | None = None
        type = document.get("@type")
        try:
            request_id = wire.identifier(document)
            match type:
                case "Request":
                    self._start(self._answer(document, request_id))
                case "WebSocketPushEnable":
                    self._enable(wire.push_enable(document))
                case "WebSocketPushDisable":
                    self._want(_NOTHING, NOWHERE)
                case _:
                    expected = "Request, WebSocketPushEnable or WebSocketPushDisable"
                    raise RequestError.not_request(f"@type must be {expected}.")
            self._count_message(str(type))
        except RequestError as error:
            self._count_message("notRequest")
            self._refuse(error, request_id)

    def _count_message(self, kind: str) -> None:
        self._shared.messages.labels(kind).inc()

    def _refuse(self, error: Exception, request_id: str | None) -> None:
        """Answer a RequestError (§4.3.4), as it would be answered over HTTP."""
        problem = problems.to_problem(error)
        if problem is None:
            user = self._identity.user
            log.error("request failed", route="websocket", user=user, exc_info=error)
            problem = Problem(500, None)
        self.write(text_frame(wire.request_error(problem.to_json(), request_id)))

    # ---------------------------------------------------------------- requests

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._close_if_done()

    async def _answer(self, document: JsonObject, request_id: str | None) -> None:
        self._count += 1
        structlog.contextvars.bind_contextvars(request=f"{self._id}-{self._count}")
        edge = self._shared.edge
        try:
            if self._is_ending and self._streams.is_closing:
                raise Problem(503, "The server is shutting down.")
            with edge.requests.one(self._identity.user):
                if not await edge.authenticator.is_valid(self._identity):
                    self._refuse_credentials()
                    return
                body = await edge.api.answer(document, self._identity, self._base_url)
                await self.send(wire.response(body, request_id))
        except Exception as error:
            self._refuse(error, request_id)

    def _close_if_done(self) -> None:
        """When the server ends: once all is answered and sent."""
        if self._is_ending and not self._tasks and self.can_push:
            self.close(CloseCode.GOING_AWAY, "The server is shutting down.")

    # ---------------------------------------------------------------- push

    def _enable(self, wanted: wire.WebSocketPushEnable) -> None:
        """§4.3.5.2. A pushState that is none of ours is one of which we know nothing: all is told."""
        types = None if wanted.data_types is None else frozenset(wanted.data_types)
        if wanted.push_state is None:
            since = self.subscription.view.position
        else:
            since = positions.decode(wanted.push_state) or {}
        self._want(types, since)

    def _want(self, types: frozenset[str] | None, since: Position) -> None:
        """Replace the subscription; of several messages in a row the last one counts."""
        self.subscription.close()
        is_idle = self._wanted is None
        self._wanted = _Wanted(types, since)
        if is_idle:
            self._start(self._subscribe())

    async def _subscribe(self) -> None:
        try:
            while (wanted := self._wanted) is not None:
                subscription = await self._shared.hub.subscribe(
                    self._identity, wanted.types, self, wanted.since
                )
                if wanted is not self._wanted:
                    subscription.close()
                    continue
                self._wanted = None
                self._follow(subscription)
        except NotAllowed:
            self._refuse_credentials()
        except Unavailable:
            self.close(CloseCode.TRY_AGAIN_LATER, "A resource is unavailable; try again later.")
        except Exception:
            log.exception("push not enabled", user=self._identity.user)
            self.close(CloseCode.INTERNAL_ERROR, "The server has a fault; it was logged.")

    def _follow(self, subscription: Subscription) -> None:
        self.subscription = subscription
        if subscription.view.key.types != _NOTHING:
            subscription.ready()


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
