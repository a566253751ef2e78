"""What is asked of the cluster when all faults are over, so that the checker has what it judges by."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

from cluster.clients import NEWEST, TYPES, Client, Listing, Shared
from cluster.history import Copy, Delta, Splice
from cluster.node import Node
from cluster.speaker import Account, NotDone, Speaker, Unknown
from cluster.subscribers import Subscriber
from cluster.world import World
from veredus.cli.checks import problems

# A subscriber knows the last state within this time after everything was joined again.
CURRENT_S = 10.0
_PATIENCE_S = 60.0
_AT_ONCE = 30


class Closing:
    """``most``: of how many states of each type and account the changes are asked for; lists likewise."""

    def __init__(self, world: World, accounts: list[Account], shared: Shared, seed: int, most: int) -> None:
        self._world, self._accounts, self._shared, self._most = world, accounts, shared, most
        self._chance = random.Random(f"{seed} closing")
        self._reader = Client("closing", seed, world.nodes, accounts, shared, patient=True)
        self._speaker = Speaker(shared.troubles)

    async def run(self, subscribers: list[Subscriber]) -> list[str]:
        """Read everything, and give what `veredus db check` finds."""
        try:
            async with asyncio.timeout(_PATIENCE_S * 2):
                while not await self._read_all(subscribers):
                    self._shared.count("closed again: a write came late")
        finally:
            await self._speaker.close()
            await self._reader.close()
        async with self._world.app() as app:
            return [problem async for problem in problems(app, read_blobs=True)]

    async def _read_all(self, subscribers: list[Subscriber]) -> bool:
        """Whether nothing was written meanwhile: a call that nobody waits for any more may take its time."""
        history = self._shared.history
        history.deltas, history.splices = [], []
        for account in self._accounts:
            await self._still(account)
        # The hints of the last writes are lost: nothing that comes later tells of them.
        await self._world.kill_bus()
        for account in self._accounts:
            await self._again(lambda node, account=account: self._reader.import_some(account, node))
            await self._copies(account)
        await self._world.start_bus()
        await self._wait_for(subscribers)
        for account in self._accounts:
            await self._changes(account)
            await self._splices(account)
        last = dict(history.final)
        for account in self._accounts:
            await self._copies(account)
        return {group: copy.state for group, copy in last.items()} == {
            group: copy.state for group, copy in history.final.items()
        }

    async def _again(self, act: Any) -> Any:
        """Until it is answered: nothing is wrong any more, so soon."""
        error: Exception | None = None
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    return await act(self._chance.choice(self._world.nodes))
                except (NotDone, Unknown) as failed:
                    error = failed
                    self._shared.count("asked again at the end")
                    await asyncio.sleep(0.3)
        raise AssertionError(error)

    async def _still(self, account: Account) -> None:
        """What is still under way on a node may yet be done: wait until nothing changes."""
        before: list[int] = []
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                copies = await self._again(lambda node: self._reader.read(account, node))
                states = [copies[type].state for type in TYPES]
                if states == before:
                    return
                before = states
                await asyncio.sleep(1.0)

    async def _copies(self, account: Account) -> None:
        """Over each node; the last ones are final."""
        for node in self._world.nodes:
            copies: dict[str, Copy] = await self._again(lambda _, node=node: self._reader.read(account, node))
            for type, copy in copies.items():
                self._shared.history.final[account.id, type] = copy

    async def _wait_for(self, subscribers: list[Subscriber]) -> None:
        """Not longer than the bound; the checker says who was not told."""
        final = self._shared.history.final
        begun = time.monotonic()
        waiting = [
            asyncio.create_task(
                subscriber.until({type: final[subscriber.account.id, type].state for type in TYPES})
            )
            for subscriber in subscribers
        ]
        await asyncio.wait(waiting, timeout=CURRENT_S)
        self._shared.counts["ms until all were current"] = int((time.monotonic() - begun) * 1000)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        self._shared.history.subscribers = {
            subscriber.name: (subscriber.account.id,) for subscriber in subscribers
        }

    # -------------------------------------------------------------- changes

    async def _changes(self, account: Account) -> None:
        """From states that were told to anybody, in one page or in several."""
        for type in TYPES:
            states = sorted(self._shared.states.get((account.id, type), ()))
            chosen = states if len(states) <= self._most else sorted(self._chance.sample(states, self._most))
            for some in _slices(chosen):
                asked = [(f"{type}/changes", {"sinceState": str(state)}) for state in some]
                answers = await self._again(
                    lambda node, asked=asked: self._speaker.calls(node, account, asked)
                )
                for state, (name, response) in zip(some, answers, strict=True):
                    self._delta(account, type, state, name, [response])
            for state in chosen[:3]:
                await self._pages(account, type, state)

    async def _pages(self, account: Account, type: str, since: int) -> None:
        pages: list[Any] = []
        state = str(since)
        while not pages or pages[-1]["hasMoreChanges"]:
            args = {"sinceState": state, "maxChanges": self._chance.choice([1, 3, 50])}
            page = await self._again(
                lambda node, args=args: self._speaker.call(node, account, f"{type}/changes", **args)
            )
            pages.append(page)
            state = page["newState"]
        self._delta(account, type, since, f"{type}/changes", pages)

    def _delta(self, account: Account, type: str, since: int, name: str, pages: list[Any]) -> None:
        if name == "error":
            self._shared.troubles.append(f"{type}/changes from {since}: {pages[0]}")
            return
        ids = [
            tuple(id for page in pages for id in page[kind]) for kind in ("created", "updated", "destroyed")
        ]
        new = int(pages[-1]["newState"])
        self._shared.history.deltas.append(Delta(account.id, type, since, *ids, new))

    async def _splices(self, account: Account) -> None:
        listings = [listing for listing in self._shared.listings if listing.account == account.id]
        for listing in self._chance.sample(listings, min(len(listings), self._most)):
            await self._again(lambda node, listing=listing: self._splice(account, node, listing))

    async def _splice(self, account: Account, node: Node, listing: Listing) -> None:
        args = {"filter": {"inMailbox": listing.mailbox}, "sort": NEWEST}
        after = await self._speaker.call(node, account, "Email/query", **args)
        changes = await self._speaker.call(
            node, account, "Email/queryChanges", sinceQueryState=listing.state, **args
        )
        added = tuple((item["index"], item["id"]) for item in changes["added"])
        self._shared.history.splices.append(
            Splice(
                account.id,
                f"inMailbox {listing.mailbox}",
                listing.state,
                tuple(listing.ids),
                tuple(changes["removed"]),
                added,
                tuple(after["ids"]),
            )
        )


def _slices(states: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(states), _AT_ONCE):
        yield states[start : start + _AT_ONCE]
