"""A server that goes away and comes back, and push that is lost meanwhile."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

from client.world import World
from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from faults.proxy import Proxy
from veredus.client.client import Client
from veredus.client.cursors import MemoryCursor
from veredus.client.mail_types import Email, Mailbox
from veredus.client.replica import Replica
from veredus.client.watch import Created

ALICE = ("alice@example.com", "secret")
ROUNDS = 2
# Long enough for requests to fail in between.
DOWN_S = 0.3


async def test_a_push_connection_that_is_cut_hides_nothing(world: World) -> None:
    """The server stays up; nothing but the new connection tells that there is something."""
    async with (
        Proxy.open(world.url) as proxy,
        Client.connect(proxy.session_url, token=world.token) as client,
        aclosing(client.watch(Email, cursor=MemoryCursor(), properties=["subject"])) as events,
    ):
        told = asyncio.create_task(anext(events))
        for _ in range(ROUNDS):
            async with asyncio.timeout(30):
                while not proxy.open_streams:
                    await asyncio.sleep(0.01)
                proxy.refuse()
                await proxy.cut_all()
                [unseen] = await world.add_emails(1)
                assert not told.done()
                proxy.clear()
                event = await told
            assert isinstance(event, Created)
            assert event.record.id == unseen
            await event.ack()
            told = asyncio.create_task(anext(events))
        told.cancel()
        await asyncio.wait([told])


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


class Told:
    """Ids that one of them was told of."""

    def __init__(self, events: Any) -> None:
        self.ids: set[str] = set()
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._consume(events))

    async def _consume(self, events: Any) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Created):
                    self.ids.add(event.record.id)
                    self._news.set()
                await event.ack()

    async def until(self, id: str) -> None:
        async with asyncio.timeout(60):
            while id not in self.ids:
                self._news.clear()
                await self._news.wait()


async def test_what_happens_before_and_after_is_told(tmp_path: Path) -> None:
    """To a watcher and to who follows a replica."""
    server = ServerProcess(tmp_path)
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
            listeners = [Told(watch), Told(replica.follow())]
            for number in range(ROUNDS):
                before = await create(server, account, f"before {number}")
                for told in listeners:
                    await told.until(before)
                unseen = await create(server, account, f"unseen {number}")
                await server.kill()
                await asyncio.sleep(DOWN_S)
                await server.start()
                after = await create(server, account, f"after {number}")
                for told in listeners:
                    await told.until(after)
                    assert unseen in told.ids
            for told in listeners:
                assert not told.task.done()
                told.task.cancel()
                await asyncio.wait([told.task])
