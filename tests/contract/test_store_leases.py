"""Leases and fencing (ADR 0021): one holder at a time, and none that writes late.

Time is the store's own, so these tests wait; only for what has surely passed, never for what must not have.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from contract.stores import STORES, FakeClock, announced, changes, clock, ids, message, put, store
from veredus.ports import Lease, LeaseLost, Store

__all__ = ["announced", "clock", "store"]

LONG_S = 60.0
SHORT_S = 0.1
# A time that a lease of SHORT_S certainly does not outlive.
PASSED_S = 0.25


@pytest.fixture(params=STORES)
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Several on the same records; the store in memory has one only."""
    make = STORES[request.param]
    async with AsyncExitStack() as stack:
        nodes: list[Store] = []
        for _ in range(1 if request.param == "memory" else 3):
            nodes.append(await make(tmp_path, FakeClock()))
            stack.push_async_callback(nodes[-1].close)
        yield nodes * 3 if len(nodes) == 1 else nodes


async def acquired(store: Store, holder: str = "a", ttl_s: float = LONG_S, name: str = "work") -> Lease:
    """The lease, as soon as it is free."""
    async with asyncio.timeout(30):
        while True:
            lease = await store.acquire(name, holder, ttl_s)
            if lease is not None:
                return lease
            await asyncio.sleep(0.01)


async def write(store: Store, lease: Lease, id: str = "m") -> None:
    async with store.write("A", lease) as tx:
        await tx.put("Message", message(id))


async def test_a_lease_has_one_holder(nodes: list[Store]) -> None:
    found = await asyncio.gather(
        *(nodes[number % 3].acquire("work", f"h{number}", LONG_S) for number in range(12))
    )
    [held] = [lease for lease in found if lease is not None]
    assert (held.name, held.holder) == ("work", held.holder)
    for node in nodes:
        assert await node.acquire("work", "another", LONG_S) is None
    await write(nodes[0], held)
    assert await ids(nodes[1]) == ["m"]


async def test_names_are_apart(store: Store) -> None:
    one, two = await acquired(store, "a", name="one"), await acquired(store, "b", name="two")
    await write(store, one, "m1")
    await write(store, two, "m2")
    assert await ids(store) == ["m1", "m2"]


async def test_who_has_it_gets_the_same_for_longer(nodes: list[Store]) -> None:
    while True:
        lease = await acquired(nodes[0], ttl_s=SHORT_S)
        again = await acquired(nodes[0])
        if again == lease:  # else this machine was so busy that it had run out
            break
        await nodes[0].release(again)
    await asyncio.sleep(PASSED_S)
    assert await nodes[1].acquire("work", "b", LONG_S) is None
    await write(nodes[2], lease)


async def test_a_renewal_may_shorten_it(store: Store) -> None:
    lease = await acquired(store, ttl_s=LONG_S)
    assert await store.acquire("work", "a", SHORT_S) == lease
    await asyncio.sleep(PASSED_S)
    assert (await acquired(store, "b")).token > lease.token


async def test_tokens_rise_with_each_holder(nodes: list[Store]) -> None:
    tokens = []
    for number in range(3):
        lease = await acquired(nodes[number], f"h{number}")
        tokens.append(lease.token)
        await nodes[number].release(lease)
    expired = await acquired(nodes[0], "h9", SHORT_S)
    await asyncio.sleep(PASSED_S)
    # Who has lost it is another holder, even if nobody else had it in between.
    last = await acquired(nodes[1], "h9")
    tokens += [expired.token, last.token]
    assert tokens == sorted(set(tokens))


async def test_a_lease_that_was_given_back_is_free_at_once(nodes: list[Store]) -> None:
    lease = await acquired(nodes[0])
    await nodes[0].release(lease)
    with pytest.raises(LeaseLost):
        await write(nodes[0], lease)
    assert await nodes[1].acquire("work", "b", LONG_S) is not None


async def test_giving_back_what_is_lost_takes_nothing_from_another(nodes: list[Store]) -> None:
    lost = await acquired(nodes[0], "a", SHORT_S)
    await asyncio.sleep(PASSED_S)
    held = await acquired(nodes[1], "b")
    await nodes[0].release(lost)
    await nodes[0].release(Lease("work", "b", lost.token))
    await nodes[0].release(Lease("nothing", "b", 1))
    assert await nodes[2].acquire("work", "c", LONG_S) is None
    await write(nodes[1], held)


async def test_who_never_had_it_writes_nothing(store: Store) -> None:
    lease = await acquired(store)
    others = [
        Lease("work", "a", lease.token + 1),
        Lease("work", "b", lease.token),
        Lease("nothing", "a", lease.token),
    ]
    for other in others:
        with pytest.raises(LeaseLost):
            await write(store, other)
    assert await ids(store) == []


@pytest.mark.parametrize("is_taken_over", [False, True])
async def test_who_slept_before_a_transaction_writes_nothing(nodes: list[Store], is_taken_over: bool) -> None:
    lease = await acquired(nodes[0], "a", SHORT_S)
    await asyncio.sleep(PASSED_S)
    if is_taken_over:
        await acquired(nodes[1], "b")
    with pytest.raises(LeaseLost):
        await write(nodes[0], lease)
    assert await ids(nodes[1]) == []
    assert await nodes[1].accounts() == []


async def test_who_sleeps_in_a_transaction_writes_nothing(nodes: list[Store]) -> None:
    await put(nodes[0], message("before"))
    lease = await acquired(nodes[0], "a", SHORT_S * 4)

    async def late() -> None:
        async with nodes[0].write("A", lease) as tx:
            await tx.put("Message", message("late"))
            await tx.delete("Message", "before")
            await asyncio.sleep(PASSED_S * 4)

    with pytest.raises(LeaseLost):
        await late()
    assert await ids(nodes[1]) == ["before"]
    assert (await changes(nodes[1], 0)).created == ["before"]
    await put(nodes[0], message("after"))
    assert (await changes(nodes[1], 1)).created == ["after"]


async def test_a_lease_is_not_taken_over_beside_an_open_transaction(nodes: list[Store]) -> None:
    """The other waits, or the transaction fails; in no case do both succeed in the wrong order."""
    lease = await acquired(nodes[0], "a", SHORT_S * 4)
    order: list[str] = []

    async def take_over() -> None:
        await acquired(nodes[1], "b")
        order.append("taken over")

    async def late() -> None:
        async with nodes[0].write("A", lease) as tx:
            await tx.put("Message", message("late"))
            await asyncio.sleep(PASSED_S * 4)
        order.append("written")

    results = await asyncio.gather(late(), take_over(), return_exceptions=True)
    assert [type(result) for result in results] == [LeaseLost, type(None)]
    assert order == ["taken over"]
    assert await ids(nodes[2]) == []


async def test_a_failed_transaction_leaves_the_lease(store: Store) -> None:
    lease = await acquired(store)

    async def fail() -> None:
        async with store.write("A", lease) as tx:
            await tx.put("Message", message("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await write(store, lease, "b")
    assert await ids(store) == ["b"]


async def test_writers_without_a_lease_are_not_touched_by_one_that_fails(store: Store) -> None:
    """They may share a commit."""
    lost = Lease("work", "a", 1)
    results = await asyncio.gather(
        *(write(store, lost, f"lost{number}") for number in range(5)),
        *(put(store, message(f"m{number}")) for number in range(5)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [LeaseLost] * 5 + [type(None)] * 5
    assert sorted(await ids(store)) == [f"m{number}" for number in range(5)]


async def test_nobody_writes_behind_a_later_holder(nodes: list[Store]) -> None:
    """Many that lose their lease all the time, and try to write all the same."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    outcomes: dict[str, int] = {"written": 0, "lost": 0}

    async def work(number: int) -> None:
        node, until = nodes[number % 3], asyncio.get_running_loop().time() + 2.0
        lease: Lease | None = None
        while asyncio.get_running_loop().time() < until:
            lease = await node.acquire("work", f"h{number}", 0.1) or lease
            await asyncio.sleep(chance.random() * 0.1)
            if lease is None:
                continue
            try:
                async with node.write("A", lease) as tx:
                    written = await tx.count("Box")
                    await asyncio.sleep(chance.random() * 0.01)
                    await tx.put("Box", {"id": f"b{written}", "name": f"{lease.token}"})
                outcomes["written"] += 1
            except LeaseLost:
                outcomes["lost"] += 1

    await asyncio.gather(*(work(number) for number in range(6)))
    async with nodes[0].read("A") as snapshot:
        boxes: list[Any] = await snapshot.get("Box", None)
    tokens = [int(box["name"]) for box in boxes]
    assert tokens == sorted(tokens)
    assert outcomes["written"] == len(tokens) > 0
    assert outcomes["lost"] > 0
