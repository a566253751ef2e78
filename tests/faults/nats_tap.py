"""A proxy before a nats-server that knows where a message begins: it tells of each, and may cut or stall.

Unlike a subscriber to ``>`` it sees a message before the server does, and an acknowledgement before the client.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.steps import Observer, Stage, Step

_LINE_LIMIT = 1024 * 1024
_CRLF = 2


class _Dead(Exception):
    """The client was killed: nothing of it goes further."""


class NatsTap:
    """``published``: how many messages came in, by the kind of their subject (``Step.kind``)."""

    def __init__(self, port: int) -> None:
        """``port``: of the server, on this machine."""
        self._upstream = port
        self._connections: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self.observers: list[Observer] = []
        self.published: Counter[str] = Counter()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["NatsTap"]:
        tap = cls(port)
        server = await asyncio.start_server(tap._accept, "127.0.0.1", 0, limit=_LINE_LIMIT)
        tap.port = server.sockets[0].getsockname()[1]
        try:
            yield tap
        finally:
            server.close()
            await tap.cut_all()
            await server.wait_closed()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def silence(self) -> None:
        """Hold back everything in both directions, with the connections open."""
        self._passes.clear()

    def speak(self) -> None:
        """Pass again, first what was held back."""
        self._passes.set()

    async def cut_all(self) -> None:
        """Close every connection there is."""
        connections = set(self._connections)
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server, upstream = await asyncio.open_connection("127.0.0.1", self._upstream, limit=_LINE_LIMIT)
            try:
                await self._pass(reader, writer, server, upstream)
            finally:
                upstream.close()
        except (OSError, asyncio.CancelledError):
            pass  # whichever end is gone, the other one is told by the close
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        # What was published, by the inbox that its acknowledgement goes to.
        waiting: dict[bytes, str] = {}
        tasks = [
            asyncio.create_task(self._up(reader, upstream, waiting)),
            asyncio.create_task(self._down(server, writer, waiting)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _up(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, waiting: dict[bytes, str]
    ) -> None:
        async for words, frame in _frames(reader, (b"PUB", b"HPUB")):
            await self._passes.wait()
            if not words:
                upstream.write(frame)
                continue
            subject = words[1].decode()
            # PUB subject [reply] size, HPUB subject [reply] headers size
            if len(words) == (4 if words[0] == b"PUB" else 5):
                waiting[words[2]] = subject
            step = Step("nats", subject, "arrived")
            self.published[step.kind] += 1
            self._see(subject, "arrived")
            upstream.write(frame)
            await upstream.drain()
            self._see(subject, "forwarded")

    async def _down(
        self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: dict[bytes, str]
    ) -> None:
        async for words, frame in _frames(server, (b"MSG", b"HMSG")):
            await self._passes.wait()
            if words and (subject := waiting.pop(words[1], None)) is not None:
                self._see(subject, "answered")
            writer.write(frame)
            await writer.drain()

    def _see(self, subject: str, stage: Stage) -> None:
        """Tell the observers; each of them sees each step."""
        dead = False
        for observe in self.observers:
            dead |= observe(Step("nats", subject, stage))
        if dead:
            raise _Dead


async def _frames(
    reader: asyncio.StreamReader, verbs: tuple[bytes, bytes]
) -> AsyncIterator[tuple[list[bytes], bytes]]:
    """Each frame of the NATS protocol as it is, with the words of its line when the verb is one of these."""
    while line := await reader.readline():
        words = line.split()
        if words and words[0].upper() in verbs:
            yield words, line + await reader.readexactly(int(words[-1]) + _CRLF)
        else:
            yield [], line
