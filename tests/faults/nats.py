"""A nats-server with JetStream that may be killed, started again on what it kept, and paused."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from veredus.bus.nats_server import NatsServerError, binary
from waiting import until

_START_S, _STOP_S = 60.0, 20.0
# Whatever becomes of the test, the child does not outlive it (prctl: PR_SET_PDEATHSIG, SIGKILL).
_WITH_PARENT = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _stands(thread: Path) -> bool:
    """Whether it is stopped, in the words of proc(5)."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"


async def _ignore(error: Exception) -> None:
    """While it starts, errors are no news."""


class NatsProcess:
    """The port is the same after each start. ``settings``: more lines of its configuration."""

    def __init__(self, directory: Path, *, max_payload: int | None = None, settings: str = "") -> None:
        """``max_payload``: octets of a message with its headers; ``directory``: exists."""
        self.directory = directory
        self.store = directory / "jetstream"
        self._settings = settings if max_payload is None else f"max_payload: {max_payload}\n{settings}"
        self._port = 0
        self._child: asyncio.subprocess.Process | None = None

    @classmethod
    @asynccontextmanager
    async def started(
        cls, directory: Path, *, max_payload: int | None = None, settings: str = ""
    ) -> AsyncIterator["NatsProcess"]:
        """One that ends with the block; without the program the test is skipped."""
        server = cls(directory, max_payload=max_payload, settings=settings)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        """Returns when JetStream answers, too."""
        try:
            program = binary()
        except NatsServerError as error:
            pytest.skip(str(error))
        ports = self.directory / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.iterdir():
            old.unlink()
        config = self.directory / "faults.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self._port or -1}"\nports_file_dir: "{ports}"\n'
            f'jetstream {{ store_dir: "{self.store}" }}\n{self._settings}'
        )
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISc", _WITH_PARENT, str(program), "-c", str(config)),
            *("-l", str(self.directory / "nats-server.log")),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(_START_S):
            while not await self._answers(ports):
                assert self._child.returncode is None, self.log()
                await asyncio.sleep(0.02)

    async def _answers(self, ports: Path) -> bool:
        for file in ports.iterdir():
            with contextlib.suppress(IndexError, ValueError):  # it is just being written
                self._port = int(file.read_text().partition("127.0.0.1:")[2].partition('"')[0])
        if not self._port:
            return False
        try:
            connection = await nats.connect(
                self.url, allow_reconnect=False, connect_timeout=2, error_cb=_ignore
            )
        except (OSError, nats.errors.Error):
            return False
        try:
            await connection.jetstream(timeout=2).account_info()
        except (nats.js.errors.Error, nats.errors.Error):
            return False
        finally:
            await connection.close()
        return True

    async def connect(self) -> Client:
        """A connection that does not come again when it is lost."""
        return await nats.connect(self.url, allow_reconnect=False)

    def log(self) -> str:
        """What it has said since its first start."""
        file = self.directory / "nats-server.log"
        return file.read_text(errors="replace") if file.exists() else ""

    async def pause(self) -> None:
        """Let it answer nobody, with its connections open (SIGSTOP); returns when all its threads stand."""
        self._signal(signal.SIGSTOP)
        assert self._child is not None
        threads = Path(f"/proc/{self._child.pid}/task")
        await until(lambda: all(_stands(thread) for thread in threads.iterdir()))

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As a service manager does it."""
        await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        """kill -9, and begin again with what was kept."""
        await self.kill()
        await self.start()

    async def _end(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            self._signal(number)
            async with asyncio.timeout(_STOP_S):
                await self._child.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        os.kill(self._child.pid, number)
