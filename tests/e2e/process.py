"""The server as users run it: a process of its own with a configuration file, sockets and a data directory."""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from veredus.app import App, open_app
from veredus.config import load

_ROOT = Path(__file__).parent.parent.parent
# Two busy cores: the process may have to wait before it may even begin.
_PATIENCE_S = 60.0


class ServerProcess:
    """`veredus serve` on free ports; it may be started again after it has ended."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        """``settings``: more lines of TOML, behind the addresses."""
        self.directory = directory
        self.config_file = directory / "veredus.toml"
        addresses = "".join(f'[{name}]\nlisten = ["127.0.0.1:0"]\n' for name in ("http", "smtp", "lmtp"))
        self.config_file.write_text(
            f'data_dir = "{directory / "data"}"\nhostname = "mx.example.com"\n{addresses}{settings}'
        )
        self.ports: dict[str, int] = {}
        # The last lines of its log, and those that tell of a bug.
        self.log: deque[dict[str, Any]] = deque(maxlen=200)
        self.errors: list[dict[str, Any]] = []
        self.is_killed = False
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    async def __aenter__(self) -> "ServerProcess":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left running, whatever the test came to."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def start(self) -> None:
        """Returns when it is ready."""
        await self.begin()
        waiting = asyncio.create_task(self._ready.wait())
        assert self._reader is not None
        await asyncio.wait({waiting, self._reader}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert self._ready.is_set(), list(self.log)

    async def begin(self) -> None:
        """Start it, and do not wait until it is ready."""
        self._ready.clear()
        self.is_killed = False
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VEREDUS")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "veredus", "serve", "--config", str(self.config_file),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=clean | {"PYTHONPATH": str(_ROOT / "src")}, cwd=self.directory, limit=1024 * 1024,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read_log(self._process))

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._take(_entry(line))

    def _take(self, entry: dict[str, Any]) -> None:
        """One line of the log."""
        self.log.append(entry)
        if entry.get("level") in ("error", "critical") or entry["event"].startswith("Traceback"):
            self.errors.append(entry)
        if entry["event"] == "ready":
            self.ports = {name: int(entry[name][0].rpartition(":")[2]) for name in ("http", "smtp", "lmtp")}
            self._ready.set()

    async def kill(self) -> None:
        """kill -9."""
        self.is_killed = True
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end, as a service manager does; its exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process = self._process
        assert process is not None
        assert self._reader is not None
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(_PATIENCE_S):
            await self._reader
            return await process.wait()

    def resident(self) -> int:
        """Octets of memory it has now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most octets of memory it ever had."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[App]:
        """Its data, in this process; the server may be running meanwhile."""
        async with open_app(load(self.config_file, {}).config, types=[]) as app:
            yield app


def _entry(line: bytes) -> dict[str, Any]:
    text = line.decode(errors="replace").rstrip("\n")
    try:
        entry = json.loads(text)
    except ValueError:
        return {"event": text}
    return entry if isinstance(entry, dict) and "event" in entry else {"event": text}
