"""One HTTP request and its response, over ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html).

Nothing here is held beyond what is in flight: bodies are read against a limit, and streamed responses wait
for the socket.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from veredus.http.problems import Headers
from veredus.http.stream import DETACH, Detach, Disconnected, Stream
from veredus.ports import Identity, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UNMATCHED = "unmatched"


class Exchange:
    """A request, how to answer it, and what the log and the metrics will say of it."""

    __slots__ = (
        "_receive",
        "_send",
        "common",
        "headers",
        "id",
        "identity",
        "method",
        "received",
        "route",
        "scope",
        "sent",
        "started",
        "status",
    )

    identity: Identity  # set once the request is authenticated

    def __init__(self, scope: Scope, receive: Receive, send: Send, id: str) -> None:
        self.scope, self._receive, self._send, self.id = scope, receive, send, id
        self.started = perf_counter()
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.route = UNMATCHED
        # Header fields that every response to this request carries.
        self.common: Headers = []
        # 0 until the response begins.
        self.status = 0
        self.received = 0
        self.sent = 0

    @property
    def user(self) -> str | None:
        """Who is authenticated, or None."""
        try:
            return self.identity.user
        except AttributeError:
            return None

    # ---------------------------------------------------------------- request

    @property
    def query(self) -> dict[str, str]:
        """The variables of the URL's query; of a repeated one the last value."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    def check_declared_size(self, max_size: int) -> None:
        """Refuse by Content-Length alone, before anything is read. Raises TooLarge."""
        declared = self.headers.get(b"content-length")
        if declared is not None and int(declared) > max_size:
            raise TooLarge

    async def body(self, max_size: int) -> bytes:
        """The whole body. Raises TooLarge, Disconnected."""
        chunk, more = await self._next(max_size)
        if not more:  # nearly always: it came with the header section
            return chunk
        parts = [chunk]
        while more:
            chunk, more = await self._next(max_size)
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self, max_size: int) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; a client whose body is not read on stops to send.

        Raises TooLarge, Disconnected.
        """
        more = True
        while more:
            chunk, more = await self._next(max_size)
            if chunk:
                yield chunk

    async def _next(self, max_size: int) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] != "http.request":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        self.received += len(chunk)
        if self.received > max_size:
            raise TooLarge
        return chunk, message.get("more_body", False)

    # ---------------------------------------------------------------- response

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """The whole response at once. Adds Content-Length, except to 204 and 304, which have no content."""
        if status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})
        self.sent = 0 if self.method == "HEAD" else len(body)

    async def stream(self, status: int, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
        """A response in pieces; ``headers`` hold its Content-Length. Raises Disconnected.

        ASGI's ``send`` says nothing of a client that has gone, ``receive`` does; without asking it a
        large blob would be read to its end for nobody.
        """
        gone = asyncio.ensure_future(self._disconnect())
        try:
            await self._start(status, headers)
            if self.method != "HEAD":
                await self._send_all(chunks, gone)
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            if isinstance(chunks, AsyncGenerator):  # its file must not stay open until it is collected
                await chunks.aclose()

    def detach(self, status: int, stream: Stream) -> None:
        """Give the connection to ``stream``, which writes the response itself, of this status.

        Raises Disconnected.
        """
        self.status = status
        detach: Detach = self.scope["extensions"][DETACH]
        detach(stream)

    async def _send_all(self, chunks: AsyncIterator[bytes], gone: asyncio.Future[None]) -> None:
        async for chunk in chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            if gone.done():
                raise Disconnected
            self.sent += len(chunk)

    async def _start(self, status: int, headers: Headers) -> None:
        self.status = status
        headers += self.common
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
