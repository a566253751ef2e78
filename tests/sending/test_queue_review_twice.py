"""The outgoing queue where a message might leave twice, or never."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import structs, to_builtins

import jmap
from sending.peer import DROP, Peer, on
from sending.queue_states import attempts, failures, operations_of, queued
from sending.world import MESSAGE, World, world
from veredus.auth.tables import SYSTEM
from veredus.mail.submission.shape import TYPE as SUBMISSION
from veredus.mail.submission.status import QUEUED
from veredus.outgoing import records
from veredus.outgoing.ledger import Ledger
from veredus.outgoing.message import Messages, unsigned
from veredus.outgoing.operations import Selected
from veredus.outgoing.records import NEVER, Destination, Place
from veredus.ports import BeforeText, Blob, Fate, Parcel, Transaction
from veredus.wire.dates import utc_date
from waiting import until

_BOB, _CAROL = "bob@example.org", "carol@example.org"


async def test_a_message_that_is_found_once_more_in_the_log_is_not_queued_again(
    tmp_path: Path, smtp: Peer
) -> None:
    """Also where one of its destinations has it already, whose row is gone."""
    async with world(tmp_path, smtp.url) as sender:
        smtp.rules.append(on("RCPT", "451 4.2.0 later"))
        async with sender.running():
            await sender.depart("alice@example.com", _BOB)
            await until(lambda: attempts(sender, 1))
        async with sender.app.store.write(SYSTEM) as tx:
            await records.save_place(tx, Place(after="99"))
        smtp.rules.clear()
        async with sender.running():
            sender.advance(minutes=6)
            await sender.empty()
        assert len(await sender.inbox()) == 1


async def test_a_connection_that_breaks_in_the_midst_of_the_text_leaves_no_doubt(
    tmp_path: Path, smtp: Peer
) -> None:
    """A kept connection breaks, and then nobody can be reached."""
    big = MESSAGE + b"x" * 70 + b"\r\n" + 100_000 * (b"y" * 70 + b"\r\n")
    async with world(tmp_path, smtp.url, connections=1) as sender, sender.running():
        await sender.depart(_CAROL)
        await smtp.got(1)
        smtp.rules += [on("connect", DROP), on("text", DROP, times=1)]
        await sender.depart(_BOB, message=big)
        await until(lambda: failures(sender, 1))
        (row,) = await sender.rows()
        assert row.doubts == 0


async def test_the_text_of_a_message_is_made_once_for_destinations_that_ask_together(sender: World) -> None:
    made = 0

    async def sign(domain: str, message: bytes) -> bytes:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return await unsigned(domain, message)

    messages = Messages(sender.app.blobs, sign)
    large: list[Blob] = []
    for number in range(3):
        data = MESSAGE + b"%d\r\n" % number + 300_000 * b"0123456789012345678901234567890123456789\r\n"
        large.append(await sender.app.blobs.put(data, max_size=len(data)))
    for blob in large:
        found = await asyncio.gather(*(messages.load(blob.id, "smtp") for _ in range(10)))
        assert all(found)
        assert len({id(it) for it in found}) == 1
    assert made == 3
    await messages.load(large[-1].id, "smtp")
    assert made == 3


async def test_a_mistake_in_one_entry_of_the_ledger_is_nobody_elses(sender: World) -> None:
    """What is not stored of an attempt makes its message leave once more."""

    async def wrong(tx: Transaction) -> None:
        await tx.get("QueuedMessage", None)
        raise ValueError("a mistake of ours")

    async def right(tx: Transaction) -> None:
        await records.put_destination(tx, Destination(id="example.org", due=NEVER))

    lease = await sender.app.store.acquire("outgoing", "test", 30)
    assert lease
    ledger = Ledger(sender.app.store, SYSTEM, lease)
    one, other, third = await asyncio.gather(
        ledger.write(right), ledger.write(wrong), ledger.write(right), return_exceptions=True
    )
    assert (one, type(other), third) == (None, ValueError, None)
    assert len(await sender.destinations()) == 1


@pytest.mark.parametrize("store", jmap.DURABLE)
async def test_an_address_that_is_too_long_for_an_index_stops_nothing(
    tmp_path: Path, smtp: Peer, store: str
) -> None:
    chance = random.Random(1)
    endless = "bob@" + ".".join(
        "".join(chance.choices("abcdefghijklmnop0123456789", k=60)) for _ in range(200)
    )
    async with world(tmp_path, smtp.url, store=store) as sender:
        sender.queue._intake._route = _route
        async with sender.running():
            await sender.depart(endless)
            await sender.depart("alice@example.com")
            await until(sender.inbox)


class Abyss:
    """A relay to hosts that never answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def destination(self, address: str) -> str:
        return address.rpartition("@")[2]

    async def send(
        self, destination: str, parcel: Parcel, before_text: BeforeText | None = None
    ) -> Mapping[str, Fate]:
        self.asked.append(destination)
        await asyncio.Event().wait()
        return {}

    async def close(self) -> None:
        """Nothing is open."""


async def test_mail_within_the_server_waits_for_no_other_host(sender: World) -> None:
    abyss = Abyss()
    ways = structs.replace(sender.queue._ways, relay=abyss, route=_route)
    sender.queue._ways = ways
    sender.queue._intake._route = _route
    await sender.depart(*(f"bob@{number}.example.org" for number in range(50)))
    async with sender.running():
        await until(lambda: len(abyss.asked) == 20)
        sender.advance(seconds=1)
        await sender.depart("alice@example.com")
        await until(sender.inbox)
    assert len(abyss.asked) == 20


async def _route(address: str) -> str:
    domain = address.rpartition("@")[2]
    return records.LOCAL if domain == "example.com" else domain


async def test_a_submission_that_was_never_released_is_final_in_the_end(sender: World) -> None:
    """It is dropped while it can still be canceled."""
    status = {_BOB: to_builtins(QUEUED)}
    record = {"id": "s1", "identityId": "i1", "emailId": "e1", "threadId": "t1", "undoStatus": "pending"}
    record |= {"sendAt": utc_date(sender.clock.now()), "deliveryStatus": status, "departureId": "q1"}
    async with sender.app.store.write(sender.alice.account) as tx:
        await tx.put(SUBMISSION, {**record, "dsnBlobIds": [], "mdnBlobIds": [], "messageId": None})
    async with sender.running():
        await sender.depart(_BOB, delay=3600, submission="s1")
        await until(lambda: queued(sender, 1))
        await operations_of(sender).drop(Selected())
        await sender.empty()
    async with sender.app.store.read(sender.alice.account) as snapshot:
        (found,) = await snapshot.get(SUBMISSION, ["s1"])
    assert (found["undoStatus"], found["deliveryStatus"][_BOB]["delivered"]) == ("final", "no")
