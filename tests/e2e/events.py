"""An EventSource client for tests: it comes back with the last event id when it is cut off, like a browser."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_RETRY_S = 0.1


class EventStream:
    """What one subscriber has been told. ``states`` is the newest state by account and type."""

    def __init__(self, url: str, auth: tuple[str, str], types: str = "*", ping: int = 0) -> None:
        self._address = url.removeprefix("http://").partition(":")[::2]
        self._credentials = base64.b64encode(":".join(auth).encode()).decode()
        self._target = f"/jmap/eventsource?types={types}&closeafter=no&ping={ping}"
        self.id = ""
        self.changes: list[dict[str, dict[str, str]]] = []
        self.pings: list[Any] = []
        self.states: dict[str, dict[str, str]] = {}
        self.connections = 0
        # HTTP statuses of connections that were refused.
        self.refusals: list[int] = []
        self.told = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Connect again and again until cancelled."""
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
                await self._connect()
            await asyncio.sleep(_RETRY_S)

    def cut(self) -> None:
        """Lose the connection, as a client that goes to sleep does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def until(self, account: str, type: str, state: str, timeout_s: float = 30) -> None:
        """Wait until this state was told; fails with what was told instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.states.get(account, {}).get(type) != state:
                    self.told.clear()
                    await self.told.wait()
        except TimeoutError:
            raise AssertionError(f"{type} should be {state}, told was {self.states}") from None

    async def _connect(self) -> None:
        host, port = self._address
        reader, self._writer = await asyncio.open_connection(host, int(port))
        try:
            resume = f"Last-Event-ID: {self.id}\r\n" if self.id else ""
            self._writer.write(
                f"GET {self._target} HTTP/1.1\r\nHost: {host}:{port}\r\n{resume}"
                f"Authorization: Basic {self._credentials}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            if status != 200:
                self.refusals.append(status)
                return
            self.connections += 1
            self.told.set()
            await self._read(reader)
        finally:
            self._writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        text = b""
        while True:
            size = int(await reader.readline(), 16)
            text += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                self._take(dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line))

    def _take(self, fields: dict[str, str]) -> None:
        self.id = fields.get("id", self.id)
        if fields.get("event") == "ping":
            self.pings.append(json.loads(fields["data"]))
        elif "data" in fields:
            change = json.loads(fields["data"])["changed"]
            self.changes.append(change)
            for account, states in change.items():
                self.states.setdefault(account, {}).update(states)
        self.told.set()


@asynccontextmanager
async def subscribed(stream: EventStream) -> AsyncIterator[EventStream]:
    """``stream`` connected, and kept connected until the end."""
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(30):
            while not (stream.connections or stream.refusals):
                stream.told.clear()
                await asyncio.wait([asyncio.create_task(stream.told.wait())], timeout=0.5)
        yield stream
    finally:
        task.cancel()
        await asyncio.wait([task])
