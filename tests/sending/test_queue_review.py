"""The outgoing queue where it may lose mail, send it twice, or stand still."""

import asyncio
from collections.abc import Sequence

import pytest

from sending.peer import Peer, Slow, on
from sending.queue_states import attempts, operations_of, queued, rests
from sending.world import MESSAGE, World
from veredus.app.outgoing import queue_of
from veredus.auth.tables import SYSTEM
from veredus.formats.smtp import Envelope, Reply
from veredus.outgoing import records
from veredus.outgoing.operations import Retried, Selected
from veredus.outgoing.records import NEVER, Destination
from veredus.ports import Unavailable
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
def door(sender: World) -> Doorkeeper:
    door = Doorkeeper(sender)
    sender.queue = queue_of(sender.app, door)
    return door


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


class BrokenKeys:
    """Domains whose keys trip a mistake of ours."""

    async def has(self, domain: str) -> bool:
        return False

    async def sign(self, domain: str, message: bytes) -> bytes:
        if domain == "broken.example":
            raise ValueError("a mistake of ours")
        return b""


_BROKEN = MESSAGE.replace(b"alice@example.com", b"alice@broken.example")


async def test_a_message_that_we_cannot_handle_comes_back_when_its_time_is_over(
    sender: World, smtp: Peer
) -> None:
    sender.app.domains = BrokenKeys()  # type: ignore[assignment]
    sender.queue = queue_of(sender.app, sender.inbound)
    async with sender.running():
        await sender.depart(_BOB, message=_BROKEN)
        await until(lambda: attempts(sender, 1))
        sender.advance(days=6)
        await sender.empty()
    assert smtp.messages == []
    assert [email["subject"] for email in await sender.inbox()] == ["Your message could not be delivered"]


async def test_a_message_that_we_cannot_handle_holds_up_no_other(sender: World, smtp: Peer) -> None:
    real, sender.app.domains = sender.app.domains, BrokenKeys()  # type: ignore[assignment]
    sender.queue = queue_of(sender.app, sender.inbound)
    async with sender.running():
        await sender.depart(_BOB, message=_BROKEN)
        await sender.depart(_CAROL)
        await smtp.got(1)
        await until(lambda: attempts(sender, 1))
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
        await until(lambda: attempts(sender, 2))
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
        assert await operations_of(sender).drop(Selected()) == 1
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
        assert await getattr(operations_of(sender), act)(Selected([second])) == 1
        door.opened.set()
        await until(lambda: queued(sender, 0 if act == "drop" else 1))
    assert door.deliveries == 1
    if act == "hold":
        async with sender.running():
            assert await operations_of(sender).retry(Selected([second])) == Retried(1, 0)
            sender.advance(seconds=1)
            await sender.empty()
        assert door.deliveries == 2


async def test_who_ends_a_hold_does_not_send_before_the_time_that_its_sender_has_set(
    sender: World, smtp: Peer
) -> None:
    operations = operations_of(sender)
    async with sender.running():
        await sender.depart(_BOB, delay=3600)
        await until(lambda: queued(sender, 1))
        await operations.hold(Selected())
        assert await operations.retry(Selected()) == Retried(0, 1)
        (row,) = await sender.rows()
        assert row.due == row.send_at
        dead = Destination(id=row.destination, due=row.due, failures=1, reply="451 dead")
        async with sender.app.store.write(SYSTEM) as tx:
            await records.put_destination(tx, dead)
        (shown,) = await operations.listing(Selected(), 9)
        assert shown["waitsFor"] is None  # but for its sender
        sender.advance(seconds=3600)
        (shown,) = await operations.listing(Selected(), 9)
        assert shown["waitsFor"] == "1 failure: 451 dead"
        sender.advance(seconds=1)
        await sender.empty()
    assert len(smtp.messages) == 1


@pytest.mark.parametrize("due", [NEVER, "2500-01-01T00:00:00Z"])
async def test_what_is_held_at_a_destination_that_failed_once_does_not_hold_up_what_comes(
    sender: World, smtp: Peer, due: str
) -> None:
    async with sender.running():
        await sender.depart(_BOB, delay=9)
        await until(lambda: queued(sender, 1))
    (row,) = await sender.rows()
    now = sender.clock.now()
    failed = Destination(id=row.destination, due=utc_date(now), failures=3, reply="451 dead")
    async with sender.app.store.write(SYSTEM) as tx:
        await records.change_row(tx, row.id, {"slot": records.place(row.destination, due)})
        await records.put_destination(tx, failed)
    async with sender.running():
        await until(lambda: rests(sender, due))
        await sender.depart(_CAROL)
        await smtp.got(1)
    assert smtp.messages[0].recipients == [_CAROL]
