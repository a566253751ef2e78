"""SIGKILL of the server at any point of sending: each message comes once, or once more where nobody can know.

VEREDUS_KILLS=100 kills so often (default 5); VEREDUS_KILL_SEED=… makes the same choices again, though not at the
same instructions.
"""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.process import ServerProcess
from e2e.test_sending import ALICE, Client
from sending.peer import Peer, peer
from waiting import until

_DEFAULT = 5
# Read here: the settings of the machine are taken away from the tests themselves.
KILLS = int(os.environ.get("VEREDUS_KILLS", _DEFAULT))
SEED = int(os.environ.get("VEREDUS_KILL_SEED", random.SystemRandom().randrange(10**6)))
_WORKERS = 4
_HELD_S = 2

if KILLS > _DEFAULT:
    pytestmark = pytest.mark.slow


class Watched(ServerProcess):
    """Remembers which messages its log says may come twice."""

    doubts = 0

    def _take(self, entry: dict[str, Any]) -> None:
        super()._take(entry)
        self.doubts += entry["event"].startswith("an attempt was broken off")


class Sender:
    """Sends messages to recipients of their own, and remembers what the server has answered."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name, self.chance = name, chance
        self.count = 0
        self.accepted: set[str] = set()
        self.canceled: set[str] = set()
        # By recipient: a submission that was held, when no answer to its cancellation came.
        self.perhaps: set[str] = set()

    async def work(self, server: Watched) -> None:
        """Until the server is lost."""
        client = Client(server.url, (ALICE, "secret"))
        try:
            await client.prepare()
            while True:
                await self._send(client)
        except (httpx.TransportError, httpx.HTTPStatusError):
            if not server.is_killed:
                raise
        finally:
            await client.close()

    async def _send(self, client: Client) -> None:
        self.count += 1
        recipient = f"{self.name}-{self.count}@r{self.count % 3}.example"
        is_held = self.chance.random() < 0.2
        email = await client.draft(recipient, to=[{"email": recipient}], bcc=None)
        parameters = {"HOLDFOR": str(_HELD_S)} if is_held else None
        envelope = {
            "mailFrom": {"email": ALICE, "parameters": parameters},
            "rcptTo": [{"email": recipient, "parameters": None}],
        }
        submission = {"identityId": client.identity, "emailId": email, "envelope": envelope}
        made = await client.call("EmailSubmission/set", create={"s": submission})
        self.accepted.add(recipient)
        if is_held and self.chance.random() < 0.5:
            id = made["created"]["s"]["id"]
            self.perhaps.add(recipient)
            update = {id: {"undoStatus": "canceled"}}
            answer = await client.call("EmailSubmission/set", update=update)
            self.perhaps.discard(recipient)
            if answer["updated"]:
                self.canceled.add(recipient)


@pytest.mark.timeout(120 + 15 * KILLS)
async def test_what_was_accepted_is_sent_once_and_what_was_canceled_never(tmp_path: Path) -> None:
    print(f"replay with VEREDUS_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    senders = [Sender(f"s{n}", random.Random(f"{SEED} {n}")) for n in range(_WORKERS)]
    async with peer() as smtp, Watched(tmp_path, f'[outgoing]\nurl = "{smtp.url}"\n') as server:
        async with server.opened() as app:
            await app.add_account(ALICE, "secret")
        for _ in range(KILLS):
            await server.start()
            await _kill_under_load(server, senders, smtp, chance.random())
        await server.start()
        await _drained(server)
        _check(senders, smtp, server)
        assert server.errors == []
        assert await server.stop() == 0


async def _kill_under_load(server: Watched, senders: list[Sender], smtp: Peer, after_s: float) -> None:
    """``after_s``: from the first message on that leaves in this life."""
    before = len(smtp.messages)
    async with asyncio.TaskGroup() as tasks:
        for sender in senders:
            tasks.create_task(sender.work(server))
        await smtp.got(before + 1)
        await asyncio.sleep(after_s)
        await server.kill()


async def _drained(server: Watched) -> None:
    client = Client(server.url, (ALICE, "secret"))
    await client.prepare()

    async def is_drained() -> bool:
        ids = (await client.call("EmailSubmission/query"))["ids"]
        left = 0
        for start in range(0, len(ids), 500):
            found = (await client.call("EmailSubmission/get", ids=ids[start : start + 500]))["list"]
            left += sum(
                status["delivered"] == "queued" for one in found for status in one["deliveryStatus"].values()
            )
        return left == 0

    await until(is_drained)
    await client.close()


def _check(senders: list[Sender], smtp: Peer, server: Watched) -> None:
    came = Counter(recipient for message in smtp.messages for recipient in message.recipients)
    accepted = set().union(*(sender.accepted for sender in senders))
    canceled = set().union(*(sender.canceled for sender in senders))
    perhaps = set().union(*(sender.perhaps for sender in senders))
    assert accepted - canceled - perhaps - came.keys() == set()
    assert canceled & came.keys() == set()
    assert max(came.values()) <= 2
    twice = sum(count == 2 for count in came.values())
    assert twice <= server.doubts
    print(
        f"{len(accepted)} accepted, {len(canceled)} canceled, {twice} twice, {server.doubts} doubts",
        flush=True,
    )
