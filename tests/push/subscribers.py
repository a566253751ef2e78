"""What the tests of the hub share: subscribers that check what they are told, and a bus nobody can rely on."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Storage
from veredus.ports import BusCounts, Hint, HintSubscription, Identity, ReceiveHint
from veredus.push.event import Event
from veredus.push.hub import Hub
from veredus.push.position import decode, encode


class Client:
    """A subscriber: merges what it is told, and checks that no state goes back or was never committed."""

    def __init__(self, commits: dict[tuple[str, str], set[int]] | None = None) -> None:
        self.states: dict[str, dict[str, int]] = {}
        self.events: list[Event] = []
        self.at: list[float] = []
        self.ended: str | None = None
        self.stalls = False
        self._commits = commits

    def take(self, event: Event) -> bool:
        assert self.ended is None, "nothing comes after the end"
        if self.stalls:
            return False
        self.events.append(event)
        self.at.append(asyncio.get_running_loop().time())
        assert decode(encode(event.position)) == dict(event.position)
        for account, states in event.change.changed.items():
            mine = self.states.setdefault(account, {})
            for type, text in states.items():
                assert int(text) >= mine.get(type, 0), f"{type} of {account} goes back"
                if self._commits is not None:
                    assert int(text) in self._commits[account, type], "never committed"
                mine[type] = int(text)
        return True

    def end(self, why: str) -> None:
        assert self.ended is None
        self.ended = why


class UnreliableBus:
    """Carries hints as a network might: drops, doubles, delays and reorders them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.receive: ReceiveHint | None = None

    def publish(self, hint: Hint) -> None:
        if self.receive is None:
            return
        loop = asyncio.get_running_loop()
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            loop.call_later(self.random.random() * 0.02, self.receive, hint)

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        self.receive = receive
        return self  # type: ignore[return-value]

    async def add(self, account: str) -> None:
        await asyncio.sleep(self.random.random() * 0.002)

    def discard(self, account: str) -> None: ...

    def trouble(self) -> str | None:
        return None

    def counts(self) -> BusCounts:
        return BusCounts(connected=True)

    async def close(self) -> None: ...


@asynccontextmanager
async def memory_app() -> AsyncIterator[App]:
    config = Config(data_dir=Path(), storage=Storage(url="memory"), blobs=Blobs(url="memory"))
    async with open_app(config, types=()) as app:
        yield app


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(hub.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def user(app: App, name: str) -> tuple[Identity, str]:
    """A user with a token, and the account."""
    account = await app.add_account(name, None)
    id, _ = await app.accounts.create_token(name, "test", "write", app.clock.now())
    return Identity(name, id), account


async def change(app: App, account: str, type: str = "Mailbox") -> int:
    """Commit something; the new state."""
    async with app.store.write(account) as tx:
        record: dict[str, Any] = (await tx.get("Mailbox", None))[0]
        await tx.update("Mailbox", record["id"], {"sortOrder": record.get("sortOrder", 0) + 1})
        return await tx.state(type)


async def states(app: App, account: str) -> dict[str, int]:
    async with app.store.read(account) as snapshot:
        return {type: state for type, state in (await snapshot.states()).items() if state}
