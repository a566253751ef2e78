"""The outgoing queue against a real SMTP peer that does what it should, and what it should not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import jmap
from sending.peer import DROP, Peer, on, peer
from sending.queue_states import attempts, emails, failures, queued
from sending.world import World, world
from veredus.formats.mime.message import parse
from veredus.formats.report import parse_report
from veredus.ports import Address
from waiting import until


@pytest.fixture(params=jmap.DURABLE)
async def sender(request: pytest.FixtureRequest, tmp_path: Path, smtp: Peer) -> AsyncIterator[World]:
    async with world(tmp_path, smtp.url, store=request.param) as it:
        yield it


async def test_a_message_leaves_without_its_bcc_and_nothing_stays(sender: World, smtp: Peer) -> None:
    async with sender.running():
        await sender.depart("bob@example.org", "secret@example.net")
        await sender.empty()
    assert [it.recipients for it in smtp.messages] == [["bob@example.org", "secret@example.net"]]
    assert b"secret" not in smtp.messages[0].data
    assert b"Subject: Hello" in smtp.messages[0].data
    assert await sender.destinations() == []


async def test_what_left_while_nobody_sent_is_sent_later(sender: World, smtp: Peer) -> None:
    for number in range(3):
        await sender.depart(f"r{number}@example.org")
    async with sender.running():
        await sender.empty()
    assert sorted(it.recipients[0] for it in smtp.messages) == [f"r{n}@example.org" for n in range(3)]


async def test_a_temporary_failure_is_tried_again_later_and_later(sender: World, smtp: Peer) -> None:
    smtp.rules.append(on("RCPT", "451 4.7.1 greylisted", times=2))
    async with sender.running():
        await sender.depart("bob@example.org")
        await until(lambda: attempts(sender, 1))
        sender.advance(seconds=299)
        assert (await sender.rows())[0].recipients[0].reply == "451 4.7.1 greylisted"
        sender.advance(seconds=2)
        await until(lambda: attempts(sender, 2))
        assert smtp.messages == []
        sender.advance(seconds=601)
        await sender.empty()
    assert len(smtp.messages) == 1


async def test_one_refused_recipient_does_not_keep_the_others_from_getting_it(
    sender: World, smtp: Peer
) -> None:
    smtp.rules.append(on("RCPT", "550 5.1.1 nobody", contains="bob"))
    async with sender.running():
        await sender.depart("bob@example.org", "carol@example.org")
        await sender.empty()
    assert smtp.messages[0].recipients == ["carol@example.org"]
    (report,) = await sender.inbox()
    assert report["subject"] == "Your message could not be delivered"
    assert "bob@example.org" in report["preview"]


async def test_a_host_that_breaks_off_after_the_text_gets_it_once_more_at_most(
    sender: World, smtp: Peer
) -> None:
    smtp.rules.append(on("end", DROP))
    async with sender.running():
        await sender.depart("bob@example.org")
        await until(lambda: attempts(sender, 1))
        sender.advance(hours=1)
        await until(lambda: attempts(sender, 2))
        sender.advance(hours=1)
        await sender.empty()
    assert smtp.mails == 2
    assert len(await sender.inbox()) == 1


async def test_what_was_canceled_in_time_is_never_sent(sender: World, smtp: Peer) -> None:
    async with sender.running():
        canceled = await sender.depart("bob@example.org", delay=10)
        kept = await sender.depart("carol@example.org", delay=10)
        await until(lambda: queued(sender, 2))
        sender.advance(seconds=9)
        assert await sender.cancel(canceled)
        await until(lambda: queued(sender, 1))
        assert smtp.messages == []
        sender.advance(seconds=1)
        await sender.empty()
        assert not await sender.cancel(kept)
    assert [it.recipients for it in smtp.messages] == [["carol@example.org"]]


async def test_what_was_canceled_while_nobody_sent_is_never_sent(sender: World, smtp: Peer) -> None:
    canceled = await sender.depart("bob@example.org", delay=1)
    async with sender.running():
        await until(lambda: queued(sender, 1))
    assert await sender.cancel(canceled)
    sender.advance(seconds=60)
    async with sender.running():
        await sender.empty()
    assert smtp.messages == []


async def test_a_recipient_here_is_delivered_without_a_relay(sender: World, smtp: Peer) -> None:
    async with sender.running():
        await sender.depart("alice@example.com", "bob@example.org")
        await sender.empty()
    assert [it.recipients for it in smtp.messages] == [["bob@example.org"]]
    assert [email["subject"] for email in await sender.inbox()] == ["Hello"]


async def test_many_messages_for_a_dead_host_cost_an_attempt_and_a_row_each(tmp_path: Path) -> None:
    async with peer() as gone:
        url = gone.url
    async with world(tmp_path, url) as sender:
        for number in range(100):
            await sender.depart(f"r{number}@example.org")
        async with sender.running():
            await until(lambda: failures(sender, 1))
            assert sender.queue.counts.unreachable == 1
            sender.advance(seconds=301)
            await until(lambda: failures(sender, 2))
            assert sender.queue.counts.unreachable == 2
            assert len(await sender.rows()) == 100


async def test_what_is_late_is_told_of_and_what_is_over_comes_back(tmp_path: Path) -> None:
    async with peer() as gone:
        url = gone.url
    async with world(tmp_path, url) as sender, sender.running():
        await sender.depart("bob@example.org")
        await until(lambda: failures(sender, 1))
        sender.advance(hours=5)
        await until(lambda: emails(sender, 1))
        sender.advance(days=1)
        await until(lambda: failures(sender, 3))
        sender.advance(days=5)
        await sender.empty()
        late, over = await sender.inbox()
        report = await sender.app.blobs.get(over["blobId"])
    assert (late["subject"], over["subject"]) == (
        "Your message is delayed",
        "Your message could not be delivered",
    )
    assert report is not None
    assert b"\r\nStatus: 5.4.7\r\n" in report
    assert b"will not be tried again" in report


async def test_who_is_nobody_in_a_domain_of_ours_is_refused_here(sender: World, smtp: Peer) -> None:
    """A smart host would only send it back to us."""
    await sender.app.domains.add("example.com")
    async with sender.running():
        await sender.depart("ghost@Example.com", "bob@below.example.com")
        await sender.empty()
    assert [it.recipients for it in smtp.messages] == [["bob@below.example.com"]]
    (report,) = await sender.inbox()
    data = await sender.app.blobs.get(report["blobId"])
    assert data is not None
    assert b"\r\nStatus: 5.1.1\r\n" in data


async def test_nobody_is_told_who_does_not_want_to_be(sender: World, smtp: Peer) -> None:
    smtp.rules.append(on("RCPT", "550 5.1.1 nobody"))
    async with sender.running():
        await sender.depart(Address("bob@example.org", {"NOTIFY": "NEVER"}))
        await sender.depart("bob@example.org", sender=Address(""))
        await sender.empty()
    assert await sender.inbox() == []


@pytest.mark.parametrize(("has_dsn", "told"), [(True, []), (False, ["Your message was passed on"])])
async def test_who_wants_to_hear_of_success_is_told_by_the_last_host_that_can(
    sender: World, smtp: Peer, has_dsn: bool, told: list[str]
) -> None:
    """RFC 3461 §5.2.2: a host with DSN reports by itself; of one without it we are the last to know."""
    smtp.extensions = [name for name in smtp.extensions if has_dsn or name != "DSN"]
    wants, wants_not = Address("bob@example.org", {"NOTIFY": "SUCCESS"}), "carol@example.org"
    async with sender.running():
        await sender.depart(wants, wants_not)
        await sender.empty()
    assert [email["subject"] for email in await sender.inbox()] == told
    for email in await sender.inbox():
        data = await sender.app.blobs.get(email["blobId"])
        assert data is not None
        report = parse_report(parse(data))
        assert report is not None
        assert [(one.final_recipient, one.action) for one in report.recipients] == [
            ("bob@example.org", "relayed")
        ]
