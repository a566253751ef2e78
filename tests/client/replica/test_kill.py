"""kill -9 at any moment: what is in the file, and the state it is said to be of, belong together."""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from client.replica.test_histories import check
from client.world import World
from jmap import message
from veredus.client.replica import Replica

ROOT = Path(__file__).parents[3]
KILLS = 6


async def started(world: World, path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "follower.py"), world.url, world.token, str(path),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
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


async def lines(process: asyncio.subprocess.Process, count: int) -> None:
    """Wait for so many, or the end."""
    assert process.stdout is not None
    while count and await process.stdout.readline():
        count -= 1


@pytest.mark.timeout(300)
async def test_the_file_agrees_with_its_state_after_kill_9(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    chance = random.Random()
    for _ in range(KILLS):
        working = asyncio.create_task(busy(world))
        process = await started(world, path)
        reading = asyncio.create_task(lines(process, chance.randint(1, 60)))
        await asyncio.wait({reading, working}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert not working.done(), working.exception()
        await asyncio.sleep(chance.random() / 50)
        process.kill()
        reading.cancel()
        await asyncio.wait({reading})
        await process.communicate()  # what nobody reads would keep it from ending
        working.cancel()
        await asyncio.wait([working])
        async with world.connect() as client, await Replica.open(client, path) as replica:
            assert any(await states(replica))
            assert (await replica.get("Mailbox")).list
            synced = await replica.sync()
            # From where it was, not anew.
            assert synced.created < len((await replica.get("Email")).list) or synced.created < 10
            await check(world, replica)


async def states(replica: Replica) -> list[Any]:
    return [(await replica.get(type, [])).state for type in ("Email", "Mailbox")]
