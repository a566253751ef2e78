"""The outgoing queue where it may lose mail, send it twice, or stand still."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec import structs, to_builtins

import jmap
from sending.peer import DROP, Peer, Slow, on, peer
from sending.world import MESSAGE, World, world
from veredus.app.outgoing import queue_of
from veredus.auth.tables import SYSTEM
from veredus.formats.smtp import Envelope, Reply
from veredus.mail.submission.shape import TYPE as SUBMISSION
from veredus.mail.submission.status import QUEUED
from veredus.outgoing import records
from veredus.outgoing.ledger import Ledger
from veredus.outgoing.message import Messages, unsigned
from veredus.outgoing.operations import Operations, Selected
from veredus.outgoing.records import NEVER, Destination, Place
from veredus.ports import BeforeText, Blob, Fate, Parcel, Transaction, Unavailable
from veredus.wire.dates import utc_date
from waiting import until

_BOB, _CAROL = "bob@example.org", "carol@example.org"


class Doorkeeper:
    """reception.Delivery that a test can close: it waits, refuses, or fails."""

    def __init__(self, sender: World) -> None:
        self._inbound = sender.inbound
        self.opened = asyncio.Event()
        self.opened.set()
        self.answer: Reply | Exception | None = None
        self.deliveries = 0

    async def recipient(self, address: str) -> Reply | None:
        return await self._inbound.recipient(address)

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        self.deliveries += 1
        await self.opened.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return [self.answer] * len(envelope.recipients)
        return await self._inbound.deliver(envelope, message)


@pytest.fixture
async def smtp() -> AsyncIterator[Peer]:
    async with peer() as it:
        yield it


@pytest.fixture
async def sender(tmp_path: Path, smtp: Peer) -> AsyncIterator[World]:
    async with world(tmp_path, smtp.url, connections=1) as it:
        yield it


@pytest.fixture
def door(sender: World) -> Doorkeeper:
    door = Doorkeeper(sender)
    sender.queue = queue_of(sender.app, door)
    return door


def _operations(sender: World) -> Operations:
    return Operations(sender.app.store, SYSTEM, sender.clock)


# ---------------------------------------------------------------- what goes wrong for one is nobody else's


async def test_a_report_that_its_reader_cannot_take_now_holds_up_nobody(
    sender: World, smtp: Peer, door: Doorkeeper
) -> None:
    door.answer = Reply(451, "4.3.0", "later")
    smtp.rules.append(on("RCPT", "550 5.1.1 nobody", contains="bob"))
    async with sender.running():
        await sender.depart(_BOB)
        await until(lambda: door.deliveries)
        await sender.depart(_CAROL)
        await smtp.got(1)
        door.answer = None

        async def is_told() -> bool:
            sender.advance(minutes=10)
            return bool(await sender.inbox())

        await until(is_told)
        await sender.empty()
    assert [it.recipients for it in smtp.messages] == [[_CAROL]]
    assert [email["subject"] for email in await sender.inbox()] == ["Your message could not be delivered"]


@pytest.mark.parametrize("mistake", [ValueError("of ours"), Unavailable("the database")])
async def test_what_fails_here_breaks_off_no_message_that_is_on_its_way(
    sender: World, smtp: Peer, door: Doorkeeper, mistake: Exception
) -> None:
    """Broken off after its text, it would come twice."""
    door.answer = mistake
    smtp.rules.append(on("end", Slow("250 2.0.0 queued at last", 0.02), times=1))
    async with sender.running():
        await sender.depart(_BOB)
        await until(lambda: smtp.mails)
        await sender.depart("alice@example.com")
        await until(lambda: door.deliveries)
        door.answer = None
        await smtp.got(1)

        async def is_empty() -> bool:
            sender.advance(minutes=10)
            return not await sender.rows()

        await until(is_empty)
        await sender.empty()
    assert smtp.mails == 1
    assert [email["subject"] for email in await sender.inbox()] == ["Hello"]


async def test_a_message_that_we_cannot_handle_holds_up_no_other(sender: World, smtp: Peer) -> None:
    class Broken:
        async def sign(self, domain: str, message: bytes) -> bytes:
            if domain == "broken.example":
                raise ValueError("a mistake of ours")
            return b""

    real, sender.app.domains = sender.app.domains, Broken()  # type: ignore[assignment]
    sender.queue = queue_of(sender.app, sender.inbound)
    async with sender.running():
        await sender.depart(_BOB, message=MESSAGE.replace(b"alice@example.com", b"alice@broken.example"))
        await sender.depart(_CAROL)
        await smtp.got(1)
        await until(lambda: _attempts(sender, 1))
    sender.app.domains = real
    sender.queue = queue_of(sender.app, sender.inbound)
    async with sender.running():
        sender.advance(minutes=6)
        await sender.empty()
    assert [it.recipients for it in smtp.messages] == [[_CAROL], [_BOB]]


async def test_a_report_that_we_cannot_make_holds_up_no_other_message(
    sender: World, smtp: Peer, door: Doorkeeper
) -> None:
    door.answer = ValueError("a mistake of ours")
    smtp.rules.append(on("RCPT", "550 5.1.1 nobody", contains="bob"))
    async with sender.running():
        await sender.depart(_BOB)
        await until(lambda: door.deliveries)
        await sender.depart(_CAROL)
        await smtp.got(1)
        await until(lambda: _attempts(sender, 2))
        door.answer = None
        sender.advance(minutes=11)
        await sender.empty()
    assert len(await sender.inbox()) == 1


# ---------------------------------------------------------------- people at the queue


async def test_what_is_dropped_while_it_is_tried_is_not_tried_again(sender: World, door: Doorkeeper) -> None:
    door.opened.clear()
    door.answer = Reply(451, "4.3.0", "later")
    async with sender.running():
        await sender.depart("alice@example.com")
        await until(lambda: door.deliveries)
        assert await _operations(sender).drop(Selected()) == 1
        door.opened.set()
        await sender.empty()
    assert await sender.inbox() == []


@pytest.mark.parametrize("act", ["drop", "hold"])
async def test_what_is_dropped_or_held_while_it_stands_in_line_is_not_sent(
    sender: World, door: Doorkeeper, act: str
) -> None:
    """The queue has read the second message before."""
    door.opened.clear()
    await sender.depart("alice@example.com")
    second = await sender.depart("alice@example.com")
    async with sender.running():
        await until(lambda: door.deliveries)
        assert await getattr(_operations(sender), act)(Selected([second])) == 1
        door.opened.set()
        await until(lambda: _queued(sender, 0 if act == "drop" else 1))
    assert door.deliveries == 1
    if act == "hold":
        async with sender.running():
            assert await _operations(sender).retry(Selected([second])) == 1
            sender.advance(seconds=1)
            await sender.empty()
        assert door.deliveries == 2


async def test_who_ends_a_hold_does_not_send_before_the_time_that_its_sender_has_set(
    sender: World, smtp: Peer
) -> None:
    operations = _operations(sender)
    async with sender.running():
        await sender.depart(_BOB, delay=3600)
        await until(lambda: _queued(sender, 1))
        await operations.hold(Selected())
        await operations.retry(Selected())
        (row,) = await sender.rows()
        assert row.due == row.send_at
        sender.advance(seconds=3601)
        await sender.empty()
    assert len(smtp.messages) == 1


@pytest.mark.parametrize("due", [NEVER, "2500-01-01T00:00:00Z"])
async def test_what_is_held_at_a_destination_that_failed_once_does_not_hold_up_what_comes(
    sender: World, smtp: Peer, due: str
) -> None:
    async with sender.running():
        await sender.depart(_BOB, delay=9)
        await until(lambda: _queued(sender, 1))
    (row,) = await sender.rows()
    now = sender.clock.now()
    failed = Destination(id=row.destination, due=utc_date(now), failures=3, reply="451 dead")
    async with sender.app.store.write(SYSTEM) as tx:
        await records.change_row(tx, row.id, {"slot": records.place(row.destination, due)})
        await records.put_destination(tx, failed)
    async with sender.running():
        await until(lambda: _rests(sender, due))
        await sender.depart(_CAROL)
        await smtp.got(1)
    assert smtp.messages[0].recipients == [_CAROL]


# ---------------------------------------------------------------- twice, or never


async def test_a_message_that_is_found_once_more_in_the_log_is_not_queued_again(
    tmp_path: Path, smtp: Peer
) -> None:
    """Also where one of its destinations has it already, whose row is gone."""
    async with world(tmp_path, smtp.url) as sender:
        smtp.rules.append(on("RCPT", "451 4.2.0 later"))
        async with sender.running():
            await sender.depart("alice@example.com", _BOB)
            await until(lambda: _attempts(sender, 1))
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
        await until(lambda: _failures(sender, 1))
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
        await until(lambda: _queued(sender, 1))
        await _operations(sender).drop(Selected())
        await sender.empty()
    async with sender.app.store.read(sender.alice.account) as snapshot:
        (found,) = await snapshot.get(SUBMISSION, ["s1"])
    assert (found["undoStatus"], found["deliveryStatus"][_BOB]["delivered"]) == ("final", "no")


async def _attempts(sender: World, count: int) -> bool:
    return [row.attempts for row in await sender.rows()] == [count]


async def _queued(sender: World, count: int) -> bool:
    return len(await sender.rows()) == count


async def _failures(sender: World, count: int) -> bool:
    return [one.failures for one in await sender.destinations()] == [count]


async def _rests(sender: World, due: str) -> bool:
    return [one.due for one in await sender.destinations()] == [due]
