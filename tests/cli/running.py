"""Running commands: in this process for speed, or as the real program."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from veredus.cli.main import main

PROGRAM = [sys.executable, "-m", "veredus"]


class Run:
    """One run of a command inside this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in argv])
        self.code = ended.value.code or 0
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Runner = Callable[..., Run]


@contextmanager
def server(*argv: object, log: Path, cwd: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The real program; at the end it is asked to stop, and must."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*PROGRAM, *map(str, argv)],
            stdout=file, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 30) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}: {log.read_text()}")
