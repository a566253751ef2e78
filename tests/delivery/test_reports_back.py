"""Reports that come back to alice are shown to her and told to her EmailSubmission (RFC 8621 §7)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from delivery.world import World
from veredus.formats.report import (
    Disposition,
    Mdn,
    Notice,
    Notification,
    Recipient,
    write_dsn,
    write_mdn,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ORIGINAL = b"From: alice@example.com\r\nMessage-ID: <sent1@mx.example.com>\r\nSubject: Hi\r\n\r\nText\r\n"
CAROL = "Carol@example.org"


async def _submit(world: World) -> None:
    async with world.app.store.write(world.alice) as tx:
        status = {"smtpReply": "250 2.0.0 Queued", "delivered": "queued", "displayed": "unknown"}
        await tx.put(
            "EmailSubmission",
            {
                "id": "z1",
                "identityId": "i1",
                "emailId": "e1",
                "threadId": "t1",
                "envelope": None,
                "sendAt": "2026-01-05T00:00:00Z",
                "undoStatus": "final",
                "deliveryStatus": {CAROL: status},
                "dsnBlobIds": [],
                "mdnBlobIds": [],
                "departureId": "",
                "messageId": "sent1@mx.example.com",
            },
        )


async def _submission(world: World) -> dict[str, Any]:
    async with world.app.store.read(world.alice) as snapshot:
        [record] = await snapshot.get("EmailSubmission", ["z1"])
    return record


def _dsn(original: bytes = ORIGINAL, **notice: Any) -> bytes:
    recipient = Recipient(
        final_recipient=CAROL.lower(), action="failed", status="5.1.1", diagnostic="550 5.1.1 No such user"
    )
    values = {
        "hostname": "mx.example.org",
        "to": "alice@example.com",
        "recipients": (recipient,),
        "message_id": "d1@mx.example.org",
        "date": NOW,
        **notice,
    }
    return write_dsn(Notice(**values), original)


MDN = Mdn(
    final_recipient=CAROL,
    original_message_id="sent1@mx.example.com",
    disposition=Disposition("manual-action", "mdn-sent-manually", "displayed"),
)


@pytest.mark.parametrize("by", ["its envelope id", "the Message-ID of what it returns"])
async def test_a_bounce_is_linked_and_stays_an_email(every: World, by: str) -> None:
    world = every
    await _submit(world)
    report = _dsn(b"Subject: x\r\n\r\n", envelope_id="z1") if by == "its envelope id" else _dsn()
    [reply] = await world.deliver(report, sender="")
    assert reply.is_success
    [email] = await world.emails()
    record = await _submission(world)
    assert record["dsnBlobIds"] == [email["blobId"]]
    assert record["deliveryStatus"] == {
        CAROL: {"smtpReply": "550 5.1.1 No such user", "delivered": "no", "displayed": "unknown"}
    }
    assert await world.stored() == ["Inbox"]


@pytest.mark.rfc("8621", "7")
@pytest.mark.must
@pytest.mark.parametrize(
    ("diagnostic", "reply"),
    [
        (None, "550 5.1.1 failed"),
        ("unknown user", "550 5.1.1 unknown user"),
        ("550 No such user", "550 No such user"),
    ],
)
async def test_a_reply_has_the_form_of_smtp_whatever_the_report_says(
    world: World, diagnostic: str | None, reply: str
) -> None:
    await _submit(world)
    recipient = Recipient(final_recipient=CAROL, action="failed", status="5.1.1", diagnostic=diagnostic)
    await world.deliver(_dsn(recipients=(recipient,)), sender="")
    status = (await _submission(world))["deliveryStatus"][CAROL]
    assert (status["smtpReply"], status["delivered"]) == (reply, "no")


async def test_a_receipt_is_linked(world: World) -> None:
    await _submit(world)
    receipt = Notification(
        sender=CAROL,
        to=("alice@example.com",),
        subject="Read",
        text="Read.",
        message_id="r1@x",
        date=NOW,
        mdn=MDN,
    )
    await world.deliver(write_mdn(receipt, None), sender=CAROL)
    [email] = await world.emails()
    record = await _submission(world)
    assert (record["mdnBlobIds"], record["dsnBlobIds"]) == ([email["blobId"]], [])
    assert record["deliveryStatus"][CAROL]["displayed"] == "yes"


async def test_a_report_on_what_another_has_sent_is_mail_like_any(world: World) -> None:
    await _submit(world)
    await world.deliver(_dsn(b"Message-ID: <other2@x>\r\n\r\n", envelope_id="z9"), sender="")
    assert (await _submission(world))["dsnBlobIds"] == []
    assert await world.stored() == ["Inbox"]


async def test_what_a_report_says_is_true_though_the_script_throws_it_away(world: World) -> None:
    await _submit(world)
    await world.script("discard;")
    await world.deliver(_dsn(), sender="")
    record = await _submission(world)
    assert record["deliveryStatus"][CAROL]["delivered"] == "no"


async def test_a_report_is_answered_by_nobody(world: World) -> None:
    await world.vacation(textBody="Away")
    await world.deliver(_dsn(), sender="mailer@example.org")
    assert await world.sent() == []
