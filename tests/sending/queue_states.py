"""What a test waits for in the outgoing queue, and the operations of its operator."""

from sending.world import World
from veredus.auth.tables import SYSTEM
from veredus.outgoing.operations import Operations


def operations_of(sender: World) -> Operations:
    return Operations(sender.app.store, SYSTEM, sender.clock)


async def attempts(sender: World, count: int) -> bool:
    return [row.attempts for row in await sender.rows()] == [count]


async def queued(sender: World, count: int) -> bool:
    return len(await sender.rows()) == count


async def failures(sender: World, count: int) -> bool:
    return [one.failures for one in await sender.destinations()] == [count]


async def emails(sender: World, count: int) -> bool:
    return len(await sender.inbox()) == count


async def rests(sender: World, due: str) -> bool:
    return [one.due for one in await sender.destinations()] == [due]
