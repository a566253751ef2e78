"""Whether a replica is what the server has."""

from typing import Any

from client.world import World
from veredus.client.replica import Replica


async def all_of(world: World, type: str, properties: Any = None) -> dict[str, Any]:
    found = await world.alice.call(f"{type}/get", ids=None, properties=properties)
    return {record["id"]: record for record in found["list"]}


async def agrees(replica: Replica, world: World) -> None:
    """What is in the file is what the server has."""
    for type in ("Email", "Mailbox"):
        got = await replica.get(type)
        kept = {record.id: record.json for record in got.list}
        names = sorted(next(iter(kept.values()))) if kept else None
        assert kept == await all_of(world, type, names)
        assert got.state == await world.alice.state(type)
