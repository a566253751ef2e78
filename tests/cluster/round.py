"""One round: a cluster, its clients, its faults, and the checker. A process of its own (``run`` starts it)."""

import asyncio
import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from cluster.checker import check
from cluster.clients import Client, Shared
from cluster.closing import Closing
from cluster.faults import ALL_KINDS, DATABASE_KINDS, Faults, plan
from cluster.history import Fenced, History, Part, Write
from cluster.holder import LEASE, written
from cluster.speaker import Account
from cluster.subscribers import Subscriber
from cluster.world import World

REPORT = "report.json"
# Calls that were answered.
_LEAST = 200


class Options(Struct, frozen=True):
    """``seconds``: how long faults go on; ``pause_s``: what a client waits between two calls, on average."""

    seed: int
    seconds: float = 20.0
    nodes: int = 3
    clients: int = 8
    accounts: int = 2
    pause_s: float = 0.03
    sqlite: bool = False
    kinds: tuple[str, ...] = ALL_KINDS
    # Of how many states of each type and account /changes is asked for at the end.
    states: int = 150

    @property
    def command(self) -> str:
        """What runs the same again."""
        words = f"--seed {self.seed} --seconds {self.seconds:g}"
        if self.kinds != ALL_KINDS:
            words += f" --kinds {','.join(self.kinds)}"
        return f"make fault ARGS='{words}{' --sqlite' if self.sqlite else ''}'"


class Report(Struct):
    """What came of it; ``problems``: everything that is wrong, a line each."""

    problems: list[str]
    faults: dict[str, int]
    counts: dict[str, int]


async def run(options: Options, directory: Path, say: Callable[[str], None]) -> Report:
    """One history with its faults, judged."""
    say(f"seed {options.seed}; again: {options.command}")
    shared = Shared(History())
    async with World.opened(directory, options.nodes, sqlite=options.sqlite) as world:
        accounts = await _accounts(world, options.accounts)
        async with asyncio.TaskGroup() as tasks:
            for node in world.nodes:
                tasks.create_task(node.start())
        await _begin(world, accounts, shared, options.seed)
        faults = Faults(world, options.seed, say)
        subscribers = _subscribers(world, accounts, shared, options.seed)
        streams = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
        try:
            for node in world.nodes:
                await node.start_holder(options.seed)
            await _history(world, accounts, shared, options, faults)
            say("joined again; checking")
            found = await Closing(world, accounts, shared, options.seed, options.states).run(subscribers)
            shared.history.fenced = await _fenced(world)
        finally:
            for node in world.nodes:
                await node.end_holder()
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        begun = time.monotonic()
        told = [str(violation) for violation in check(shared.history)]
        shared.counts["ms of the checker"] = int((time.monotonic() - begun) * 1000)
        logged = [f"{node.name} logged: {line}" for node in world.nodes for line in node.errors]
    problems = [
        *told,
        *(f"db check: {problem}" for problem in found),
        *_distinct(shared.troubles),
        *_distinct(logged),
    ]
    shared.counts |= _waits_ms(shared.history)
    shared.counts |= {"told": len(shared.history.told), "fenced": len(shared.history.fenced)}
    shared.counts |= {"writes": len(shared.history.writes), "copies": len(shared.history.copies)}
    shared.counts |= {"deltas": len(shared.history.deltas), "splices": len(shared.history.splices)}
    return Report(problems, dict(faults.done), shared.counts)


async def _accounts(world: World, count: int) -> list[Account]:
    accounts = []
    async with world.app() as app:
        for number in range(count):
            address = f"user{number}@example.com"
            id = await app.add_account(address, None)
            _, token = await app.accounts.create_token(address, "test", "write", app.clock.now())
            accounts.append(Account(id, address, token))
    return accounts


async def _begin(world: World, accounts: list[Account], shared: Shared, seed: int) -> None:
    """What is there already, as if somebody had written it."""
    reader = Client("begin", seed, world.nodes, accounts, shared, patient=True)
    for account in accounts:
        now = time.monotonic()
        copies = await reader.read(account, world.nodes[0])
        parts = tuple(Part(seen.key, "create") for seen in copies["Mailbox"].records)
        shared.history.writes.append(
            Write(account.id, "Mailbox", "begin", "", now - 2, now - 1, "done", parts)
        )
        boxes = copies["Mailbox"].records
        account.mailboxes = tuple(sorted(seen.id for seen in boxes if seen.facts["role"] != "trash"))
        [account.inbox] = [seen.id for seen in boxes if seen.facts["role"] == "inbox"]
    await reader.close()


async def _fenced(world: World) -> list[Fenced]:
    """What the holders of the lease were told, and what they have written."""
    told = [entry for node in world.nodes for entry in await node.end_holder()]
    async with world.app() as app:
        entries = await written(app)
    outcomes = {(token, holder, number): outcome for token, holder, number, outcome in told}
    done = [
        Fenced(LEASE, holder, token, number, outcomes.pop((token, holder, number), "unknown"), position)
        for position, (token, holder, number) in enumerate(entries)
    ]
    gone = [
        Fenced(LEASE, holder, token, number, outcome) for (token, holder, number), outcome in outcomes.items()
    ]
    return done + gone


def _subscribers(world: World, accounts: list[Account], shared: Shared, seed: int) -> list[Subscriber]:
    return [
        Subscriber(f"{over[0]}{number}-{account.address}", seed, world.nodes, account, shared, over)
        for account in accounts
        for number in range(2)
        for over in ("eventsource", "websocket")
    ]


async def _history(
    world: World, accounts: list[Account], shared: Shared, options: Options, faults: Faults
) -> None:
    """Clients at work, while faults come and go."""
    missing = () if world.has_database else DATABASE_KINDS
    missing += () if world.has_clocks else ("jump_clock",)
    kinds = tuple(kind for kind in options.kinds if kind not in missing)
    shared.blobs_may_go = "collect" in kinds
    schedule = plan(options.seed, options.seconds, [node.name for node in world.nodes], kinds)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(options.clients):
            client = Client(f"c{number}", options.seed, world.nodes, accounts, shared)
            tasks.create_task(client.run(stop, options.pause_s))
        try:
            await faults.run(schedule)
            # On a busy machine little is done in the time of the faults; there is to be something to judge.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(options.seconds):
                    while shared.counts.get("answered", 0) < _LEAST:
                        await asyncio.sleep(0.1)
        finally:
            stop.set()


def _waits_ms(history: History) -> dict[str, int]:
    """How long it took from the answer to a write until push told of it, with whatever failed meanwhile."""
    told: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for event in history.told:
        if event.type == "Email":
            told[event.subscriber, event.account].append((event.at, event.state))
    waits: list[float] = []
    for write in history.writes:
        if write.type == "Email" and write.new is not None:
            for (_, account), events in told.items():
                at = next((at for at, state in events if state >= (write.new or 0)), None)
                if account == write.account and at is not None:
                    waits.append(max(at - write.ended, 0.0))
    if not waits:
        return {}
    waits.sort()
    return {
        "ms to push, half": int(waits[len(waits) // 2] * 1000),
        "ms to push, all but 1 %": int(waits[len(waits) * 99 // 100] * 1000),
        "ms to push, all": int(waits[-1] * 1000),
    }


def _distinct(lines: list[str]) -> list[str]:
    """A few of each sort are enough to read."""
    return list(dict.fromkeys(lines))[:50]


def main() -> None:
    """Options as JSON, a directory; the report is left there."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    directory = Path(sys.argv[2])
    report = asyncio.run(run(options, directory, partial(print, flush=True)))
    (directory / REPORT).write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
