"""What nodes share beside the database: a nats-server and an S3-compatible store."""

import asyncio
import sys
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

from tools.cluster.process import NotStarted, Process, free_port
from veredus.bus.nats_server import binary


class Nats:
    """A nats-server that keeps nothing; address and port stay the same when it is started again."""

    def __init__(
        self, directory: Path, *, address: str = "127.0.0.1", port: int = 0, prefix: Sequence[str] = ()
    ) -> None:
        """``prefix``: of Process; ``port`` 0: a free one."""
        self.address, self.port = address, port or free_port()
        self.process = Process("nats-server", directory / "nats-server.log", prefix)

    @property
    def url(self) -> str:
        return f"nats://{self.address}:{self.port}"

    async def start(self) -> None:
        """Raises NotStarted."""
        await self.process.start(binary(), "-a", self.address, "-p", str(self.port))
        await self.process.listening(self.address, self.port)

    async def restart(self) -> None:
        await self.process.kill()
        await self.start()


class S3:
    """moto's server: S3 in the memory of one process, with one bucket; what it holds ends with it."""

    BUCKET = "veredus"
    ACCESS_KEY, SECRET_KEY = "test", "test"

    def __init__(
        self, directory: Path, *, address: str = "127.0.0.1", port: int = 0, prefix: Sequence[str] = ()
    ) -> None:
        self.address, self.port = address, port or free_port()
        self.process = Process("s3", directory / "s3.log", prefix)

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"s3://{self.BUCKET}"

    async def start(self) -> None:
        """Raises NotStarted."""
        await self.process.start(
            sys.executable, "-m", "moto.server", "-H", self.address, "-p", str(self.port)
        )
        await self.process.listening(self.address, self.port)
        await asyncio.to_thread(self._make_bucket)

    def _make_bucket(self) -> None:
        connection = HTTPConnection(self.address, self.port, timeout=10)
        try:
            connection.request("PUT", f"/{self.BUCKET}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise NotStarted(f"s3: no bucket: {answer.status} {answer.read()!r}")
        finally:
            connection.close()
