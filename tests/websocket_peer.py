"""A JMAP server behind a WebSocket, and clients of it: the library's, and raw frames."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from veredus.app import App
from veredus.http.app import HttpApp
from veredus.http.edge import Edge
from veredus.http.server import HttpServer, serve
from veredus.http.settings import HttpSettings, Timeouts
from veredus.http.websocket import WebSockets
from veredus.http.websocket_stream import LIVENESS, Liveness
from veredus.ports import Identity

CORE = "urn:ietf:params:jmap:core"
LIMIT = 200_000


class Held:
    """The engine; it keeps back the answers to requests that have the member ``hold``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.go = asyncio.Event()
        self.held = 0

    async def answer(self, document: Any, identity: Identity, base_url: str) -> bytes:
        body = await self._app.engine.answer(document, identity, base_url)
        if "hold" in document:
            self.held += 1
            await self.go.wait()
        return body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.engine, name)


class Server:
    """A server on a free port, and the token of its user."""

    def __init__(self, app: App, http: HttpServer, sockets: WebSockets, engine: Held, account: str) -> None:
        self.app, self.http, self.sockets, self.engine = app, http, sockets, engine
        self.account = account
        self.address = http.addresses[0]
        self.url = f"ws://{self.address}/jmap/ws"
        self.token = self.credential = ""
        self.registry: CollectorRegistry
        self._raw: list[Raw] = []

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def revoke(self) -> None:
        await self.app.accounts.revoke_token(self.credential)

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator["Peer"]:
        """A client of the library; ``options`` are its own."""
        options = {"additional_headers": self.headers, "max_size": None, "proxy": None, **options}
        async with connect(self.url, subprotocols=[Subprotocol("jmap")], **options) as connection:
            yield Peer(connection, self.account)

    async def raw(self, *fields: str) -> "Raw":
        """A connection whose client is the test; ``fields``: further lines of the handshake."""
        port = int(self.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        lines = [
            "GET /jmap/ws HTTP/1.1",
            f"Host: {self.address}",
            f"Authorization: Bearer {self.token}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol: jmap",
            "Sec-WebSocket-Version: 13",
            *fields,
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        self._raw.append(Raw(reader, writer, head.decode()))
        return self._raw[-1]

    def close(self) -> None:
        """Close what ``raw`` has opened."""
        for raw in self._raw:
            raw.close()


class Peer:
    """A connection that speaks JSON."""

    def __init__(self, connection: ClientConnection, account: str) -> None:
        self.connection, self.account = connection, account
        self._early: list[Any] = []

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def receive(self) -> Any:
        if self._early:
            return self._early.pop(0)
        async with asyncio.timeout(10):
            return json.loads(await self.connection.recv())

    async def ask(self, message: Any) -> Any:
        await self.send(message)
        return await self.receive()

    async def echo(self, id: str | None = None, **members: Any) -> None:
        """Ask for an echo of nothing."""
        await self.send(echo(id, **members))

    async def is_silent(self, seconds: float = 0.3) -> bool:
        if self._early:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self.connection.recv()
        except TimeoutError:
            return True
        return False

    async def enable(self, types: list[str] | None = None, state: str | None = None) -> None:
        """Ask for push; the echo shows that the message has arrived."""
        await self.send({"@type": "WebSocketPushEnable", "dataTypes": types, "pushState": state})
        await self.echo("enabled")
        early = []
        while (message := await self.receive()).get("requestId") != "enabled":
            early.append(message)
        self._early = early

    async def closed(self) -> tuple[int, str]:
        """Code and reason with which the server has closed."""
        async with asyncio.timeout(15):
            await self.connection.wait_closed()
        received = self.connection.protocol.close_rcvd
        assert received is not None, "no close frame"
        return received.code, received.reason


class Raw:
    """Frames as the test wants them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.reader, self.writer, self.head = reader, writer, head

    def stop_reading(self) -> None:
        """Take nothing from the kernel until ``go_on_reading``."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def go_on_reading(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def send(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        self.writer.write(Frame(opcode, data, fin).serialize(mask=True))

    def send_compressed(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        """``data`` is deflated already; a continuation has no RSV1."""
        frame = bytearray(Frame(opcode, data, fin).serialize(mask=True))
        if opcode is not Opcode.CONT:
            frame[0] |= 0x40
        self.writer.write(bytes(frame))

    async def frame(self) -> tuple[int, bool, bytes]:
        """The next frame: opcode, whether it is compressed, data."""
        async with asyncio.timeout(10):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8))
            return first & 15, bool(first & 0x40), await self.reader.readexactly(length)

    async def message(self) -> Any:
        opcode, _, data = await self.frame()
        assert opcode == Opcode.TEXT, (opcode, data)
        return json.loads(data)

    async def close_code(self) -> int:
        """Of the close frame that must come next."""
        opcode, _, data = await self.frame()
        assert opcode == Opcode.CLOSE, (opcode, data)
        return int.from_bytes(data[:2])

    async def ended(self) -> bool:
        """Whether the server ends the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read() == b""

    def close(self) -> None:
        self.writer.transport.abort()


def echo(id: str | None = None, **members: Any) -> dict[str, Any]:
    """A Request for an echo of nothing."""
    request = {"@type": "Request", "using": [CORE], "methodCalls": [["Core/echo", {}, "0"]], **members}
    return request if id is None else {**request, "id": id}


@asynccontextmanager
async def server(
    app: App, *, liveness: Liveness = LIVENESS, timeouts: Timeouts | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """The app behind a socket, with its hub and one user."""
    user = "alice@example.com"
    account = await app.add_account(user, "secret")
    settings = {
        "max_size_request": LIMIT,
        "max_size_upload": 1_000_000,
        "max_concurrent_requests": 4,
        "max_concurrent_upload": 2,
        **settings,
    }
    registry, engine = CollectorRegistry(), Held(app)
    edge = Edge(engine, app.authenticator, HttpSettings(**settings), app.tickets.redeem)
    sockets = WebSockets(edge, app.hub, registry, liveness)
    http = await serve(
        HttpApp(edge, ready=app.ready, registry=registry, routes=sockets.routes()),
        ["127.0.0.1:0"],
        timeouts=timeouts,
    )
    made = Server(app, http, sockets, engine, account)
    made.registry = registry
    stop = asyncio.Event()
    running = asyncio.create_task(app.hub.run(stop))
    token, made.token = await app.accounts.create_token(user, "test", "write", app.clock.now())
    made.credential = token
    try:
        yield made
    finally:
        engine.go.set()
        made.close()
        await http.close()
        stop.set()
        await running
