"""After any history and any crashes a replica is what the server has, and its index is what it holds."""

import asyncio
import sqlite3
from contextlib import aclosing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from client.watch.histories import HISTORIES, begin, dice, everything, go_on
from client.world import World, new_world
from veredus.client.client import Client
from veredus.client.errors import TransportError
from veredus.client.replica import Replica


async def crash(client: Client, path: Path, steps: int, seed: int) -> None:
    """Sync or follow, and be cut off after some requests, or at any moment."""
    chance = dice(seed)
    send, left = client.exchange.send, steps

    async def limited(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and chance.random() < 0.5:
            await send(*args, **options)
        if left <= 0:
            raise TransportError("there", "cut")
        return await send(*args, **options)

    client.exchange.send = limited  # type: ignore[method-assign]
    try:
        async with await Replica.open(client, path) as replica:
            with suppress(TransportError, TimeoutError):
                async with asyncio.timeout(chance.choice([0.003, 0.02, 0.1])):
                    if chance.random() < 0.5:
                        await replica.sync()
                    else:
                        async with aclosing(replica.follow(give_up_after_s=0.0)) as events:
                            async for _ in events:
                                pass
    finally:
        client.exchange.send = send  # type: ignore[method-assign]
    if chance.random() < 0.1:
        with sqlite3.connect(path) as db:
            db.execute("UPDATE type SET state = 'of another life' WHERE state IS NOT NULL AND name = 'Email'")
        db.close()


async def check(world: World, replica: Replica) -> None:
    for type in ("Email", "Mailbox"):
        got = await replica.get(type)
        properties = sorted(got.list[0]) if got.list else ["id"]
        kept = {record.id: record.json for record in got.list}
        assert kept == await everything(world, type, properties)
        assert got.state == await world.alice.state(type)
    for subject in "012345":
        found = [email.id for email in await replica.search(f"subject:{subject}")]
        assert sorted(found) == sorted(await world.alice.query("Email", filter={"subject": subject}))


async def run(steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.db"
        async with new_world(Path(directory), max_objects_in_get=3) as world, world.connect() as client:
            history = await begin(world)
            for step in steps:
                if step[0] == "crash":
                    await crash(client, path, *step[1:])
                else:
                    await go_on(history, step)
            async with await Replica.open(client, path) as replica:
                await replica.sync()
                await check(world, replica)
                rows = await replica._database.run(
                    lambda db: db.execute(
                        "SELECT (SELECT count(*) FROM record WHERE type = 'Email'), (SELECT count(*) FROM words)"
                    ).fetchone()
                )
                assert rows[0] == rows[1]


@pytest.mark.timeout(600)
@settings(max_examples=30)
@given(steps=HISTORIES)
def test_it_is_what_the_server_has_after_any_history(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(steps))
