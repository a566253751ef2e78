"""How messages are given out, settled, given again, given up; and what the end of a reader leaves."""

import asyncio
from typing import Any

import pytest

from bridge.consumer.conftest import Written
from bridge.nats.servers import linked
from veredus.bridge.consumer import (
    ConsumerGone,
    ConsumerMismatch,
    Disconnected,
    EventStream,
    Mail,
    MailStream,
    NoSuchStream,
    SetChange,
)


def sorter(written: Written, **options: Any) -> MailStream:
    return MailStream(written.nc, "JMAP_EMAILS", durable="sorter", **options)


async def take(stream: MailStream, count: int) -> list[Mail]:
    mails: list[Mail] = []
    async with asyncio.timeout(30):
        while len(mails) < count:
            mails.append(await anext(aiter(stream)))
    return mails


async def pending(written: Written) -> tuple[int, int]:
    """Not delivered yet, and delivered but not acknowledged."""
    info = await written.nc.jetstream().consumer_info("JMAP_EMAILS", "sorter")
    return info.num_pending, info.num_ack_pending


async def test_what_was_acknowledged_does_not_come_again(written: Written) -> None:
    for id in ("e1", "e2", "e3"):
        await written.mail(id)
    async with sorter(written) as mails:
        for mail in await take(mails, 2):
            await mail.ack(confirmed=True)
    async with sorter(written) as mails:
        [mail] = await take(mails, 1)
        assert mail.id == "e3"


async def test_what_a_reader_held_and_did_not_look_at_another_gets_at_once(written: Written) -> None:
    for n in range(8):
        await written.mail(f"e{n}")
    async with sorter(written, ack_wait_s=600) as first:
        [mail] = await take(first, 1)
        await mail.ack(confirmed=True)
    async with sorter(written) as second:  # long before the 600 s
        assert {mail.id for mail in await take(second, 7)} == {f"e{n}" for n in range(1, 8)}


async def test_two_readers_share_the_work(written: Written) -> None:
    for n in range(6):
        await written.mail(f"e{n}")
    seen: list[str] = []

    async def work() -> None:
        async with sorter(written, prefetch=1) as mails:
            async for mail in mails:
                seen.append(mail.id)
                await mail.ack(confirmed=True)

    workers = [asyncio.create_task(work()) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(seen) < 6:
            await asyncio.sleep(0.02)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(seen) == [f"e{n}" for n in range(6)]
    assert await pending(written) == (0, 0)


async def test_a_mail_is_not_given_again_while_it_is_worked_on(written: Written) -> None:
    await written.mail("e1")
    async with sorter(written, ack_wait_s=0.6) as mails:
        [mail] = await take(mails, 1)
        coming = asyncio.create_task(anext(aiter(mails)))
        done, _ = await asyncio.wait([coming], timeout=2)
        assert not done
        assert await pending(written) == (0, 1)
        await mail.ack(confirmed=True)
        assert await pending(written) == (0, 0)
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def test_a_mail_that_was_dropped_comes_again(written: Written) -> None:
    await written.mail("e1")
    async with sorter(written, ack_wait_s=0.5) as mails:
        await take(mails, 1)
        [again] = await take(mails, 1)
        assert (again.id, again.deliveries) == ("e1", 2)


async def test_a_mail_that_fails_too_often_is_a_dead_letter(written: Written) -> None:
    await written.mail("e1")
    async with sorter(written, max_deliver=3, dead_letter="sorter.dead") as mails:
        for _ in range(3):
            [mail] = await take(mails, 1)
            await mail.nak()
        stream = written.nc.jetstream()
        async with asyncio.timeout(20):
            while await pending(written) != (0, 0):
                await asyncio.sleep(0.02)
        letter = await stream.get_msg("DEAD", 1)
    assert letter.headers is not None
    assert letter.headers["Jmap-Email-Id"] == "e1"
    assert letter.headers["Jmap-Dead-Reason"] == "failed 3 times"
    assert letter.headers["Jmap-Dead-Sequence"] == "1"
    [dead] = [mail async for mail in MailStream(written.nc, "DEAD", follow=False)]
    assert (dead.id, await dead.text()) == ("e1", "Grüße ☃\n")


async def test_a_mail_that_took_every_reader_down_is_a_dead_letter(written: Written) -> None:
    await written.mail("poison")
    for _ in range(2):
        async with sorter(written, max_deliver=2, dead_letter="sorter.dead", ack_wait_s=0.5) as mails:
            await take(mails, 1)  # and dies, without a word
    await written.mail("good")
    async with sorter(written, max_deliver=2, dead_letter="sorter.dead") as mails:
        [mail] = await take(mails, 1)
        assert mail.id == "good"
        await mail.ack()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await anext(aiter(mails))
    assert (await written.nc.jetstream().get_msg("DEAD", 1)).headers["Jmap-Email-Id"] == "poison"  # type: ignore[index]


async def test_what_no_bridge_wrote_does_not_stop_a_reader_with_dead_letters(written: Written) -> None:
    await written.nc.jetstream().publish("jmap.email.a1", b"hello")
    await written.mail("e1")
    async with sorter(written, dead_letter="sorter.dead") as mails:
        [mail] = await take(mails, 1)
        assert mail.id == "e1"
    assert (await written.nc.jetstream().get_msg("DEAD", 1)).data == b"hello"


async def test_dead_letters_that_no_stream_takes_are_refused_at_the_start(written: Written) -> None:
    async with sorter(written, dead_letter="nobody.takes.this") as mails:
        with pytest.raises(NoSuchStream, match=r"nobody\.takes\.this"):
            await take(mails, 1)


async def test_in_order_nothing_overtakes_what_failed(written: Written) -> None:
    for n in range(3):
        await written.mail(f"e{n}")
    async with sorter(written, in_order=True) as mails:
        [mail] = await take(mails, 1)
        await mail.nak()
        for id in ("e0", "e1", "e2"):
            [mail] = await take(mails, 1)
            assert mail.id == id
            await mail.ack()


async def test_a_consumer_of_another_kind_is_not_taken_over(written: Written) -> None:
    await written.mail("e1")
    await take(sorter(written, accounts=["a1"]), 1)
    with pytest.raises(ConsumerMismatch, match="delete it, or choose another name"):
        await take(sorter(written, accounts=["a9"]), 1)


async def test_a_stream_that_is_not_there_is_named(written: Written) -> None:
    with pytest.raises(NoSuchStream, match="'JMAP_MAILS'"):
        await take(MailStream(written.nc, "JMAP_MAILS"), 1)


async def test_a_consumer_that_was_deleted_ends_the_reading(written: Written) -> None:
    await written.mail("e1")
    async with sorter(written) as mails:
        await take(mails, 1)
        await written.nc.jetstream().delete_consumer("JMAP_EMAILS", "sorter")
        with pytest.raises(ConsumerGone, match="'sorter' is gone"):
            await take(mails, 1)


async def test_reading_goes_on_when_nats_was_restarted(written: Written) -> None:
    """Both kinds: a durable consumer, and one that the server has forgotten."""
    await written.mail("e1")
    durable, plain = sorter(written), MailStream(written.nc, "JMAP_EMAILS")
    async with durable, plain:
        await (await take(durable, 1))[0].ack(confirmed=True)
        await take(plain, 1)
        await written.server.restart()
        async with linked(written.server) as link:
            await Written(written.server, link, written.nc, written.settings).mail("e2")
            for stream in (durable, plain):
                [mail] = await take(stream, 1)
                assert mail.id == "e2"


async def test_a_cancelled_reader_leaves_nothing_behind(written: Written) -> None:
    async def read() -> None:
        async for _ in MailStream(written.nc, "JMAP_EMAILS"):
            raise AssertionError

    task = asyncio.create_task(read())
    stream = written.nc.jetstream()
    async with asyncio.timeout(20):
        while not await stream.consumers_info("JMAP_EMAILS"):
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while await stream.consumers_info("JMAP_EMAILS"):
            await asyncio.sleep(0.02)


async def test_a_batch_may_wait_for_a_while_and_go_on(written: Written) -> None:
    async with sorter(written) as mails:
        assert await mails.next(0.3) is None
        await written.mail("e1")
        await written.mail("e2")
        async with asyncio.timeout(20):
            found = [await mails.next(10), await mails.next(10)]
        assert [mail.id for mail in found if mail] == ["e1", "e2"]
        assert await mails.next(0.1) is None


async def test_a_closed_connection_is_told(written: Written) -> None:
    async with MailStream(written.nc, "JMAP_EMAILS") as mails:
        await written.mail("e1")
        await take(mails, 1)
        await written.nc.close()
        with pytest.raises(Disconnected):
            await take(mails, 1)


async def test_events_say_what_changed_and_are_chosen_by_type_and_op(written: Written) -> None:
    await written.event("created", "e1", after={"id": "e1"})
    before, after = {"keywords": {}}, {"id": "e1", "keywords": {"$flagged": True}}
    await written.event("updated", "e1", before=before, after=after)
    await written.event("updated", "m1", type="Mailbox", after={"id": "m1"}, changed=("totalEmails",))
    await written.event("destroyed", "e1", account="a2")
    async with asyncio.timeout(20):
        every = [event async for event in EventStream(written.nc, follow=False)]
        assert [(event.type, event.op) for event in every] == [
            ("Email", "created"), ("Email", "updated"), ("Mailbox", "updated"), ("Email", "destroyed"),
        ]  # fmt: skip
        flagged = every[1]
        assert flagged.changed == {"keywords"}
        assert flagged.change_of("keywords") == SetChange(added=("$flagged",))
        assert flagged.after == after
        assert every[2].changed == {"totalEmails"}
        assert (every[3].account, every[3].after) == ("a2", None)
        chosen = EventStream(written.nc, types=["Email"], ops=["updated", "destroyed"], follow=False)
        assert [event.op async for event in chosen] == ["updated", "destroyed"]
        chosen = EventStream(written.nc, accounts=["a2"], follow=False)
        assert [event.account async for event in chosen] == ["a2"]
