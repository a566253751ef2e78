"""What every Store tells those who push: states, hints, and where its log ends."""

import asyncio
from contextlib import suppress

from contract.stores import announced, clock, message, put, state, store
from veredus.ports import Hint, Store

__all__ = ["announced", "clock", "store"]


async def states(store: Store, account: str = "A") -> dict[str, int]:
    async with store.read(account) as snapshot:
        return dict(await snapshot.states())


async def test_states_are_those_of_every_type_that_ever_changed(store: Store) -> None:
    assert await states(store) == {}
    await put(store, message("a"), message("b"))
    await put(store, {"id": "x", "name": "X"}, type="Box")
    await put(store, {"id": "c"}, type="Cache")
    assert await states(store) == {"Message": 2, "Delivery": 2, "Box": 3}
    async with store.write("A") as tx:
        await tx.delete("Message", "a")
        assert dict(await tx.states()) == {"Message": 4, "Delivery": 2, "Box": 3}
    for type, modseq in (await states(store)).items():
        if type != "Delivery":
            assert await state(store, type) == modseq
    assert await states(store, "B") == {}


async def test_the_state_of_creations_moves_with_creations_alone(store: Store) -> None:
    await put(store, message("a"))
    async with store.write("A") as tx:
        await tx.update("Message", "a", {"seen": True})
    await put(store, message("a", note="put again"))
    assert await states(store) == {"Message": 3, "Delivery": 1}
    await put(store, message("b"))
    assert (await states(store))["Delivery"] == 4
    async with store.write("A") as tx:
        await tx.delete("Message", "b")
    assert await states(store) == {"Message": 5, "Delivery": 4}


async def test_each_transaction_that_logs_is_announced_once_when_it_is_committed(
    store: Store, announced: list[Hint]
) -> None:
    async with store.write("A") as tx:
        await tx.put("Message", message("a"), {})
        await tx.put("Box", {"id": "x", "name": "X"})
        assert announced == []
    assert announced == [Hint("A", 0, {"Message": 1, "Delivery": 1, "Box": 2})]
    async with store.write("A") as tx:
        await tx.update("Message", "a", {"seen": True})
    assert announced[1:] == [Hint("A", 2, {"Message": 3})]
    await put(store, message("a"), account="B")
    assert announced[2:] == [Hint("B", 0, {"Message": 1, "Delivery": 1})]


async def test_what_logs_nothing_or_fails_is_not_announced(store: Store, announced: list[Hint]) -> None:
    async with store.write("A") as tx:
        await tx.get("Message", None)
    await put(store, {"id": "c"}, type="Cache")
    with suppress(RuntimeError):
        async with store.write("A") as tx:
            await tx.put("Box", {"id": "x", "name": "X"})
            raise RuntimeError
    assert announced == []


async def test_hints_replayed_give_the_states(store: Store, announced: list[Hint]) -> None:
    async def box(number: int) -> None:
        await put(store, {"id": f"b{number % 3}", "name": "B"}, type="Box")
        await put(store, message(f"m{number}"))

    await asyncio.gather(*map(box, range(20)))
    known: dict[str, int] = {}
    # Two that commit at the same time may be told of in any order.
    for hint in sorted(announced, key=lambda hint: hint.after):
        assert hint.after == max(known.values(), default=0)
        known |= hint.states
    assert known == await states(store)


async def test_the_head_is_behind_all_that_is_committed(store: Store) -> None:
    await put(store, message("a"))
    await put(store, message("a"), account="B")
    head = await store.head()
    assert await store.feed(head, 10) == ([], head)
    await put(store, message("b"))
    changes, after = await store.feed(head, 10)
    assert [(change.account, change.id) for change in changes] == [("A", "b")]
    for cursor in (after, await store.head()):
        assert await store.feed(cursor, 10) == ([], cursor)
