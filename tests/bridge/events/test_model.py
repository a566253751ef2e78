"""A random history: whoever replays the stream has what the server has, whatever happened to the bridge."""

import asyncio
import random
from typing import Any

import pytest

from bridge.events.replay import Replay
from bridge.events.world import Stage
from client.world import MESSAGE
from jmap import Jmap

pytestmark = pytest.mark.service
STEPS = 2_000
KEYWORDS = ["$seen", "$flagged", "$answered", "work", "todo"]


class History:
    """Random changes of one account."""

    def __init__(self, alice: Jmap, random: random.Random, inbox: str, blob: str) -> None:
        self._alice, self._random, self._blob = alice, random, blob
        self._emails: list[str] = []
        self._boxes: list[str] = []
        self._inbox = inbox
        self._count = 0

    async def step(self) -> None:
        acts = [self._import, self._flag, self._flag, self._move, self._move, self._destroy]
        acts += [self._new_box, self._rename, self._remove_box]
        weights = [6, 5, 5, 3, 3, 2, 1, 1, 0.5]
        await self._random.choices(acts, weights)[0]()

    async def _import(self) -> None:
        wanted = {"blobId": self._blob, "mailboxIds": self._some_boxes()}
        created = (await self._alice.call("Email/import", emails={"e": wanted}))["created"]
        if created:
            self._emails.append(created["e"]["id"])

    async def _flag(self) -> None:
        await self._update({f"keywords/{self._random.choice(KEYWORDS)}": self._random.choice([True, None])})

    async def _move(self) -> None:
        await self._update({"mailboxIds": self._some_boxes()})

    async def _update(self, patch: dict[str, Any]) -> None:
        if self._emails:
            await self._alice.call("Email/set", update={self._random.choice(self._emails): patch})

    async def _destroy(self) -> None:
        if self._emails:
            id = self._emails.pop(self._random.randrange(len(self._emails)))
            await self._alice.call("Email/set", destroy=[id])

    async def _new_box(self) -> None:
        self._count += 1
        self._boxes.append((await self._alice.create("Mailbox", name=f"box {self._count}"))["id"])

    async def _rename(self) -> None:
        if self._boxes:
            self._count += 1
            await self._alice.update("Mailbox", self._random.choice(self._boxes), name=f"box {self._count}")

    async def _remove_box(self) -> None:
        """With the Emails that are nowhere else."""
        if self._boxes:
            id = self._boxes.pop(self._random.randrange(len(self._boxes)))
            await self._alice.call("Mailbox/set", destroy=[id], onDestroyRemoveEmails=True)

    def _some_boxes(self) -> dict[str, bool]:
        boxes = [self._inbox, *self._boxes]
        return dict.fromkeys(self._random.sample(boxes, self._random.randint(1, min(3, len(boxes)))), True)


@pytest.mark.parametrize("seed", [1, 2])
async def test_replaying_the_stream_gives_what_the_server_has(ground: Stage, seed: int) -> None:
    chance, alice = random.Random(seed), ground.world.alice
    blob = await alice.upload(MESSAGE % (b"subject", b"body"))
    history = History(alice, chance, await ground.world.inbox(), blob)
    types = ["Email", "Mailbox", "Thread"]
    done = 0
    while done < STEPS:
        # A bridge that ends in the middle of whatever it does.
        async with ground.bridge():
            for _ in range(chance.randint(100, 600)):
                await history.step()
                done += 1
                if chance.random() < 0.1:
                    await asyncio.sleep(0.005)
        for _ in range(chance.randint(0, 100)):
            await history.step()
            done += 1
    await ground.run_until_caught_up(*types)
    known = Replay(await ground.events()).records
    for type in types:
        now = (await alice.call(f"{type}/get", ids=list(known[type])))["list"]
        assert {record["id"] for record in now} == set(known[type])
        for record in now:
            told = known[type][record["id"]]
            compared = ["keywords", "mailboxIds"] if type == "Email" else list(record)
            assert {name: told[name] for name in compared} == {name: record[name] for name in compared}
    emails = await alice.query("Email")
    assert set(emails) == set(known["Email"])
    boxes = (await alice.call("Mailbox/get", ids=None, properties=["id"]))["list"]
    assert {box["id"] for box in boxes} == set(known["Mailbox"])
