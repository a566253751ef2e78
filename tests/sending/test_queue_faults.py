"""The outgoing queue while everything around it fails: hosts, and the node that sends."""

import random
from collections import Counter
from pathlib import Path

import pytest

import jmap
from sending.peer import CLOSE, DROP, HANG, Rule, on, peer
from sending.world import World, world, worlds
from veredus.auth.tables import SYSTEM
from veredus.outgoing.records import Place, save_place
from waiting import until

_REPLIES = {
    "connect": ["421 4.3.2 not now", "554 5.3.2 go away", b"what?\r\n", DROP, CLOSE],
    "EHLO": ["451 4.3.0 later", DROP, b"\xff\xfe\r\n"],
    "MAIL": ["451 4.3.0 later", "452 4.2.2 full", DROP],
    "RCPT": ["450 4.2.0 greylisted", "421 4.7.0 too much", DROP, b"garbage\r\n"],
    "DATA": ["451 4.3.0 later", CLOSE, b"\0\0\r\n"],
    "text": [DROP, CLOSE],
    "end": ["451 4.3.0 later", "421 4.3.2 down"],
}


def _rules(chance: random.Random) -> list[Rule]:
    moments = [chance.choice(list(_REPLIES)) for _ in range(6)]
    return [on(moment, chance.choice(_REPLIES[moment]), times=chance.randint(1, 3)) for moment in moments]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_a_host_does_each_recipient_gets_the_message_once(tmp_path: Path, seed: int) -> None:
    """All these faults end before the host may have taken the message, so that nobody gets it twice."""
    async with peer(*_rules(random.Random(seed))) as smtp, world(tmp_path, smtp.url) as sender:
        async with sender.running():
            for number in range(8):
                await sender.depart(f"a{number}@example.org", f"b{number}@example.org")

            async def is_empty() -> bool:
                sender.advance(hours=1)
                return not await sender.rows()

            await until(is_empty)
            await sender.empty()
        came = Counter(recipient for message in smtp.messages for recipient in message.recipients)
        reports = await sender.inbox()
    assert set(came.values()) <= {1}
    # Only a greeting with 554 is final, and then the sender is told.
    assert came.keys() == {f"{name}{n}@example.org" for name in "ab" for n in range(8)} or reports


async def test_a_host_that_says_nothing_holds_up_no_other(tmp_path: Path) -> None:
    async with (
        peer(on("RCPT", HANG, contains="hang")) as smtp,
        world(tmp_path, smtp.url, connections=2) as sender,
        sender.running(),
    ):
        await sender.depart("hang@example.org")
        for number in range(5):
            await sender.depart(f"r{number}@example.org")
        await smtp.got(5)
        await until(lambda: _has_one(sender))


@pytest.mark.parametrize("store", jmap.DURABLE)
async def test_several_nodes_never_send_the_same_message(tmp_path: Path, store: str) -> None:
    async with peer() as smtp, worlds(3, tmp_path, smtp.url, store=store) as nodes:
        first, second, third = nodes
        async with third.running():
            async with first.running(), second.running():
                for number in range(30):
                    await first.depart(f"r{number}@example.org")
                await smtp.got(10)
            # Two of them have ended; one of them had the lease.
            for number in range(30, 40):
                await first.depart(f"r{number}@example.org")
            await until(lambda: _is_empty(first))
    came = Counter(recipient for message in smtp.messages for recipient in message.recipients)
    assert came == Counter(f"r{number}@example.org" for number in range(40))


@pytest.mark.parametrize("place", [Place(after="99"), Place(after="7:9", before="7:1", first="q1")])
async def test_a_place_in_the_log_of_another_store_is_not_believed(tmp_path: Path, place: Place) -> None:
    """A backup was restored into this store: nothing that left is overlooked."""
    async with peer() as smtp, world(tmp_path, smtp.url) as sender:
        await sender.depart("bob@example.org")
        async with sender.app.store.write(SYSTEM) as tx:
            await save_place(tx, place)
        async with sender.running():
            await sender.empty()
        assert [it.recipients for it in smtp.messages] == [["bob@example.org"]]


async def _is_empty(sender: World) -> bool:
    return not await sender.departures() and not await sender.rows()


async def _has_one(sender: World) -> bool:
    return len(await sender.rows()) == 1
