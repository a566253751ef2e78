"""A child process with a log, that may be ended in any way and started again."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_START_S, _STOP_S = 60.0, 60.0
# Below what Linux, macOS and the BSDs give to outgoing connections.
_PORTS = (15_000, 32_000)
# The child ends with us, however we end; on other systems than Linux only when we end in order.
_CHILD = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Where(Struct, frozen=True):
    """Address and ports of a server, 0: a free one, and words before its command (`ip netns exec node1`)."""

    address: str = "127.0.0.1"
    http: int = 0
    lmtp: int = 0
    prefix: tuple[str, ...] = ()


class NotStarted(Exception):
    """Says which process, why, and what it said last."""


class Process:
    """One program; ``prefix``: words before its command, such as ``ip netns exec node1``."""

    def __init__(self, name: str, log: Path, prefix: Sequence[str] = ()) -> None:
        self.name, self.log = name, log
        self._prefix = tuple(prefix)
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """None: it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Returns at once; ``env``: besides ours, without what configures a Veredus of ours."""
        assert self.pid is None, f"{self.name} runs"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VEREDUS")}
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *(*self._prefix, sys.executable, "-ISc", _CHILD, *map(str, command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**clean, **(env or {})},
                start_new_session=True,  # Ctrl-C is for us, who end them one after the other
            )

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until ``is_so``, which is asked in a thread. Raises NotStarted, also when the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                while not await asyncio.to_thread(is_so):
                    if self.pid is None:
                        raise self._not_started("has ended")
                    await asyncio.sleep(0.02)
                return
        raise self._not_started(f"{what} not after {_START_S:.0f} s")

    async def listening(self, address: str, port: int) -> None:
        """Wait until it takes connections. Raises NotStarted."""
        await self.until(lambda: takes_connections(address, port), f"listens on {address}:{port}")

    def send(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended."""
        if self._child is not None and self._child.returncode is None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        assert self._child is not None
        return await self._child.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Ask it to end, and kill it when it does not; its exit status. None: it was never started."""
        if self._child is None:
            return None
        for each in (number, signal.SIGKILL):
            self.send(each)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    return await self._child.wait()
        raise AssertionError(f"{self.name} survives SIGKILL")

    async def kill(self) -> None:
        """kill -9."""
        await self.stop(signal.SIGKILL)

    def _not_started(self, why: str) -> NotStarted:
        said = self.log.read_text(errors="replace").splitlines()[-15:]
        return NotStarted("\n  ".join([f"{self.name} {why}:", *said]))


def takes_connections(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


def free_port(usual: int | None = None, address: str = "127.0.0.1") -> int:
    """The usual one, if it is given and free; else one that was free just now. Raises NotStarted.

    None of those that the kernel gives to outgoing connections: a server that is restarted must find it free.
    """
    for port in (usual, *(random.randrange(*_PORTS) for _ in range(100))):
        if port is not None:
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
                return port
    raise NotStarted("this machine has no free port")
