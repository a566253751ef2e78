"""One worker process, as the parent sees it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import veredus
from veredus.cli.workers.orders import READY, Orders

# How long a worker may take until it serves; the first one may have to upgrade the database.
_READY_S = 600.0
# How long a worker may take to end when it has closed its socket.
_ENDING_S = 10.0


class NotReady(Exception):
    """A worker ended before it served; it has told why. ``status``: as of `Child.ended`."""

    def __init__(self, worker: int, status: int) -> None:
        super().__init__(f"worker {worker} {ending(status)} before it was ready")
        self.status = status


def ending(status: int) -> str:
    """How a process ended, in words."""
    return f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"


class Child:
    """A worker process. ``began``: when it was started, by the event loop's clock."""

    def __init__(self, worker: int, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self.worker = worker
        self.began = asyncio.get_running_loop().time()
        self._process = process
        self._line = line

    @classmethod
    async def start(cls, orders: Orders) -> "Child":
        """Raises OSError: no process can be made."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    # -P: nothing is imported from the current directory.
                    *(sys.executable, "-P", "-m", "veredus.cli.workers.worker"),
                    *(str(orders.worker), str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *_flat(orders.sockets.values())],
                    env=os.environ | {"PYTHONPATH": _path()},
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        child = cls(orders.worker, process, ours)
        await child.tell(orders.encode())
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        """Wait until it serves. Raises NotReady when it ends instead."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_READY_S):
                said = await loop.sock_recv(self._line, len(READY))
        except TimeoutError:
            self.kill()
            raise NotReady(self.worker, await self.ended()) from None
        except ConnectionError:
            said = b""
        if said != READY:  # it is about to end
            loop.call_later(_ENDING_S, self.kill)
            raise NotReady(self.worker, await self.ended())

    async def tell(self, order: bytes) -> None:
        """Encoded Orders, STOP or RETIRE; nothing happens when it has ended meanwhile."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._line, order)
        except OSError:  # it has ended, and its socket is closed perhaps
            return

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end: the exit status, or less than 0 the number of the signal that killed it."""
        status = await self._process.wait()
        self._line.close()
        return status


def _path() -> str:
    """PYTHONPATH that leads to this very package, installed or not."""
    package = Path(veredus.__file__).parent.parent
    return os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))


def _flat(lists: Iterable[Iterable[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]
