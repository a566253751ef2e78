"""What tests of SMTP over real sockets share: a delivery, servers on free ports, and a client that says octets."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import uvloop

from veredus.reception import Envelope, Reply, Server
from veredus.smtp.server import serve

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class Mailbag:
    """Takes all mail, save for addresses that begin with "no"; what deliver does can be replaced."""

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, bytes]] = []
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fails = False

    async def recipient(self, address: str) -> Reply | None:
        if address.startswith("raise"):
            raise KeyError(address)
        return Reply(550, "5.1.1", "No such user") if address.startswith("no") else None

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        self.arrived.set()
        await self.go_on.wait()
        if self.fails:
            raise RuntimeError(message)
        self.taken.append((envelope, message))
        return [
            Reply(452, "4.2.2", "Full") if address.startswith("full") else Reply(250, "2.0.0", "Delivered")
            for address in envelope.recipients
        ]


class Servers:
    """Starts servers on free ports, and closes them."""

    def __init__(self, bag: Mailbag) -> None:
        self._bag = bag
        self._servers: list[Server] = []

    async def __call__(self, **options: Any) -> Server:
        options = {"hostname": "mx.example", "now": lambda: NOW, **options}
        self._servers.append(await serve(["127.0.0.1:0"], self._bag, **options))
        return self._servers[-1]

    async def close(self) -> None:
        for server in self._servers:
            await server.close(timeout_s=0)


def port(server: Server) -> int:
    return int(server.addresses[0].rpartition(":")[2])


class Client:
    """A client that says octets and hears lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, server: Server) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port(server)))

    async def say(self, data: bytes, replies: int = 1) -> list[str]:
        self.writer.write(data)
        return [await self.hear() for _ in range(replies)]

    async def hear(self) -> str:
        """The code of the next reply; "": the connection is closed."""
        while (line := await asyncio.wait_for(self.reader.readline(), 10))[3:4] == b"-":
            pass
        return line[:3].decode()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def greeted(server: Server) -> Client:
    client = await Client.connect(server)
    assert await client.hear() == "220"
    assert await client.say(b"EHLO client.example\r\n") == ["250"]
    return client


TRANSACTION = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


def run_on_uvloop(scenario: Callable[..., Awaitable[None]], bag: Mailbag, **given: Any) -> None:
    """Run a test once more on uvloop: its transports are no subclasses of asyncio's, and differ in more than speed."""

    async def run() -> None:
        start = Servers(bag)
        arguments = {"bag": bag, "start": start, **given}
        await scenario(**{name: arguments[name] for name in inspect.signature(scenario).parameters})
        await start.close()

    uvloop.run(run())
