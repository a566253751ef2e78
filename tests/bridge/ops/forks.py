"""Processes of `veredus` that begin with its modules loaded: forks of one that has them.

Each is a real process with its own event loop, descriptors and signals; only the half second of imports is
saved, of which a bridge and its commands would have dozens here. That the program starts by itself other
tests show (test_takeover.py).
"""

import asyncio
import atexit
import contextlib
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

_MODULES = (
    "veredus.cli.main", "veredus.cli.bridge.until_stopped", "veredus.bridge.check", "veredus.bridge.migrate",
    "veredus.bridge.overview", "veredus.bridge.retry", "veredus.bridge.run", "veredus.bridge.streams",
    "veredus.bridge.config", "veredus.log",
)  # fmt: skip
_ROOT = Path(__file__).parent.parent.parent.parent
_LONGEST = 65536


class Fork:
    """One process; ``code`` None: it runs. Negative: the signal that ended it, as asyncio has it."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid, self._reader, self._writer = pid, reader, writer
        self.code: int | None = None

    def send_signal(self, number: int) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self) -> int:
        if self.code is None:
            self.code = int(await self._reader.readline())
            self._writer.close()
        return self.code


class Forks:
    """The process that has the modules; started once for many tests."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def start(self, argv: list[str], cwd: Path, out: int, err: int) -> Fork:
        """`veredus` with ``argv``; ``out`` and ``err`` are descriptors, which are its own from then on."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        request = json.dumps({"argv": argv, "cwd": str(cwd)}).encode()
        socket.send_fds(connection, [request], [out, err])
        os.close(out)
        os.close(err)
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        return Fork(int(await reader.readline()), reader, writer)


@contextlib.contextmanager
def forking() -> Iterator[Forks]:
    """Ends with the block; what was started ends by itself."""
    with tempfile.TemporaryDirectory(prefix="forks-") as directory:
        path = Path(directory) / "socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(16)
            argv = (sys.executable, str(Path(__file__)), str(listener.fileno()))
            child = subprocess.Popen(argv, env=environment(), pass_fds=[listener.fileno()])
        try:
            yield Forks(path)
        finally:
            child.kill()
            child.wait()


@functools.cache
def shared() -> Forks:
    """One for all tests of this process, which ends with it."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forking())


def environment() -> dict[str, str]:
    """Without settings of whoever runs the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VEREDUS")}
    return clean | {"PYTHONPATH": str(_ROOT / "src")}


def serve(listener: socket.socket) -> NoReturn:
    """A process between for each request, which waits for that one process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(connection)
        connection.close()


def _attend(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 2)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(request), *descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: dict[str, Any], out: int, err: int) -> NoReturn:
    from veredus.cli.main import main

    code = 1
    try:
        os.setsid()
        with open(os.devnull) as nothing:
            for number, descriptor in enumerate((nothing.fileno(), out, err)):
                os.dup2(descriptor, number)
        os.chdir(request["cwd"])
        sys.argv = ["veredus", *request["argv"]]
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    for module in _MODULES:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
