"""A node of the cluster: the server as a process on a host of its own, with a clock of its own."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent.parent
_CLOCK = Path(__file__).parent / "clock.c"
_HOLDER = Path(__file__).parent / "holder.py"
HTTP_PORT, LMTP_PORT = 8580, 2424
PATIENCE_S = 60.0
# It is in its first look by then, or in its second, or not begun: all of these are wanted.
_COLLECTOR_STARTS_S = 1.5
# A child ends with us, however we end.
WITH_PARENT = (
    sys.executable,
    "-ISc",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])",
)


def build_clock(directory: Path) -> Path | None:
    """The library that fakes clocks; None: there is no C compiler here."""
    library = directory / "clock.so"
    try:
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_CLOCK), "-ldl"],
            check=True,
            capture_output=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return library


class Node:
    """`veredus serve`; it may be killed, paused and started again at any time."""

    def __init__(
        self,
        name: str,
        address: str,
        prefix: Sequence[str],
        directory: Path,
        clock: Path | None,
        settings: str,
    ) -> None:
        """``directory``: exists; ``settings``: the TOML of everything but addresses."""
        self.name, self.address = name, address
        self._prefix, self._clock = tuple(prefix), clock
        self.config_file = directory / f"{name}.toml"
        self.config_file.write_text(
            f'hostname = "mx.example.com"\n{settings}[http]\nlisten = ["{address}:{HTTP_PORT}"]\n'
            f'[lmtp]\nlisten = ["{address}:{LMTP_PORT}"]\n[log]\nformat = "json"\n'
        )
        self._offset_file = directory / f"{name}.offset"
        self._offset_file.write_bytes(bytes(8))
        # All that it has ever logged goes to a file; here are the last lines, and those that tell of a bug.
        self._log_file = directory / f"{name}.log"
        self.log: deque[str] = deque(maxlen=60)
        self.errors: list[str] = []
        self.starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._holder: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}:{HTTP_PORT}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns when it serves. One that ends at once (no database) is started again, as by a service manager."""
        if self.is_running:
            return
        async with asyncio.timeout(PATIENCE_S):
            while not await self._begin():
                await asyncio.sleep(0.3)

    async def _begin(self) -> bool:
        self._ready.clear()
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix, *WITH_PARENT, sys.executable, "-m", "veredus", "serve", "--config", str(self.config_file),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=self._environment(), cwd=self.config_file.parent, limit=1024 * 1024,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self._process))
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, self._reader}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        return self._ready.is_set()

    def _environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("VEREDUS", "AWS"))}
        clean["PYTHONPATH"] = str(_ROOT / "src")
        if self._clock is not None:
            clean |= {"LD_PRELOAD": str(self._clock), "CLOCK_OFFSET_FILE": str(self._offset_file)}
        return clean

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with self._log_file.open("ab") as file:
            async for line in process.stderr:
                file.write(line)
                self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        self.log.append(line)
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            entry = {"event": line, "level": "error" if line.startswith("Traceback") else ""}
        if entry.get("event") == "ready":
            self._ready.set()
        if entry.get("level") in ("error", "critical"):
            self.errors.append(line)

    async def start_holder(self, seed: int) -> None:
        """Somebody on this host who works under a lease. He is paused with the node, and lives on when it dies."""
        self._holder = await asyncio.create_subprocess_exec(
            *self._prefix, *WITH_PARENT, sys.executable, str(_HOLDER), str(self.config_file), self.name, str(seed),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self._environment(), cwd=self.config_file.parent,
        )  # fmt: skip

    async def end_holder(self) -> list[list[Any]]:
        """Kill him; what he did: ``[token, holder, number, outcome]`` of each write."""
        holder = self._holder
        if holder is None:
            return []
        if holder.returncode is None:
            holder.kill()
        else:
            self.errors.append(f"{self.name}: the holder ended")
        told, said = await holder.communicate()
        self.errors += [line for line in said.decode().splitlines() if "rror" in line]
        self._holder = None
        return [
            json.loads(line)
            for line in told.splitlines(keepends=True)
            if line.startswith(b"[") and line.endswith(b"]\n")
        ]

    async def collect(self, ahead_s: float, pause_s: float) -> None:
        """`veredus blob gc` on this host, by a clock so far ahead that everything is old, and asleep in the midst."""
        output = self.config_file.parent / f"{self.name}.collector.log"
        offset = self._offset_file.with_suffix(".collector")
        offset.write_bytes(struct.pack("q", int(ahead_s * 1e9)))
        with output.open("ab") as file:
            collector = await asyncio.create_subprocess_exec(
                *self._prefix, *WITH_PARENT, sys.executable, "-m", "veredus", "blob", "gc", "--wait", "0.5",
                "--config", str(self.config_file), stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
                env=self._environment() | {"CLOCK_OFFSET_FILE": str(offset)}, cwd=self.config_file.parent,
            )  # fmt: skip
        try:
            await asyncio.sleep(_COLLECTOR_STARTS_S)
            _send(collector, signal.SIGSTOP)
            await asyncio.sleep(pause_s)
            _send(collector, signal.SIGCONT)
            async with asyncio.timeout(PATIENCE_S):
                await collector.wait()
        finally:
            if collector.returncode is None:
                collector.kill()
                await collector.wait()
        self.errors += [line for line in output.read_text().splitlines() if line.startswith("Traceback")]

    def kill(self) -> None:
        """kill -9."""
        _send(self._process, signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, as a service manager does; kill -9 if it does not."""
        _send(self._process, signal.SIGCONT)
        _send(self._process, signal.SIGTERM)
        if self._process is not None:
            try:
                async with asyncio.timeout(PATIENCE_S / 2):
                    await self._process.wait()
            except TimeoutError:
                self.errors.append(f"{self.name} did not end on SIGTERM")
                self.kill()

    async def ended(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def pause(self) -> None:
        _send(self._process, signal.SIGSTOP)
        _send(self._holder, signal.SIGSTOP)

    def resume(self) -> None:
        _send(self._process, signal.SIGCONT)
        _send(self._holder, signal.SIGCONT)

    def set_clock(self, offset_s: float) -> None:
        """How far its wall clock is ahead of ours, from now on."""
        with self._offset_file.open("r+b") as file:
            file.write(struct.pack("q", int(offset_s * 1e9)))


def _send(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
