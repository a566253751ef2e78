"""Invariant 7 of the design: kill -9 at any instruction loses nothing acknowledged and leaves nothing half-done.

VEREDUS_KILLS=300 kills so often (default 8); VEREDUS_KILL_SEED=… makes the same choices again, though
not at the same instructions.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from e2e.checks import Copies, Listing, check_replay, check_splice, check_state, check_whole, copied, listing
from e2e.clients import HttpJmap
from e2e.load import LOST, Mail, Model, Worker
from e2e.process import ServerProcess
from veredus.app import App

_DEFAULT = 8
# Read here: the settings of the machine are taken away from the tests themselves.
KILLS = int(os.environ.get("VEREDUS_KILLS", _DEFAULT))
SEED = int(os.environ.get("VEREDUS_KILL_SEED", random.SystemRandom().randrange(10**6)))
_USERS = ("alice@example.com", "bob@example.com")
_WORKERS = 3


class Account:
    """An account under load, and what its clients keep of it."""

    def __init__(self, address: str, account: str, token: str, seed: int) -> None:
        self.address, self.account, self.token = address, account, token
        self.chance = random.Random(f"{seed} {address}")
        self.workers = [
            Worker(f"{address[0]}{n}", address, random.Random(f"{seed} {address} {n}"))
            for n in range(_WORKERS)
        ]
        self.inbox = ""
        # Of the last check.
        self.now: Copies = {}
        self.copies: list[Copies] = []
        self.listings: list[Listing] = []

    def client(self, url: str) -> HttpJmap:
        return HttpJmap(url, self.token, self.account)

    async def find_inbox(self, url: str) -> None:
        client = self.client(url)
        self.inbox = (await client.call("Mailbox/query", filter={"role": "inbox"}))["ids"][0]
        await client.close()

    async def work(self, server: ServerProcess) -> None:
        """Until the server is lost."""
        clients = [self.client(server.url) for _ in range(_WORKERS + 1)]
        async with asyncio.TaskGroup() as tasks:
            for worker, client in zip(self.workers, clients, strict=False):
                tasks.create_task(worker.run(client, server, self.inbox))
            tasks.create_task(self._follow(clients[-1], server))
        for client in clients:
            await client.close()

    async def _follow(self, client: HttpJmap, server: ServerProcess) -> None:
        """Copy everything now and then, as clients that come and go do."""
        try:
            while True:
                await asyncio.sleep(self.chance.random() * 0.3)
                copies, found = await copied(client), await listing(client, self.inbox)
                # Few are kept of each life of the server, and some of them for long.
                self.copies = [*self.copies[-5:], copies]
                self.listings = [*self.listings[-5:], found]
        except LOST:
            if not server.is_killed:
                raise

    async def check(self, server: ServerProcess) -> None:
        """After a restart, with nobody at work."""
        client = self.client(server.url)
        now = await copied(client)
        await check_whole(client, now)
        for worker in self.workers:
            _reconcile(worker, now)
            for type, states in worker.states.items():
                for state in {*self.chance.sample(states, min(3, len(states))), *states[-1:]}:
                    await check_state(client, type, state, now)
        for past in self.chance.sample(self.copies, min(3, len(self.copies))):
            await check_replay(client, past, now, self.chance.choice([5, 50, None]))
        for past_listing in self.listings[-3:]:
            await check_splice(client, self.inbox, past_listing)
        await client.close()
        self.now = now

    async def check_blobs(self, app: App) -> None:
        """Every Email has its message."""
        for email in self.now["Email"].records.values():
            data = await app.blobs.get(email["blobId"])
            assert data is not None
            assert len(data) == email["size"]
            assert email["messageId"][0].encode() in data


def _reconcile(worker: Worker, now: Copies) -> None:
    """What is there of the worker is what was acknowledged, perhaps with what was in flight."""
    found = Model()
    prefix = f"{worker.name}-"
    for email in now["Email"].records.values():
        key = email["messageId"][0]
        if key.startswith(prefix):
            assert key not in found.mails, f"{key} is there twice"
            found.mails[key] = Mail(email["id"], frozenset(email["mailboxIds"]), frozenset(email["keywords"]))
    for mailbox in now["Mailbox"].records.values():
        if mailbox["name"].startswith(prefix):
            found.mailboxes[mailbox["name"]] = mailbox["id"]
    possible = [worker.model] if worker.expected is None else [worker.model, worker.expected]
    assert found.facts() in [model.facts() for model in possible], _difference(found, possible)
    worker.model, worker.expected = found, None


def _difference(found: Model, possible: Sequence[Model]) -> str:
    lines = []
    for name, model in zip(("acknowledged", "with what was in flight"), possible, strict=False):
        (mails, mailboxes), (found_mails, found_mailboxes) = model.facts(), found.facts()
        lines += [
            f"{name}: {key} is {found_mails.get(key)}, not {mails.get(key)}"
            for key in sorted(mails.keys() | found_mails.keys())
            if mails.get(key) != found_mails.get(key)
        ]
        lines += [f"{name}: mailbox {one}" for one in sorted(mailboxes ^ found_mailboxes)]
    return "\n".join(lines)


async def _prepared(directory: Path) -> tuple[ServerProcess, list[Account]]:
    server = ServerProcess(directory)
    accounts = []
    async with server.opened() as app:
        for address in _USERS:
            account = await app.add_account(address, None)
            _, token = await app.accounts.create_token(address, "load", "write", app.clock.now())
            accounts.append(Account(address, account, token, SEED))
    return server, accounts


async def _kill_under_load(server: ServerProcess, accounts: list[Account], after_s: float) -> None:
    """``after_s``: from the first change on."""
    workers = [worker for account in accounts for worker in account.workers]
    before = sum(worker.acknowledged for worker in workers)
    async with asyncio.TaskGroup() as tasks:
        for account in accounts:
            tasks.create_task(account.work(server))
        while sum(worker.acknowledged for worker in workers) == before:
            await asyncio.sleep(0.01)
        await asyncio.sleep(after_s)
        await server.kill()


async def _restart(server: ServerProcess, chance: random.Random) -> None:
    """Sometimes it is killed once more while it starts."""
    if chance.random() < 0.15:
        await server.begin()
        await asyncio.sleep(chance.random() * 1.5)
        await server.kill()
    await server.start()


async def _check(server: ServerProcess, accounts: list[Account]) -> None:
    for account in accounts:
        await account.check(server)
    async with server.opened() as app:
        assert await app.store.check() == []
        for account in accounts:
            await account.check_blobs(app)


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_a_killed_server_loses_nothing_it_acknowledged_and_leaves_nothing_half_done(
    tmp_path: Path,
) -> None:
    print(f"replay with VEREDUS_KILL_SEED={SEED}")
    server, accounts = await _prepared(tmp_path)
    async with server:
        await _kill_often(server, accounts)
        assert server.errors == []
        assert await server.stop() == 0


async def _kill_often(server: ServerProcess, accounts: list[Account]) -> None:
    chance = random.Random(SEED)
    await server.start()
    for account in accounts:
        await account.find_inbox(server.url)
    done = 0
    for round in range(KILLS):
        await _kill_under_load(server, accounts, chance.random())
        await _restart(server, chance)
        await _check(server, accounts)
        done = sum(worker.acknowledged for account in accounts for worker in account.workers)
        print(f"kill {round + 1}: {done} changes acknowledged so far, all there", flush=True)
    assert done > KILLS


if KILLS > _DEFAULT:
    pytestmark = pytest.mark.slow
