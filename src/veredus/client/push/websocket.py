"""Push over a WebSocket (RFC 8887 §4.3.5)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct, field
from yarl import URL

from veredus.client.errors import TransportError
from veredus.client.http import Connection
from veredus.client.push.signals import States
from veredus.client.push.transport import MAX_MESSAGE, Heard, NotOffered, Wanted, not_understood, translated
from veredus.wire.types import Id

_JMAP = "jmap"
_ECHO_ID = "veredus-push"
_ECHO = {
    "@type": "Request",
    "id": _ECHO_ID,
    "using": ["urn:ietf:params:jmap:core"],
    "methodCalls": [["Core/echo", {}, "0"]],
}
# How long a server may take to say goodbye; nothing is lost when it does not.
_CLOSE_S = 1.0
_WINDOW_BITS = 15


class _Message(Struct, rename="camel"):
    """Of a message what matters here; other members may be anything."""

    type: str = field(name="@type", default="")
    changed: dict[Id, dict[str, str]] | None = None
    push_state: str | None = None
    request_id: str | None = None
    detail: Any = None


class WebSocketStream:
    """A Stream. The server's silence is the library's matter: it sends pings and misses the pongs."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any], url: str) -> None:
        self._socket, self._url = socket, url
        # Told before the connection was known to work. Of very many the last are enough: the caller is going
        # to look at everything.
        self._early: deque[Heard] = deque(maxlen=100)
        self.works = False

    async def enable(self, wanted: Wanted, push_state: str | None) -> None:
        """Ask for push, and for an echo: with its answer we know that there is somebody who works."""
        types = None if wanted.types is None else list(wanted.types)
        enable = {"@type": "WebSocketPushEnable", "dataTypes": types, "pushState": push_state}
        with translated(self._url):
            async with asyncio.timeout(wanted.timing.connect_s):
                for message in (enable, _ECHO):
                    await self._socket.send_str(msgspec.json.encode(message).decode())
                while (answer := await self._receive()).request_id != _ECHO_ID:
                    self._early.append(_heard(answer))
        self.works = True

    async def next(self) -> Heard | None:
        if self._early:
            return self._early.popleft()
        with translated(self._url):
            return _heard(await self._receive())

    async def _receive(self) -> _Message:
        received = await self._socket.receive()
        match received.type:
            case aiohttp.WSMsgType.TEXT:
                return self._understood(received.data)
            case aiohttp.WSMsgType.BINARY:
                raise not_understood(self._url, "a binary message on a JMAP WebSocket (RFC 8887 §4.3.1)")
        host = urlsplit(self._url).netloc
        error = self._socket.exception()
        if isinstance(error, aiohttp.ServerTimeoutError):
            raise TransportError(host, "the WebSocket is silent, a ping was not answered") from error
        if received.type is aiohttp.WSMsgType.CLOSE:
            reason = f": {received.extra}" if received.extra else ""
            raise TransportError(host, f"the server closed the WebSocket with {received.data}{reason}")
        if received.type is aiohttp.WSMsgType.ERROR:
            raise not_understood(self._url, f"the WebSocket failed: {received.data}")
        raise TransportError(host, "the WebSocket was cut")

    def _understood(self, data: bytes) -> _Message:
        try:
            message = msgspec.json.decode(data, type=_Message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise not_understood(self._url, f"a message that is not RFC 8887's: {error}") from None
        if message.type == "StateChange" and message.changed is None:
            raise not_understood(self._url, "a StateChange without changed")
        if message.type == "RequestError" and message.request_id is None:
            raise NotOffered(
                urlsplit(self._url).netloc, f"push was refused: {message.detail or 'no reason given'}"
            )
        return message


def _heard(message: _Message) -> Heard:
    changed: States | None = message.changed if message.type == "StateChange" else None
    return Heard(changed, position=message.push_state)


@asynccontextmanager
async def websocket(
    connection: Connection, url: str, wanted: Wanted, push_state: str | None
) -> AsyncIterator[WebSocketStream]:
    """A connection with push enabled. Raises TransportError, and JMAPError for unreadable credentials."""
    headers = await connection.authorization()
    with translated(url):
        async with asyncio.timeout(wanted.timing.connect_s):
            target = URL(url, encoded=True)
            socket = await connection.session.ws_connect(
                target,
                protocols=(_JMAP,),
                headers=headers,
                heartbeat=wanted.ping_s,
                compress=_WINDOW_BITS,
                max_msg_size=MAX_MESSAGE,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                **connection.proxies.arguments(target),
            )
    try:
        if socket.protocol != _JMAP:
            raise NotOffered(urlsplit(url).netloc, "the WebSocket does not speak jmap (RFC 8887 §4.2)")
        stream = WebSocketStream(socket, url)
        await stream.enable(wanted, push_state)
        yield stream
    finally:
        await socket.close()
