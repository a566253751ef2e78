"""A server with an event-source endpoint, a client of it on a raw socket, and a test of that client."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from prometheus_client import CollectorRegistry

from jmap import Jmap
from veredus.app import App
from veredus.http.app import HttpApp
from veredus.http.edge import Edge
from veredus.http.eventsource import EventSource
from veredus.http.push_metrics import PushMetrics
from veredus.http.server import HttpServer, serve
from veredus.http.settings import HttpSettings, Timeouts

WAIT_S = 20


class Block(Struct):
    """What stands between two empty lines, its fields in order."""

    fields: list[tuple[str, str]]

    def __getitem__(self, name: str) -> str | None:
        return dict(self.fields).get(name)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.fields]

    @property
    def changed(self) -> Any:
        assert self.names == ["event", "data", "id"], self
        assert self["event"] == "state", self
        change = json.loads(self["data"] or "")
        assert change.pop("@type") == "StateChange"
        return change["changed"]


class Events:
    """A response as it comes: its head, then block after block."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._text = ""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.id: str | None = None
        # Whether the response came to its end, and was not cut.
        self.is_complete = False

    async def read_head(self) -> None:
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), WAIT_S)).decode()
        first, *lines = head.strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    async def next(self, timeout_s: float = WAIT_S) -> Block | None:
        """The next block; None: the response has ended."""
        async with asyncio.timeout(timeout_s):
            while "\n\n" not in self._text:
                piece = await self._piece()
                if piece is None:
                    assert self._text == ""
                    return None
                self._text += piece
        text, _, self._text = self._text.partition("\n\n")
        block = Block([(line.partition(": ")[0], line.partition(": ")[2]) for line in text.split("\n")])
        self.id = block["id"] or self.id
        return block

    async def state(self) -> Any:
        """What the next state event says to be changed."""
        block = await self.next()
        assert block is not None, "the stream has ended"
        return block.changed

    async def is_silent(self, seconds: float = 0.3) -> bool:
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False

    async def body(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(-1), WAIT_S)

    async def _piece(self) -> str | None:
        if self.headers.get("transfer-encoding") != "chunked":
            data = await self._reader.read(65_536)
            self.is_complete = not data
            return data.decode() or None
        line = await self._reader.readline()
        if not line:
            return None  # cut
        data = await self._reader.readexactly(int(line, 16) + 2)
        assert data.endswith(b"\r\n")
        if len(data) > 2:
            return data[:-2].decode()
        self.is_complete = await self._reader.read(-1) == b""
        return None

    def close(self) -> None:
        self.writer.close()


class Server:
    """An app behind a socket."""

    def __init__(self, app: App, http: HttpServer, registry: CollectorRegistry) -> None:
        self.app, self.http, self.registry = app, http, registry
        self.port = int(http.addresses[0].rpartition(":")[2])
        self._opened: list[Events] = []

    async def token(self, user: Jmap) -> str:
        _, token = await self.app.accounts.create_token(
            user.identity.user, "test", "write", self.app.clock.now()
        )
        self.app.directory.drop()
        return token

    async def get(
        self,
        query: str | None = None,
        *,
        token: str | None = None,
        method: str = "GET",
        version: str = "1.1",
        fields: str = "",
        **variables: Any,
    ) -> Events:
        """A stream whose head was read; ``query`` instead of ``variables``."""
        if query is None:
            query = urlencode({"types": "*", "closeafter": "no", "ping": 0, **variables})
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        line = f"{method} /jmap/eventsource?{query} HTTP/{version}"
        writer.write(f"{line}\r\nhost: x\r\n{authorization}{fields}\r\n".encode())
        events = Events(reader, writer)
        self._opened.append(events)
        await events.read_head()
        return events

    async def stream(self, token: str, **given: Any) -> Events:
        """A stream that begins now."""
        events = await self.get(token=token, **given)
        assert events.status == 200
        first = await events.next()
        assert first is not None
        assert first.names == ["id", "retry"]
        return events

    def close_clients(self) -> None:
        for events in self._opened:
            events.close()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@contextlib.asynccontextmanager
async def event_server(
    app: App, *, ping_s: tuple[int, int] = (1, 900), timeouts: Timeouts | None = None, **settings: Any
) -> AsyncIterator[Server]:
    limits = {"max_size_request": 10**6, "max_size_upload": 10**6}
    most = {"max_concurrent_requests": 4, "max_concurrent_upload": 2}
    registry, stop = CollectorRegistry(), asyncio.Event()
    edge = Edge(app.engine, app.authenticator, HttpSettings(**limits, **most, **settings), app.tickets.redeem)
    events = EventSource(edge, app.hub, ping_s)
    PushMetrics(registry, app.hub.counts, {"eventsource": events.streams})
    http_app = HttpApp(edge, ready=app.ready, registry=registry, routes=events.routes())
    async with asyncio.TaskGroup() as background:
        background.create_task(app.hub.run(stop))
        http = await serve(http_app, ["127.0.0.1:0"], timeouts=timeouts)
        server = Server(app, http, registry)
        try:
            yield server
        finally:
            server.close_clients()
            await http.close()
            stop.set()


async def test_the_client_tells_a_response_that_ended_from_one_that_was_cut() -> None:
    answers = {
        b"5\r\nid: \n\r\n1\r\n\n\r\n0\r\n\r\n": True,
        b"6\r\nid: \n\n\r\n": False,
    }
    for answer, is_complete in answers.items():
        reader = asyncio.StreamReader()
        reader.feed_data(answer)
        reader.feed_eof()
        events = Events(reader, None)  # type: ignore[arg-type]
        events.headers = {"transfer-encoding": "chunked"}
        assert await events.next() == Block([("id", "")])
        assert await events.next() is None
        assert events.is_complete is is_complete
