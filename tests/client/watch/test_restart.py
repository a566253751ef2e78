"""A server that goes away and comes back, and push that is lost meanwhile."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from veredus.client.client import Client
from veredus.client.cursors import MemoryCursor
from veredus.client.mail_types import Mailbox
from veredus.client.replica import Replica
from veredus.client.watch import Created

ALICE = ("alice@example.com", "secret")
ROUNDS = 3


async def create(server: ServerProcess, account: str, name: str) -> str:
    client = HttpJmap(server.url, ALICE, account)
    try:
        created = await client.call("Mailbox/set", create={"a": {"name": name}})
    finally:
        await client.close()
    return str(created["created"]["a"]["id"])


def stay(server: ServerProcess) -> None:
    """On the same port from now on, as servers do."""
    text = server.config_file.read_text()
    server.config_file.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{server.ports['http']}", 1))


@pytest.mark.parametrize("follows", ["watch", "replica"])
async def test_what_happens_before_and_after_is_told(tmp_path: Path, follows: str) -> None:
    server = ServerProcess(tmp_path)
    told: list[str] = []
    news = asyncio.Event()

    async def consume(events: Any) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Created):
                    told.append(event.record.id)
                    news.set()
                await event.ack()

    async def until_told(id: str) -> None:
        async with asyncio.timeout(60):
            while id not in told:
                news.clear()
                await news.wait()

    async with server:
        async with server.opened() as app:
            account = await app.add_account(*ALICE)
        await server.start()
        stay(server)
        async with (
            Client.connect(server.url, basic=ALICE) as client,
            await Replica.open(client, tmp_path / "a.db", {"Mailbox": None}) as replica,
        ):
            watch = client.watch(Mailbox, cursor=MemoryCursor(), start="all")
            task = asyncio.create_task(consume(watch if follows == "watch" else replica.follow()))
            for number in range(ROUNDS):
                await until_told(await create(server, account, f"before {number}"))
                unseen = await create(server, account, f"unseen {number}")
                await server.kill()
                await asyncio.sleep(0.5)
                await server.start()
                await until_told(await create(server, account, f"after {number}"))
                assert unseen in told
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
