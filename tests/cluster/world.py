"""The cluster: nodes, database, bus, blob store and clients as hosts of one network."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from cluster.network import Network
from cluster.node import PATIENCE_S, WITH_PARENT, Node, build_clock
from tools.cluster.postgres import PostgresServer
from veredus.app import App, open_app
from veredus.bus.nats_server import binary as nats_server
from veredus.config import load

CLIENTS, DB, BUS, BLOBS = "clients", "db", "bus", "blobs"
_BUS_PORT, _BLOBS_PORT = 4222, 5000
_BUCKET = "mail"


class World:
    """Everything that runs; `opened` makes it."""

    def __init__(self, directory: Path, network: Network, nodes: list[Node], *, has_database: bool) -> None:
        self.directory, self.network, self.nodes = directory, network, nodes
        self.has_database = has_database
        self.has_clocks = True
        self.database: PostgresServer | None = None
        # PostgreSQL ends with the thread that started it.
        self._thread = ThreadPoolExecutor(1)
        self._children: dict[str, asyncio.subprocess.Process] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path, count: int, *, sqlite: bool = False) -> AsyncIterator["World"]:
        """``sqlite``: one data directory for all nodes stands in for database and blob store."""
        names = [f"n{number + 1}" for number in range(count)]
        clock = build_clock(directory)
        with Network([CLIENTS, DB, BUS, BLOBS, *names]) as network, network.entered(CLIENTS):
            # Threads that run already stay where they were: outside.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
            world = cls(directory, network, [], has_database=not sqlite)
            world.has_clocks = clock is not None
            try:
                url = await world._start_database()
                await world.start_bus()
                await world._start_blobs()
                for name in names:
                    settings = world._settings(name, url)
                    prefix, address = network.prefix(name), network.address(name)
                    world.nodes.append(Node(name, address, prefix, directory, clock, settings))
                yield world
            finally:
                await world._close()

    @asynccontextmanager
    async def app(self) -> AsyncIterator[App]:
        """The cluster's data, in this process."""
        async with open_app(load(self.nodes[0].config_file, {}).config, types=[]) as app:
            yield app

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def _settings(self, name: str, database_url: str) -> str:
        bus = f'[bus]\nurl = "nats://{self.network.address(BUS)}:{_BUS_PORT}"\n[limits]\nmax_concurrent_requests = 64\n'
        if not self.has_database:
            return f'data_dir = "{self.directory / "data"}"\n{bus}'
        return (
            f'data_dir = "{self.directory / name}"\n{bus}[storage]\nurl = "{database_url}"\n'
            f'[blobs]\nurl = "s3://{_BUCKET}/cluster"\nendpoint = "{self._blobs_url}"\n'
            'access_key = "test"\nsecret_key = "test"\n'
        )

    # -------------------------------------------------------------- database

    async def with_database(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call what blocks, in the thread of the database."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *args)

    async def _start_database(self) -> str:
        if not self.has_database:
            return "sqlite"
        address, prefix = self.network.address(DB), self.network.prefix(DB)
        self.database = await self.with_database(lambda: PostgresServer(address=address, prefix=prefix))
        await self.with_database(self.database.start)
        return str(await self.with_database(self.database.create, "cluster"))

    # -------------------------------------------------------------- bus and blobs

    async def start_bus(self) -> None:
        address = self.network.address(BUS)
        await self._start_child(BUS, str(nats_server()), "-a", address, "-p", str(_BUS_PORT))
        await self._reachable(address, _BUS_PORT)

    async def kill_bus(self) -> None:
        self._children[BUS].kill()
        await self._children[BUS].wait()

    @property
    def _blobs_url(self) -> str:
        return f"http://{self.network.address(BLOBS)}:{_BLOBS_PORT}"

    async def _start_blobs(self) -> None:
        if not self.has_database:
            return
        address = self.network.address(BLOBS)
        words = (sys.executable, "-m", "moto.server", "-H", address, "-p", str(_BLOBS_PORT))
        await self._start_child(BLOBS, *words)
        await self._reachable(address, _BLOBS_PORT)
        request = Request(f"{self._blobs_url}/{_BUCKET}", method="PUT")
        (await asyncio.to_thread(urlopen, request, timeout=PATIENCE_S)).close()

    async def _start_child(self, name: str, *command: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._children[name] = await asyncio.create_subprocess_exec(
                *self.network.prefix(name), *WITH_PARENT, *command,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
            )  # fmt: skip

    async def _reachable(self, address: str, port: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.05)

    async def _close(self) -> None:
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            await node.ended()
        for child in self._children.values():
            if child.returncode is None:
                child.kill()
            await child.wait()
        if self.database is not None:
            await self.with_database(self.database.close)
        self._thread.shutdown()
