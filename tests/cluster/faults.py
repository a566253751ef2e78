"""What is done to a cluster, and when: a schedule that follows from a seed alone, and what carries it out."""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import Struct

from cluster.world import BLOBS, BUS, DB, World

# Long enough for leases and transactions to run out, now and then.
_PAUSES_S = (1.0, 3.0, 8.0, 20.0)
_DAY_S = 86_400.0
_JUMPS_S = (-2 * _DAY_S, -3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0, 3 * _DAY_S)


class Fault(Struct, frozen=True):
    """``at``: seconds after the beginning; ``targets``: hosts; ``amount``: what the kind takes."""

    kind: str
    at: float
    lasts: float
    targets: tuple[str, ...]
    amount: float = 0

    def __str__(self) -> str:
        amount = f" {self.amount:g}" if self.amount else ""
        return f"{self.at:6.1f} s  {self.kind} {' '.join(self.targets)}{amount}  for {self.lasts:.1f} s"


NODE_KINDS = ("kill_node", "stop_node", "pause_node", "jump_clock", "slow")
BUS_KINDS = ("cut_bus", "kill_bus")
DATABASE_KINDS = ("restart_db", "kill_db", "cut_db", "cut_blobs", "slow_backend", "collect")
ALL_KINDS = (*NODE_KINDS, *BUS_KINDS, *DATABASE_KINDS)


def plan(seed: int, seconds: float, nodes: list[str], kinds: tuple[str, ...]) -> list[Fault]:
    """Every kind once, then again, in an order of chance, until the time is up; some at the same time."""
    if not kinds:
        return []
    chance = random.Random(f"{seed} faults")
    least = seconds / len(kinds)
    gap = min(max(least * 0.9, 0.8), 4.0)
    made: list[Fault] = []
    at = 1.0
    while at < seconds:
        is_first = not made
        for kind in chance.sample(kinds, len(kinds)):
            if at < seconds or is_first:
                begin = min(at, seconds * 0.95)
                made.append(_fault(chance, kind, begin, nodes, seconds - begin))
            at += gap * chance.uniform(0.4, 1.4)
    return made


def _fault(chance: random.Random, kind: str, at: float, nodes: list[str], left: float) -> Fault:
    lasts = chance.uniform(0.3, 4)
    targets: tuple[str, ...] = (chance.choice(nodes),)
    amount = 0.0
    if kind == "pause_node":
        lasts = chance.choice(_PAUSES_S)
    elif kind == "jump_clock":
        amount, lasts = chance.choice(_JUMPS_S), chance.uniform(2, 10)
    elif kind in ("slow", "slow_backend"):
        amount, lasts = chance.uniform(5, 60), chance.uniform(1, 4)
        targets = targets if kind == "slow" else (chance.choice((DB, BUS, BLOBS)),)
    elif kind == "collect":
        amount, lasts = chance.uniform(1.5, 6) * _DAY_S, chance.uniform(0, 2)
    elif kind in ("cut_bus", "cut_db", "cut_blobs"):
        targets = tuple(chance.sample(nodes, chance.randint(1, len(nodes))))
    elif kind in ("kill_bus", "restart_db", "kill_db"):
        targets = (BUS,) if kind == "kill_bus" else (DB,)
        lasts = chance.uniform(0.1, 2)
    return Fault(kind, at, min(lasts, max(left, 1.0)), targets, amount)


class Faults:
    """Carries out a plan. What works on one host takes turns."""

    def __init__(self, world: World, seed: int, say: Callable[[str], None]) -> None:
        self._world, self._seed, self._say = world, seed, say
        self._turns: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: Counter[str] = Counter()

    async def run(self, faults: list[Fault]) -> None:
        """Returns when the last is over and everything is whole again."""
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                tasks.create_task(self._one(fault, begun))

    async def _one(self, fault: Fault, begun: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(begun + fault.at - loop.time())
        act: Callable[[Fault], AbstractAsyncContextManager[None]] = getattr(self, f"_{fault.kind}")
        async with contextlib.AsyncExitStack() as stack:
            for target in sorted(fault.targets):
                await stack.enter_async_context(self._turns[_turn(fault.kind), target])
            self._say(str(fault))
            async with act(fault):
                await asyncio.sleep(fault.lasts)
            self.done[fault.kind] += 1
            self._say(f"{loop.time() - begun:6.1f} s  over: {fault.kind} {' '.join(fault.targets)}")

    # -------------------------------------------------------------- nodes

    @asynccontextmanager
    async def _kill_node(self, fault: Fault) -> AsyncIterator[None]:
        node = self._world.node(fault.targets[0])
        node.kill()
        await node.ended()
        yield
        await node.start()

    @asynccontextmanager
    async def _stop_node(self, fault: Fault) -> AsyncIterator[None]:
        node = self._world.node(fault.targets[0])
        await node.stop()
        await node.ended()
        yield
        await node.start()

    @asynccontextmanager
    async def _pause_node(self, fault: Fault) -> AsyncIterator[None]:
        node = self._world.node(fault.targets[0])
        node.pause()
        yield
        node.resume()

    @asynccontextmanager
    async def _jump_clock(self, fault: Fault) -> AsyncIterator[None]:
        node = self._world.node(fault.targets[0])
        node.set_clock(fault.amount)
        yield
        node.set_clock(0)

    @asynccontextmanager
    async def _collect(self, fault: Fault) -> AsyncIterator[None]:
        await self._world.node(fault.targets[0]).collect(fault.amount, fault.lasts)
        yield

    # -------------------------------------------------------------- network

    @asynccontextmanager
    async def _slow(self, fault: Fault) -> AsyncIterator[None]:
        seed = self._seed * 1000 + int(fault.at * 10)
        await self._world.network.slow(fault.targets[0], fault.amount / 2, 0.01, seed)
        yield
        self._world.network.quicken(fault.targets[0])

    _slow_backend = _slow

    @contextlib.contextmanager
    def _parted(self, fault: Fault, other: str) -> Iterator[None]:
        for target in fault.targets:
            self._world.network.part(target, other)
        yield
        for target in fault.targets:
            self._world.network.join(target, other)

    @asynccontextmanager
    async def _cut_bus(self, fault: Fault) -> AsyncIterator[None]:
        with self._parted(fault, BUS):
            yield

    @asynccontextmanager
    async def _cut_db(self, fault: Fault) -> AsyncIterator[None]:
        with self._parted(fault, DB):
            yield

    @asynccontextmanager
    async def _cut_blobs(self, fault: Fault) -> AsyncIterator[None]:
        with self._parted(fault, BLOBS):
            yield

    # -------------------------------------------------------------- back ends

    @asynccontextmanager
    async def _kill_bus(self, fault: Fault) -> AsyncIterator[None]:
        await self._world.kill_bus()
        yield
        await self._world.start_bus()

    @asynccontextmanager
    async def _restart_db(self, fault: Fault) -> AsyncIterator[None]:
        database = self._world.database
        assert database is not None
        await self._world.with_database(database.stop)
        yield
        await self._world.with_database(database.start)

    @asynccontextmanager
    async def _kill_db(self, fault: Fault) -> AsyncIterator[None]:
        database = self._world.database
        assert database is not None
        await self._world.with_database(database.kill)
        yield
        await self._world.with_database(database.start)


def _turn(kind: str) -> str:
    """What must not be done to one host at the same time."""
    if kind.startswith("cut") or kind == "collect":
        return kind
    return "link" if kind.startswith("slow") else "clock" if kind == "jump_clock" else "process"
