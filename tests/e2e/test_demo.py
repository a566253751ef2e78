"""`make demo`: mail that is sent in comes out of NATS, and at the end nothing is left running."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100


async def _demo(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.demo", *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _children(text: str) -> list[int]:
    """The processes that have the directory of the demo in their command or as their working directory."""
    [directory] = re.findall(r"--config (\S+)/bridge\.toml", text)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, cwd = (process / "cmdline").read_bytes().decode(), str((process / "cwd").readlink())
        except OSError:
            continue
        if directory in command or cwd.startswith(directory):
            found.append(int(process.name))
    return found


@pytest.mark.service
async def test_the_demo_shows_everything_once() -> None:
    demo = await _demo("--once")
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await demo.communicate()
    text = out.decode()
    assert demo.returncode == 0, text
    for shown in (
        "'Lunch ☃' from Bob",
        "'Invoice 42' from Zoë",
        "digest verified",
        "+$flagged",
        "moved Inbox -> Archive",
    ):
        assert shown in text, text
    assert _children(text) == []


@pytest.mark.service
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_ends_with_all_that_it_started(number: signal.Signals) -> None:
    demo = await _demo()
    assert demo.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for line in demo.stdout:
            lines.append(line.decode())
            if "That was all of it" in lines[-1]:
                break
        if sys.platform == "linux":
            assert len(_children("".join(lines))) >= 3
        demo.send_signal(number)
        rest = (await demo.communicate())[0].decode()
    assert "Everything is stopped" in rest, lines
    assert demo.returncode == 0
    assert _children("".join(lines)) == []
