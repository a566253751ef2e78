"""The bridge as a process, and kill -9 at a step of its loop that the proxies around it have seen.

The product has no test code in it: what it says to the JMAP server and to NATS decides the moment.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import Struct

from bridge.ops.forks import Fork, environment, shared
from bridge.ops.pipes import lines
from faults.steps import Stage, Step

_PATIENCE_S = 60.0
_LATEST = 6


def bridge_config(
    directory: Path, *, session_url: str, nats_url: str, token: str, more: str = "", jmap: str = ""
) -> Path:
    """A configuration file for one bridge, and beside it the token.

    ``more``: further lines of its table; ``jmap``: further members of its ``jmap``.
    """
    secret = directory / "jmap.token"
    secret.touch(mode=0o600)
    secret.write_text(token + "\n")
    file = directory / "bridge.toml"
    file.write_text(
        f'[[bridge]]\nname = "faults"\n'
        f'jmap = {{ session_url = "{session_url}", token = {{ file = "{secret}" }}{jmap and ", "}{jmap} }}\n'
        f'nats = {{ url = "{nats_url}" }}\n{more}'
    )
    return file


class BridgeProcess:
    """`veredus bridge run`; it may be started again after it has ended."""

    def __init__(self, config: Path, command: Sequence[str] = ()) -> None:
        """``command``: another program that takes the part of the bridge."""
        self._command = tuple(command)
        self.config = config
        self.pid = 0
        self._ending: asyncio.Task[int] | None = None
        self._reading: asyncio.Task[None] | None = None
        # The last lines that it has written, and those that tell of a bug.
        self.log: deque[dict[str, Any]] = deque(maxlen=500)
        self.errors: list[dict[str, Any]] = []

    async def __aenter__(self) -> "BridgeProcess":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Returns at once; what it does is seen at the proxies."""
        assert not self.is_running
        output, err = os.pipe()
        process = await self._process(err)
        self.pid = process.pid
        self._ending = asyncio.create_task(process.wait())
        self._reading = asyncio.create_task(self._read(output))

    async def _process(self, err: int) -> asyncio.subprocess.Process | Fork:
        """``err``: for what it writes, and its own from then on."""
        out = os.open(os.devnull, os.O_WRONLY)
        if not self._command:
            argv = ["bridge", "run", "--config", str(self.config)]
            return await shared().start(argv, self.config.parent, out, err)
        try:
            return await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=self.config.parent, env=environment(),
            )  # fmt: skip
        finally:
            os.close(out)
            os.close(err)

    async def _read(self, output: int) -> None:
        async for line in lines(output):
            text = line.decode(errors="replace").rstrip("\n")
            try:
                entry = json.loads(text)
            except ValueError:
                entry = {"event": text}
            self.log.append(entry)
            if entry.get("level") in ("error", "critical") or str(entry.get("event", "")).startswith("Trace"):
                self.errors.append(entry)

    async def until_said(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until it has written so many lines of this event since it was made; the last of them."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                said = [line for line in self.log if line.get("event") == event]
                if len(said) >= count:
                    return said[-1]
                await asyncio.sleep(0.02)

    @property
    def is_running(self) -> bool:
        return self._ending is not None and not self._ending.done()

    @property
    def most_memory(self) -> int:
        """The most that has been resident, in octets."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def pause(self) -> None:
        """Stop it as a machine that hangs does (SIGSTOP): it keeps all it holds."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """kill -9, and wait."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """Ask it to end, as a service manager does; its exit status."""
        self.send(signal.SIGTERM)
        return await self.ended()

    def send(self, number: signal.Signals) -> None:
        """A signal in this very moment, if it still runs."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and we are not told yet
                os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait until it has; its exit status, negative: the signal."""
        if self._ending is None or self._reading is None:
            return 0
        async with asyncio.timeout(_PATIENCE_S):
            await self._reading
            return await self._ending


class KillPoint(Struct, frozen=True):
    """The ``nth`` time in the life of a process that a step is seen. ``what``: a pattern (fnmatch)."""

    what: str
    stage: Stage
    nth: int = 1

    def matches(self, step: Step) -> bool:
        return step.stage == self.stage and fnmatchcase(step.what, self.what)


class KillSchedule:
    """One life of the bridge for each point, ended there. ``observe`` is to be told of every step.

    ``number`` SIGTERM: it is asked to end there, and what it does then goes on.
    """

    def __init__(self, bridge: BridgeProcess, number: signal.Signals = signal.SIGKILL) -> None:
        self._bridge, self._number = bridge, number
        self._point: KillPoint | None = None
        self._seen = 0
        self.reached: list[KillPoint] = []
        self.missed: list[KillPoint] = []

    def observe(self, step: Step) -> bool:
        """Of the proxies (``steps.Observer``): True when the bridge is dead."""
        if self._point is None or not self._point.matches(step):
            return False
        self._seen += 1
        if self._seen < self._point.nth:
            return False
        self._bridge.send(self._number)
        self.reached.append(self._point)
        self._point = None
        return self._number == signal.SIGKILL

    async def run(
        self,
        points: Sequence[KillPoint],
        settled: Callable[[], Awaitable[bool]],
        prepare: Callable[[], Awaitable[object]],
    ) -> None:
        """Start, be killed, start again. The bridge is not running at the end.

        ``prepare``: gives each life something to do. ``settled``: all is done, so the point will not be
        reached in this life: it is ``missed``.
        """
        for point in points:
            await prepare()
            self._point, self._seen = point, 0
            await self._bridge.start()
            async with asyncio.timeout(_PATIENCE_S):
                while self._bridge.is_running and not await settled():
                    await asyncio.sleep(0.05)
            if self._point is not None:
                self._point = None
                self.missed.append(point)
                assert self._bridge.is_running, f"the bridge ended by itself: {list(self._bridge.log)[-5:]}"
            await self._bridge.kill()


class Recording:
    """An observer that only remembers: the steps of a calm run."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> bool:
        self.steps.append(step)
        return False

    def points(self, count: int, chance: random.Random) -> list[KillPoint]:
        """So many points, of every kind of step at least one, and not always its first occurrence.

        Not its fiftieth either, though there was one: a later life has less to do.
        """
        often = Counter((step.kind, step.stage) for step in self.steps)
        kinds = sorted(often)
        chosen = kinds + [chance.choice(kinds) for _ in range(max(count - len(kinds), 0))]
        points = [
            KillPoint(what, stage, chance.randint(1, min(often[what, stage], _LATEST)))
            for what, stage in chosen
        ]
        chance.shuffle(points)
        return points[: max(count, len(kinds))]
