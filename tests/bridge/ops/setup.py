"""A JMAP server of ours, a nats-server, and `veredus bridge` between them."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from bridge.nats.servers import Server, linked
from bridge.ops.forks import Fork, Forks
from bridge.ops.pipes import lines
from cli.running import free_port
from client.world import World
from veredus.bridge.config import load
from veredus.bridge.nats.errors import Missing
from veredus.bridge.nats.jetstream import stream_info
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.streams import Streams, open_streams
from waiting import until

PATIENCE_S = 40.0


class Ended(Struct, frozen=True):
    """A command that has."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Setup:
    """``more``: lines of the [[bridge]] table."""

    def __init__(self, world: World, nats: Server, directory: Path, forks: Forks) -> None:
        self.world, self.nats, self.directory, self._forks = world, nats, directory, forks
        self.token = directory / "token"
        self.write_token(world.token)
        self.file = directory / "bridge.toml"
        self.configure()

    @property
    def account(self) -> str:
        return self.world.alice.account

    def write_token(self, token: str) -> None:
        self.token.touch(mode=0o600)
        self.token.write_text(token + "\n")

    def configure(self, more: str = "", *, url: str = "", name: str = "one", also: str = "") -> None:
        self.file.write_text(self.table(more, url=url, name=name) + also)

    def table(self, more: str = "", *, url: str = "", name: str = "one") -> str:
        return (
            f'[[bridge]]\nname = "{name}"\nlease = "3s"\n'
            f'jmap = {{ session_url = "{url or self.world.url + "/.well-known/jmap"}", '
            f'token = {{ file = "{self.token}" }} }}\nnats = {{ url = "{self.nats.url}" }}\n{more}\n'
        )

    async def cli(self, *words: object) -> "Ended":
        """A command, in a process of its own."""
        argv = ["bridge", *map(str, words), "--config", str(self.file)]
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        child = await self._forks.start(argv, self.directory, its_out, its_err)
        async with asyncio.timeout(PATIENCE_S):
            said = [b"".join([line async for line in lines(end)]) for end in (out, err)]
            return Ended(await child.wait(), *(octets.decode() for octets in said))

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        async with linked(self.nats) as link:
            yield link

    async def emails(self) -> list[str]:
        """Ids of what is in the stream of Emails, in its order."""
        async with self.link() as link:
            try:
                return [
                    message.headers["Jmap-Email-Id"]
                    async for message in read(link, Reading("JMAP_EMAILS", "jmap.email.>"))
                    if message is not None
                ]
            except Missing:  # nobody has made it yet
                return []

    async def count(self, stream: str = "JMAP_EMAILS") -> int:
        async with self.link() as link:
            return (await stream_info(link, stream)).messages

    async def until_emails(self, count: int) -> list[str]:
        found: list[str] = []

        async def are_there() -> bool:
            found[:] = await self.emails()
            return len(found) >= count

        await until(are_there)
        return found

    @property
    def settings(self) -> BridgeSettings:
        return load(self.file).bridges[0]

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """Everything in NATS, as a bridge makes it."""
        async with self.link() as link:
            yield await open_streams(link, self.settings)

    def process(self) -> "Process":
        return Process(self.file, self._forks)


class Process:
    """`veredus bridge run`, with its monitor on a free port; killed at the end of the block."""

    def __init__(self, file: Path, forks: Forks) -> None:
        self._file, self._forks = file, forks
        self._port = free_port()
        self._child: Fork | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: list[str] = []

    async def __aenter__(self) -> "Process":
        argv = ["bridge", "run", "--config", str(self._file), "--listen", f"127.0.0.1:{self._port}"]
        end, its_end = os.pipe()
        self._child = await self._forks.start(argv, self._file.parent, os.dup(its_end), its_end)
        self._reading = asyncio.create_task(self._read(end))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    async def _read(self, end: int) -> None:
        async for line in lines(end):
            self.lines.append(line.decode().rstrip("\n"))

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.lines if line.startswith("{")]

    def send(self, number: int) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    async def ended(self) -> int:
        assert self._child is not None
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self._child.wait()

    async def stop(self) -> int:
        self.send(signal.SIGTERM)
        return await self.ended()

    async def get(self, path: str) -> httpx.Response | None:
        """None: it does not listen yet."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return await client.get(f"http://127.0.0.1:{self._port}{path}", timeout=PATIENCE_S)
            except httpx.ConnectError:
                return None

    async def readiness(self) -> Any:
        response = await self.get("/readyz")
        return None if response is None else response.json()

    async def until_it_says(self, status: str, problem: str = "") -> None:
        """Until /readyz has this status and one of its problems has ``problem`` in it."""

        async def says() -> bool:
            assert self._child is not None
            assert self._reading is not None
            assert not self._reading.done(), "\n".join(self.lines)
            said = await self.readiness()
            return said is not None and said["status"] == status and problem in json.dumps(said)

        try:
            await until(says)
        except TimeoutError:
            raise AssertionError(f"{await self.readiness()}\n" + "\n".join(self.lines)) from None

    async def until_it_logs(self, event: str) -> None:
        async def logged() -> bool:
            return event in self.events

        await until(logged)


class Relay:
    """A port that leads to another, as long as it is open."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
