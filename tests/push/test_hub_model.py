"""The hub: whatever happens to hints, in the end every subscriber holds what the store says."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from push.subscribers import Client, UnreliableBus, change, memory_app, running, states, user
from veredus.app import App
from veredus.ports import Identity
from veredus.push.hub import Hub
from veredus.push.position import Position
from veredus.push.view import Subscription
from waiting import until

TYPES = ("Mailbox", "Thread", "Email")


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_in_the_end_everybody_holds_the_current_state(seed: int) -> None:
    asyncio.run(_anything(seed))


async def _anything(seed: int) -> None:
    async with memory_app() as app:
        bus = UnreliableBus(seed)
        app.store._announce = bus.publish  # type: ignore[attr-defined]
        hub = Hub(app.store, bus, app.authenticator, app.directory, app.registry.states())
        people = [await user(app, f"u{n}@example.com") for n in range(3)]
        await app.accounts.grant("u0@example.com", people[1][1], "read")
        app.directory.drop()
        async with running(hub):
            world = World(app, hub, people, random.Random(seed))
            for _, account in people:
                await world.note(account)
            for _ in range(60):
                await world.step()
            world.awaken()
            await until(world.is_settled)
        await hub.close()


class Watcher(Struct):
    """A client, whose it is, what it asked for, and where it stood."""

    client: Client
    subscription: Subscription
    accounts: set[str]
    types: frozenset[str]
    since: Position


class World:
    """Users whose accounts change, and clients that come, go, stall and awaken."""

    def __init__(self, app: App, hub: Hub, people: list[tuple[Identity, str]], chance: random.Random) -> None:
        self.app, self.hub, self.people, self.chance = app, hub, people, chance
        own = [account for _, account in people]
        self.sees = [{own[0], own[1]}, {own[1]}, {own[2]}]
        self.current: dict[str, dict[str, int]] = {}
        self.committed: dict[tuple[str, str], set[int]] = {}
        self.watchers: list[Watcher] = []

    async def note(self, account: str) -> None:
        self.current[account] = await states(self.app, account)
        for type, state in self.current[account].items():
            self.committed.setdefault((account, type), set()).add(state)

    async def step(self) -> None:
        chance = self.chance
        match chance.randrange(8):
            case 0:
                await self.join(chance.randrange(3))
            case 1 if self.watchers:
                self.watchers.pop(chance.randrange(len(self.watchers))).subscription.close()
            case 2 if self.watchers:
                watcher = chance.choice(self.watchers)
                watcher.client.stalls = not watcher.client.stalls
                if not watcher.client.stalls:
                    watcher.subscription.ready()
            case 3:
                await asyncio.sleep(chance.random() * 0.03)
            case _:
                account = chance.choice(self.people)[1]
                await change(self.app, account)
                await self.note(account)

    async def join(self, who: int) -> None:
        chance, accounts = self.chance, self.sees[who]
        types = chance.choice((None, frozenset(chance.sample(TYPES, 2))))
        since: Position = {
            id: chance.randrange(max(self.current[id].values()) + 1)
            for id in accounts
            if chance.random() < 0.5
        }
        client = Client(self.committed)
        subscription = await self.hub.subscribe(self.people[who][0], types, client, since)
        subscription.ready()
        wanted = types or frozenset(type for id in accounts for type in self.current[id])
        self.watchers.append(Watcher(client, subscription, accounts, wanted, since))

    def awaken(self) -> None:
        for watcher in self.watchers:
            watcher.client.stalls = False
            watcher.subscription.ready()

    def is_settled(self) -> bool:
        """Whether everybody knows the state of all that has changed since it was there last."""
        return all(
            watcher.client.states.get(id, {}).get(type) == state
            for watcher in self.watchers
            for id in watcher.accounts
            for type, state in self.current[id].items()
            if type in watcher.types and state > watcher.since.get(id, -1)
        ) and all(set(watcher.client.states) <= watcher.accounts for watcher in self.watchers)
