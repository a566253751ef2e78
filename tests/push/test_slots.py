"""Whose URLs are slow holds up nobody else's."""

import asyncio

from veredus.push.web.slots import Slots


async def test_a_user_with_many_slow_urls_leaves_slots_to_others() -> None:
    slots, release, running = Slots(4, 2), asyncio.Event(), []

    async def request(user: str) -> None:
        async with slots.one(user):
            running.append(user)
            await release.wait()

    tasks = [asyncio.create_task(request(user)) for user in ["mallory"] * 10 + ["alice", "bob", "carol"]]
    await asyncio.sleep(0.01)
    assert running == ["mallory", "mallory", "alice", "bob"]
    release.set()
    await asyncio.gather(*tasks)
    assert len(running) == 13
    del tasks
    assert not slots._users
