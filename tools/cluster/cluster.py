"""Three nodes behind haproxy, and what they share: a database, a blob store, a bus."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from tools.cluster.node import Node
from tools.cluster.postgres import PostgresServer
from tools.cluster.process import Where, free_port
from tools.cluster.proxy import Haproxy
from tools.cluster.services import S3, Nats
from veredus.app import App, open_app
from veredus.config import load

HOSTNAME = "mx.example.com"
DATABASE = "veredus"


class Plan(Struct, frozen=True, kw_only=True):
    """What a cluster is made of. ``usual_ports``: those that people know, where they are free."""

    storage: Literal["sqlite", "postgresql"] = "postgresql"
    blobs: Literal["file", "s3"] = "s3"
    drain_s: float = 2
    check: str = "200ms"
    usual_ports: bool = False


class Cluster:
    """All of it on 127.0.0.1, in one directory; an async context that starts and ends it."""

    def __init__(self, directory: Path, plan: Plan = Plan()) -> None:  # noqa: B008 - it is frozen
        """``directory``: exists, and is empty."""
        self.directory, self.plan = directory, plan
        self.nats = Nats(directory)
        self.postgres = PostgresServer(fsync=True) if plan.storage == "postgresql" else None
        self.s3 = S3(directory) if plan.blobs == "s3" else None
        self.nodes: list[Node] = []
        self.proxy: Haproxy
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        """What nodes need, one node, which makes the tables, the others, and haproxy last."""
        if self.postgres is not None:
            self._stack.callback(self.postgres.close)
            self.postgres.start()
            self.postgres.create(DATABASE)
        for service in (self.nats, self.s3):
            if service is not None:
                self._stack.push_async_callback(service.process.stop)
                await service.start()
        self._stack.push_async_callback(self._stop_nodes)
        usual = self.plan.usual_ports
        for number in (1, 2, 3):
            where = _where(8580 + number, 2424 + number) if usual else Where()
            node = Node(
                self.directory,
                number,
                self._settings(number),
                drain_s=self.plan.drain_s,
                where=where,
            )
            self.nodes.append(node)
        await self.nodes[0].start()
        await asyncio.gather(*(node.start() for node in self.nodes[1:]))
        front = _where(8580, 2424) if usual else Where()
        self.proxy = Haproxy(self.directory, self.nodes, check=self.plan.check, where=front)
        self._stack.push_async_callback(self.proxy.process.stop)
        await self.proxy.start()

    async def _stop_nodes(self) -> None:
        """All at once: each of them drains."""
        await asyncio.gather(*(node.stop() for node in self.nodes))

    def _settings(self, number: int) -> str:
        """Of one node. With SQLite all share a directory; with PostgreSQL and S3 each has its own."""
        is_shared = self.postgres is None or self.s3 is None
        data = self.directory / ("data" if is_shared else f"data{number}")
        lines = [f'data_dir = "{data}"', f'hostname = "{HOSTNAME}"', "[log]", 'format = "json"']
        lines += ["[bus]", f'url = "{self.nats.url}"']
        if self.postgres is not None:
            lines += ["[storage]", f'url = "{self.postgres.dsn(DATABASE)}"']
        if self.s3 is not None:
            lines += [
                *("[blobs]", f'url = "{self.s3.url}"', f'endpoint = "{self.s3.endpoint}"'),
                *(f'access_key = "{S3.ACCESS_KEY}"', f'secret_key = "{S3.SECRET_KEY}"'),
            ]
        return "\n".join(lines)

    async def add_account(self, address: str, password: str) -> str:
        """The id of the new account. From this process, as `veredus account add` does it."""
        async with self.opened() as app:
            return await app.add_account(address, password)

    def opened(self) -> AbstractAsyncContextManager[App]:
        """The nodes' data, in this process."""
        return open_app(load(self.nodes[0].config, {}).config, types=[])


def _where(http: int, lmtp: int) -> Where:
    """These ports, where they are free."""
    return Where(http=free_port(http), lmtp=free_port(lmtp))
