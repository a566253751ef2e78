"""A server that does what a test tells it, connection by connection, on a raw socket."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from websockets.frames import Frame, Opcode

from veredus.client.session import Session

_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


class Exchange:
    """One request, and all that the test does with its connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader, self._writer = reader, writer
        line, *fields = head.strip().split("\r\n")
        self.target = line.split()[1]
        self.headers = {
            name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
        }

    async def write(self, data: bytes | str) -> None:
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def refuse(self, status: str, *fields: str) -> None:
        await self.write("\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *fields, "", ""]))

    async def stream(self) -> None:
        """Begin an event stream that ends with the connection."""
        await self.write(_HEAD + "Connection: close\r\n\r\n")

    async def chunks(self, *data: bytes) -> None:
        """Begin an event stream in chunks, and cut it off when this script ends."""
        await self.write(_HEAD + "Transfer-Encoding: chunked\r\n\r\n")
        for piece in data:
            await self.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def upgrade(self, protocol: str = "jmap") -> None:
        key = hashlib.sha1((self.headers["sec-websocket-key"] + _ACCEPT).encode()).digest()
        await self.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(key).decode()}\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )

    async def pushing(self) -> Any:
        """Do the handshake and answer the echo; the WebSocketPushEnable."""
        await self.upgrade()
        enable, echo = await self.message(), await self.message()
        await self.say({"@type": "Response", "requestId": echo["id"], "methodResponses": []})
        return enable

    async def say(self, message: Any) -> None:
        await self.frame(Opcode.TEXT, json.dumps(message).encode())

    async def frame(self, opcode: Opcode, data: bytes) -> None:
        await self.write(Frame(opcode, data).serialize(mask=False))

    async def message(self) -> Any:
        """The next text message, uncompressed and in one short frame."""
        first, length = await self._reader.readexactly(2)
        assert first == 0x81, first
        length &= 127
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2))
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(length)
        return json.loads(bytes(octet ^ mask[n % 4] for n, octet in enumerate(data)))

    async def gone(self) -> None:
        """Return when the client has closed."""
        while await self._reader.read(65_536):
            pass


Script: TypeAlias = Callable[[Exchange], Awaitable[None]]


async def silent(x: Exchange) -> None:
    """Accept, and say nothing."""
    await x.gone()


def refusing(status: str, *fields: str) -> Script:
    async def refuse(x: Exchange) -> None:
        await x.refuse(status, *fields)

    return refuse


PING = b'event: ping\ndata: {"interval": %s}\n\n'


def state(value: str, id: str = "") -> bytes:
    line = f"id: {id}\n" if id else ""
    change = f'{{"@type":"StateChange","changed":{{"a":{{"Email":"{value}"}}}}}}'
    return f"event: state\ndata: {change}\n{line}\n".encode()


def change(value: str, push_state: str | None = None) -> dict[str, Any]:
    more = {} if push_state is None else {"pushState": push_state}
    return {"@type": "StateChange", "changed": {"a": {"Email": value}}, **more}


async def states(x: Exchange) -> None:
    """An event stream that tells of one change."""
    await x.stream()
    await x.write(state("1", "i1"))
    await x.gone()


async def pushes(x: Exchange) -> None:
    """A WebSocket that tells of one change."""
    await x.pushing()
    await x.say(change("1", "p1"))
    await x.gone()


class Peer:
    """``websocket`` and ``eventsource``: what happens at one connection after the other; the last goes on."""

    server: asyncio.Server

    def __init__(self) -> None:
        self.port = 0
        self.websocket: list[Script] = []
        self.eventsource: list[Script] = []
        self.exchanges: list[Exchange] = []
        self.open = 0
        self.is_idle = asyncio.Event()
        self.failures: list[BaseException] = []

    def session(self, scheme: str = "http") -> Session:
        """The Session that offers what there are scripts for."""
        offered = {"url": f"ws://127.0.0.1:{self.port}/ws", "supportsPush": True}
        return Session(
            capabilities={"urn:ietf:params:jmap:websocket": offered} if self.websocket else {},
            accounts={},
            api_url="",
            download_url="",
            upload_url="",
            event_source_url=(
                f"http://127.0.0.1:{self.port}/sse{{?types,closeafter,ping}}" if self.eventsource else ""
            ),
            url=f"{scheme}://127.0.0.1:{self.port}/session",
        )

    def close(self) -> None:
        """Be nowhere."""
        self.server.close()

    def count(self, path: str) -> int:
        return sum(x.target.startswith(path) for x in self.exchanges)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.is_idle.clear()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            x = Exchange(reader, writer, head.decode())
            scripts = self.websocket if x.target.startswith("/ws") else self.eventsource
            self.exchanges.append(x)
            await (scripts.pop(0) if len(scripts) > 1 else scripts[0])(x)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.transport.abort()
            self.open -= 1
            if not self.open:
                self.is_idle.set()


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    """On a free port; its scripts must not have failed."""
    made = Peer()
    made.server = server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
        if made.exchanges:
            async with asyncio.timeout(20):
                await made.is_idle.wait()
    finally:
        server.close()
    assert made.failures == []
