"""A worker: ``python -m veredus.cli.workers.worker N FD``. N: its number; FD: its socket to the parent."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from veredus.cli.common import end
from veredus.cli.workers.orders import READY, RETIRE, Orders, decode

# How long a worker whose parent is gone may take to end, after `http.drain`: a little more than everything
# in flight may.
_ORPHANED_S = 70.0


class Line:
    """The socket to the parent: it gives orders, and its end means that the parent is gone."""

    def __init__(self, sock: socket.socket, drain_s: float) -> None:
        self._sock, self._drain_s = sock, drain_s
        self.stop = asyncio.Event()
        # Whether others serve on the same sockets, so that there is no haste.
        self.is_retired = False
        self.is_orphan = False

    def attend(self) -> None:
        """Listen to the parent, and to SIGTERM: a service manager may send it to every process, and twice."""
        loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        loop.add_reader(self._sock, self._read)
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)

    def _read(self) -> None:
        try:
            said = self._sock.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if not said:
            self.is_orphan = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock)
            loop.call_later(self._drain_s + _ORPHANED_S, os._exit, 1)  # the parent would have killed it
        self.is_retired = RETIRE in said
        self.stop.set()

    def ready(self) -> None:
        self._sock.send(READY)


def run(fd: int) -> None:
    """Serve as the parent says, until it says otherwise."""
    from veredus.cli import running

    for sign in (signal.SIGINT, signal.SIGHUP):  # of a terminal; the parent is told them, too
        signal.signal(sign, signal.SIG_IGN)
    line = socket.socket(fileno=fd)
    # Unbuffered: an order that follows at once must stay in the socket.
    with line.makefile("rb", buffering=0) as file:
        said = file.readline()
    if not said.endswith(b"\n"):
        return  # the parent is gone
    orders = decode(said)
    # No process that a worker might start needs them.
    for number in (fd, *(number for each in orders.sockets.values() for number in each)):
        os.set_inheritable(number, False)
    running.run(_serve(orders, line))


async def _serve(orders: Orders, sock: socket.socket) -> None:
    import structlog

    from veredus import log as logs
    from veredus.app import open_app
    from veredus.cli.running import serve_until
    from veredus.serving import Place, Running

    config = orders.config
    logs.configure(config.log.format, config.log.level, worker=orders.worker)
    log = structlog.get_logger("veredus.workers")
    line = Line(sock, config.http.drain)
    line.attend()
    sockets = {
        section: [socket.socket(fileno=number) for number in each] for section, each in orders.sockets.items()
    }
    place = Place(orders.worker, sockets, orders.directory, lambda: line.is_retired)

    async def announce(_: Running) -> None:
        log.info("worker ready", pid=os.getpid())
        line.ready()

    async with open_app(config) as app:
        await serve_until(line.stop, app, announce, place=place)
    log.info("worker stopped", pid=os.getpid())
    if line.is_orphan:  # nobody else is left to tidy up
        _remove(orders.directory)


def _remove(directory: Path) -> None:
    """Remove what the parent would have removed, unless another worker is still there, which does it then."""
    with suppress(OSError):
        directory.rmdir()
        shutil.rmtree(directory.parent, ignore_errors=True)


def main() -> NoReturn:
    try:
        run(int(sys.argv[2]))
    except Exception as error:
        end(error)
    sys.exit(0)


if __name__ == "__main__":
    main()
