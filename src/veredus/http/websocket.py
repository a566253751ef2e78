"""JMAP over WebSocket (RFC 8887): the endpoint, and the handshake (§4.2).

GET /jmap/ws, with the credentials of any request or with a one-time ticket in the URL.
"""

from prometheus_client import CollectorRegistry, Counter
from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from veredus.http.edge import Edge
from veredus.http.exchange import Exchange
from veredus.http.problems import Problem
from veredus.http.routes import Route
from veredus.http.stream import Stream
from veredus.http.websocket_messages import NOWHERE, Connection, Shared
from veredus.http.websocket_stream import LIVENESS, Liveness
from veredus.push.hub import Hub, NotAllowed
from veredus.wire.websocket import PATH

_JMAP = Subprotocol("jmap")
_UPGRADE = ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
# Whoever forgets all after each message keeps nothing for an idle connection.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True, compress_settings={"level": 4}
)


class WebSockets:
    """The endpoint."""

    def __init__(
        self, edge: Edge, hub: Hub, registry: CollectorRegistry, liveness: Liveness = LIVENESS
    ) -> None:
        messages = Counter(
            "veredus_websocket_messages", "Messages from clients.", ("kind",), registry=registry
        )
        self._edge, self._hub = edge, hub
        self._open: set[Stream] = set()
        self._shared = Shared(edge, hub, messages, self._open, liveness)

    def streams(self) -> int:
        """How many are open, for metrics."""
        return len(self._open)

    def routes(self) -> list[Route]:
        return [Route(PATH, {"GET": self._connect}, tickets=True)]

    async def _connect(self, x: Exchange) -> None:
        """Open a connection. Raises Problem (400, 401, 403, 426), RequestError (429), Unavailable."""
        base_url = self._edge.addresses.base_url(x)
        self._check_origin(x, base_url)
        negotiation, response = _negotiate(x)
        connection = Connection(self._shared, x, base_url, response.serialize(), negotiation.extensions)
        with self._edge.streams.begun(x.identity.user):
            await self._begin(x, connection)

    async def _begin(self, x: Exchange, connection: Connection) -> None:
        try:
            # Of no types: it hears of nothing until it asks, but of the end of its credentials.
            subscription = await self._hub.subscribe(x.identity, frozenset(), connection, NOWHERE)
        except NotAllowed:
            raise self._edge.unauthorized() from None
        connection.subscription = subscription
        # Nothing waits between the two, so nothing is told before there is a transport.
        try:
            x.detach(101, connection)
        except BaseException:
            subscription.close()
            raise

    def _check_origin(self, x: Exchange, base_url: str) -> None:
        """A browser adds a password that it remembers to the handshake of any page, and no CORS keeps that
        page from the connection (RFC 6455 §10.2). Tokens and tickets a page must know itself."""
        origin = x.headers.get(b"origin")
        if origin is None or not x.headers.get(b"authorization", b"").lower().startswith(b"basic "):
            return
        name = origin.decode("latin-1")
        if name != base_url and name not in self._edge.settings.cors_origins:
            raise Problem(403, "Pages of this origin may not connect with a password; see cors_origins.")


def _negotiate(x: Exchange) -> tuple[ServerProtocol, Response]:
    """The protocol after a handshake that has succeeded, and the response. Raises Problem."""
    headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in x.scope["headers"])
    request = Request(PATH, headers, x.method, f"HTTP/{x.scope['http_version']}")
    protocol = ServerProtocol(extensions=[_DEFLATE], subprotocols=[_JMAP])
    response = protocol.accept(request)
    if response.status_code == 101:
        return protocol, response
    if isinstance(protocol.handshake_exc, NegotiationError):
        raise Problem(400, "Sec-WebSocket-Protocol must offer jmap (RFC 8887 §4.2).")
    version = headers.get_all("Sec-WebSocket-Version")
    if response.status_code == 400 and version != ["13"]:
        raise Problem(426, "The version of WebSocket is 13.", [(b"sec-websocket-version", b"13"), *_UPGRADE])
    if response.status_code == 400:
        raise Problem(400, f"The WebSocket handshake is wrong: {protocol.handshake_exc}.")
    raise Problem(426, "Here is a WebSocket: upgrade an HTTP/1.1 GET request (RFC 6455 §4.1).", [*_UPGRADE])
