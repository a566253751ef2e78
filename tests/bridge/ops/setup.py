"""A JMAP server of ours, a nats-server, and `veredus bridge` between them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from bridge.nats.servers import Server, linked
from cli.running import free_port
from client.world import World
from veredus.bridge.config import load
from veredus.bridge.nats.errors import Missing
from veredus.bridge.nats.jetstream import stream_info
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.streams import Streams, open_streams

_ROOT = Path(__file__).parent.parent.parent.parent
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

    def __init__(self, world: World, nats: Server, directory: Path) -> None:
        self.world, self.nats, self.directory = world, nats, directory
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
        argv = (sys.executable, "-m", "veredus", "bridge", *map(str, words), "--config", str(self.file))
        child = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=_environment(), cwd=self.directory,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            out, err = await child.communicate()
        return Ended(child.returncode or 0, out.decode(), err.decode())

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
        return Process(self.file)


class Process:
    """`veredus bridge run`, with its monitor on a free port; killed at the end of the block."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._port = free_port()
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: list[str] = []

    async def __aenter__(self) -> "Process":
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "veredus", "bridge", "run", "--config", str(self._file)),
            *("--listen", f"127.0.0.1:{self._port}"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=_environment(), cwd=self._file.parent,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self._child))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
        await self.ended()

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stderr is not None
        async for line in child.stderr:
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
            assert self._child.returncode is None, "\n".join(self.lines)
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


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VEREDUS")}
    return clean | {"PYTHONPATH": str(_ROOT / "src")}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """What is asked for is in another process; raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            await asyncio.sleep(0.05)


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
