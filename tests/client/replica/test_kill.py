"""kill -9 at any moment: what is in the file, and the state it is said to be of, belong together."""

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from client.replica.test_histories import check
from client.world import World
from jmap import message
from veredus.client.replica import Replica

ROOT = Path(__file__).parents[3]
KILLS = 4


async def started(world: World, path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "follower.py"), world.url, world.token, str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


async def busy(world: World) -> None:
    """Emails come, change and go, without an end."""
    chance = random.Random(1)
    ids: list[str] = []
    inbox = await world.inbox()
    for number in range(1_000_000):
        made = await world.alice.import_email(message(str(number % 6), f"body {number}"), inbox)
        ids.append(made["id"])
        other = chance.choice(ids)
        await world.alice.update("Email", other, **{f"keywords/{chance.choice('abc')}": True})
        if len(ids) > 40:
            await world.alice.set("Email", destroy=[ids.pop(chance.randrange(len(ids)))])
        await asyncio.sleep(0)


async def killed(process: asyncio.subprocess.Process, events: int, wait_s: float) -> None:
    """After it has told of so many, and a moment; it must not have ended by itself before."""
    assert process.stdout is not None
    try:
        while events and await process.stdout.readline():
            events -= 1
        await asyncio.sleep(wait_s)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        _, said = await process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


@pytest.mark.timeout(300)
async def test_the_file_agrees_with_its_state_after_kill_9(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    chance = random.Random()
    for _ in range(KILLS):
        # A group: were one of them left behind, it would fail on a server that is gone, and hide why.
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            working = group.create_task(busy(world))
            await killed(await started(world, path), chance.randint(1, 40), chance.random() / 50)
            working.cancel()
        async with world.connect() as client, await Replica.open(client, path) as replica:
            assert any(await states(replica))
            had = await ids(replica)
            synced = await replica.sync()
            # What was in the file by then stays there.
            assert synced.created == len(await ids(replica) - had)
            await check(world, replica)


async def states(replica: Replica) -> list[Any]:
    return [(await replica.get(type, [])).state for type in ("Email", "Mailbox")]


async def ids(replica: Replica) -> set[str]:
    return {record.id for type in ("Email", "Mailbox") for record in (await replica.get(type)).list}
