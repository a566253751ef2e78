"""A server with several workers, EventSource clients that come back, and what the tests of both share."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from e2e.clients import HttpJmap, MailClient
from e2e.process import ServerProcess
from jmap import message
from waiting import until

ALICE = "alice@example.com"
AUTH = (ALICE, "alice")
# Two busy cores.
PATIENCE_S = 30.0


class Workers(ServerProcess):
    """A server with several workers, whose log is kept but for its request lines."""

    def __init__(self, directory: Path, workers: int = 3, settings: str = "") -> None:
        super().__init__(directory, settings)
        self.write_config(workers)
        self.account = ""
        self.events: list[dict[str, Any]] = []
        self.requests: Counter[int] = Counter()

    def write_config(self, workers: int, more: str = "") -> None:
        text = self.config_file.read_text()
        text = text[text.index("data_dir") :]
        self.config_file.write_text(f"workers = {workers}\n{more}{text}")

    def _take(self, entry: dict[str, Any]) -> None:
        if entry["event"] == "request":
            self.requests[entry["worker"]] += 1
            return
        self.events.append(entry)
        super()._take(entry)

    async def add_account(self) -> None:
        async with self.opened() as app:
            self.account = await app.add_account(ALICE, "alice")

    def named(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.events if entry["event"] == event]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self) -> dict[int, int]:
        """The process of each worker, by its number: those that were ready last."""
        stopped = self.stopped()
        return {
            entry["worker"]: entry["pid"]
            for entry in self.named("worker ready")
            if entry["pid"] not in stopped
        }

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        assert self._process is not None
        assert self._reader is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._reader
            return await self._process.wait()

    def nats_pid(self) -> int:
        return next(pid for pid in children(self.pid) if b"nats-server" in command_line(pid))

    async def reload(self) -> None:
        """SIGHUP, and until the new workers serve and the old ones have ended."""
        before, ready, stopped = set(self.pids().values()), len(self.named("reloaded")), self.stopped()
        os.kill(self.pid, signal.SIGHUP)
        await until(lambda: len(self.named("reloaded")) > ready)
        try:
            await until(lambda: self.stopped() - stopped >= before)
        except TimeoutError:
            raise AssertionError([before, *self.events[-20:]]) from None

    def stopped(self) -> set[int]:
        return {entry["pid"] for entry in self.named("worker stopped")}


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@asynccontextmanager
async def serving(directory: Path, workers: int, settings: str = "") -> AsyncIterator[Workers]:
    """A server with ALICE's account, which must end in order, with no error in its log and no process left."""
    server = Workers(directory, workers, settings)
    await server.add_account()
    await server.start()
    async with server:
        yield server
        assert server.errors == [], server.errors[:20]
        if not server.is_killed:
            status = await server.stop()
            assert status == 0, [entry for entry in server.log if entry.get("level") not in ("info", "debug")]
            await until(lambda: children(server.pid) == [])


class Stream:
    """An EventSource that connects again, with the id of the last event, as browsers do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.states: dict[str, str] = {}
        # When each event came, and how often it had to connect.
        self.heard = asyncio.Event()
        self.connections = 0
        # How often the response had no proper end; what the last ``retry:`` said.
        self.cut_off = 0
        self.retry_ms = 0
        self.is_open = asyncio.Event()

    async def run(self) -> None:
        last = ""
        async with httpx.AsyncClient(auth=AUTH, trust_env=False, verify=False, timeout=None) as http:
            while True:
                headers = {"last-event-id": last} if last else {}
                url = f"{self._url}/jmap/eventsource?types=*&closeafter=no&ping=0"
                try:
                    async with http.stream("GET", url, headers=headers) as response:
                        response.raise_for_status()
                        self.connections += 1
                        self.is_open.set()
                        async for line in response.aiter_lines():
                            if line.startswith("id:"):
                                last = line[3:].strip()
                            elif line.startswith("retry:"):
                                self.retry_ms = int(line[6:])
                            elif line.startswith("data:"):
                                self._take(json.loads(line[5:]))
                except httpx.TransportError:
                    self.cut_off += self.is_open.is_set()
                    await asyncio.sleep(0.05)
                finally:
                    self.is_open.clear()

    def _take(self, event: Any) -> None:
        for types in event.get("changed", {}).values():
            self.states.update(types)
            self.heard.set()


@asynccontextmanager
async def streaming(url: str, count: int) -> AsyncIterator[list[Stream]]:
    """So many open streams."""
    streams = [Stream(url) for _ in range(count)]
    tasks = [asyncio.create_task(stream.run()) for stream in streams]
    try:
        async with asyncio.timeout(PATIENCE_S):
            for stream in streams:
                await stream.is_open.wait()
        yield streams
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


async def deliver(server: ServerProcess, subject: str) -> None:
    client = await MailClient.connect(server.ports["lmtp"], is_lmtp=True)
    try:
        [reply] = await client.send(message(subject), ALICE)
        assert reply.startswith("250"), reply
    finally:
        await client.close()


async def state(server: Workers) -> str:
    """Of Email, as the store has it."""
    client = HttpJmap(server.url, AUTH, server.account)
    found = str((await client.call("Email/get", ids=[]))["state"])
    await client.close()
    return found
