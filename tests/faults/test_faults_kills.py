"""kill -9 at every step of the loop: at each request to the server and each message to NATS, and at each answer.

VEREDUS_KILLS=300 kills so often (default 28, half of them with JMAP_EVENTS); VEREDUS_KILL_SEED=… makes the same
choices again.
"""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from faults import replay
from faults.arena import Arena
from faults.bridge import KillPoint, KillSchedule, Recording
from faults.seeding import with_attachment

_DEFAULT = 28
# Read here: the settings of the machine are taken away from the tests themselves.
KILLS = int(os.environ.get("VEREDUS_KILLS", _DEFAULT))
SEED = int(os.environ.get("VEREDUS_KILL_SEED", random.SystemRandom().randrange(10**6)))
pytestmark = [pytest.mark.service, pytest.mark.timeout(120 + KILLS * 5)]
if KILLS > _DEFAULT:
    pytestmark.append(pytest.mark.slow)
# The loop itself; without JMAP_EVENTS its steps come first, with them all others.
_LOOP = (
    "Email/changes", "Email/get", "/jmap/download/*", "$O.email-parts.C.*", "$O.email-parts.M.*",
    "$KV.JMAP_EMAILS_CURSOR.account.*",
)  # fmt: skip


class Life:
    """What happens in the account before each start."""

    def __init__(self, arena: Arena, chance: random.Random) -> None:
        self._arena, self._chance = arena, chance
        self._ids: list[str] = []

    async def prepare(self) -> None:
        arena, chance = self._arena, self._chance
        await arena.free_lease()
        await arena.seed(2, chance)
        for _ in range(2):
            self._ids.append(await arena.email(with_attachment(chance.randbytes(300_000))))
        await self._change()

    async def _change(self) -> None:
        """Some Emails are read, and now and then one is destroyed."""
        jmap, chance = self._arena.jmap, self._chance
        updated: dict[str, Any] = {
            id: {"keywords/$seen": chance.random() < 0.5 or None} for id in chance.sample(self._ids, 2)
        }
        await jmap.call("Email/set", update=updated)
        if len(self._ids) > 4 and chance.random() < 0.3:
            gone = self._ids.pop(chance.randrange(len(self._ids)))
            await jmap.call("Email/set", destroy=[gone])


@pytest.mark.parametrize("events", ["", replay.table()], ids=["emails", "events"])
async def test_a_kill_at_any_step_loses_nothing(tmp_path: Path, events: str) -> None:
    print(f"VEREDUS_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED} {events}")
    more = 'lease = "1s"\nsnapshot = { mode = "full" }\n' + events
    async with Arena.open(tmp_path, more=more) as arena:
        life = Life(arena, chance)
        points = await _points(arena, life, chance, is_loop=not events)
        schedule = KillSchedule(arena.bridge)
        arena.observe(schedule.observe)
        await schedule.run(points, arena.settled, life.prepare)
        print(f"killed {len(schedule.reached)} times, not reached: {schedule.missed}")
        assert len(schedule.reached) >= len(points) * 0.6
        await arena.free_lease()
        await arena.bridge.start()
        await arena.ends_well()


async def test_a_stop_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """SIGTERM: what is under way is given up in good order, which is a way of its own to leave things half-done."""
    print(f"VEREDUS_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED} stop")
    async with Arena.open(tmp_path, more='lease = "1s"\nsnapshot = { mode = "full" }\n') as arena:
        life = Life(arena, chance)
        points = (await _points(arena, life, chance, is_loop=True))[: KILLS // 5]
        schedule = KillSchedule(arena.bridge, signal.SIGTERM)
        arena.observe(schedule.observe)
        await schedule.run(points, arena.settled, life.prepare)
        assert len(schedule.reached) >= len(points) * 0.6
        await arena.bridge.start()
        await arena.ends_well()


async def _points(arena: Arena, life: Life, chance: random.Random, *, is_loop: bool) -> list[KillPoint]:
    """Half of `KILLS`, chosen from the steps of a calm life."""
    async with arena.bridge:
        await arena.until_settled()
    recording = Recording()
    arena.observe(recording)
    await life.prepare()
    async with arena.bridge:
        await arena.until_settled()
    every = recording.points(KILLS, chance)
    first = [
        point for point in every if is_loop == (point.what in _LOOP or point.what.startswith("jmap.email."))
    ]
    rest = [point for point in every if point not in first]
    return (first + rest)[: KILLS // 2]
