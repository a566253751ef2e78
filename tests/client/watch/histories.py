"""Histories of an account, and what a crash interrupts in them."""

import random
from typing import Any

from hypothesis import strategies as st

from client.world import World
from property.test_invariants import ROLES, STEPS, History

# "crash": something works for so many steps of its own, and is then gone; a seed decides what else.
CRASHES = st.tuples(st.just("crash"), st.integers(0, 12), st.integers(0, 2**16))
HISTORIES = st.lists(STEPS.filter(lambda step: step != ("look",)) | CRASHES, min_size=2, max_size=16)


async def begin(world: World) -> History:
    return History(world.alice, {role: await world.alice.mailbox(role) for role in ROLES})


async def go_on(history: History, step: tuple[Any, ...]) -> None:
    await history.step(("import_", *step[1:]) if step[0] == "import" else step)


async def everything(world: World, type: str, properties: list[str]) -> dict[str, Any]:
    """By id."""
    found: dict[str, Any] = {}
    ids = await world.alice.query(type)
    for at in range(0, len(ids), 3):
        got = await world.alice.call(f"{type}/get", ids=ids[at : at + 3], properties=["id", *properties])
        found |= {record["id"]: record for record in got["list"]}
    return found


def dice(seed: int) -> random.Random:
    return random.Random(seed)
