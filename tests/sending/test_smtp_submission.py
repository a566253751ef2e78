"""Message submission over real sockets: what is taken from users, and what leaves (RFC 6409)."""

import smtplib
from datetime import datetime, timedelta
from email import message_from_bytes

import pytest

from jmap import Jmap
from sending.submitter import TEXT, Submitter, departures, only
from veredus.app import App
from veredus.delivery.submitted import Policy
from veredus.reception import Limits


async def test_smtplib_submits(alice: Jmap, submitter: Submitter) -> None:
    recipients = ["bob@example.org", "carol@example.org"]
    assert await submitter.on(lambda smtp: smtp.sendmail("alice@example.com", recipients, TEXT)) == {}
    departure, data = await only(alice)
    assert departure.sender.email == "alice@example.com"
    assert [recipient.email for recipient in departure.recipients] == recipients
    assert (departure.origin, departure.is_held) == ("smtp", False)
    assert data.startswith(b"Received: by mx.example.com with ESMTPA id ")
    assert data.endswith(TEXT.encode())


async def test_what_the_message_lacks_is_added(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(
        lambda smtp: smtp.sendmail("a.liddell@example.com", "b@example.org", "Subject: x\n\nhi\n")
    )
    _, data = await only(alice)
    message = message_from_bytes(data)
    assert message["From"] == "<a.liddell@example.com>"
    assert message["Message-ID"].endswith("@mail.example.com>") or message["Message-ID"].endswith(
        "@mx.example.com>"
    )
    assert message["Date"]
    assert message.keys()[0] == "Received"
    assert message.get_payload() == "hi\r\n"
    assert message["Return-Path"] is None


async def test_nobody_learns_from_where_it_was_sent(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(lambda smtp: smtp.sendmail("alice@example.com", "b@example.org", TEXT))
    _, data = await only(alice)
    assert b"laptop" not in data
    assert b"127.0.0.1" not in data


async def test_wishes_go_with_the_message(alice: Jmap, submitter: Submitter) -> None:
    def send(smtp: smtplib.SMTP) -> None:
        smtp.sendmail(
            "alice@example.com",
            ["b@example.org"],
            TEXT,
            mail_options=["RET=HDRS", "ENVID=x+2By", "HOLDFOR=600", "SMTPUTF8", "BODY=8BITMIME"],
            rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;b@example.org"],
        )

    await submitter.on(send)
    departure, data = await only(alice)
    assert departure.sender.parameters == {"RET": "HDRS", "ENVID": "x+y", "SMTPUTF8": None}
    assert departure.recipients[0].parameters == {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;b@example.org"}
    assert departure.is_held
    held = datetime.fromisoformat(departure.send_at) - datetime.fromisoformat(departure.created_at)
    assert timedelta(seconds=600) <= held <= timedelta(seconds=601)
    assert b"with UTF8SMTPA id" in data


async def test_a_time_that_has_passed_holds_nothing(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(
        lambda smtp: smtp.sendmail(
            "alice@example.com", "b@example.org", TEXT, mail_options=["HOLDUNTIL=2020-01-01T00:00:00Z"]
        )
    )
    departure, _ = await only(alice)
    assert not departure.is_held
    assert departure.send_at == departure.created_at


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("alice@example.com", "250"),
        ("ALICE@Example.com", "250"),
        ("alice+tag@example.com", "250"),
        ("a.liddell@example.com", "250"),
        ("team@example.com", "250"),
        ("", "250"),
        ("bob@example.com", "550"),  # may be read, not written
        ("alice@example.org", "550"),
        ("nobody@example.com", "550"),
    ],
)
async def test_users_send_from_their_own_addresses(submitter: Submitter, sender: str, reply: str) -> None:
    assert await submitter.raw(f"MAIL FROM:<{sender}>".encode()) == [reply]


async def test_what_is_sent_for_a_team_leaves_its_account(
    app: App, alice: Jmap, submitter: Submitter
) -> None:
    text = TEXT.replace("alice@", "team@")
    await submitter.on(lambda smtp: smtp.sendmail("team@example.com", "b@example.org", text))
    assert await departures(alice) == []
    team = await app.directory.resolve("team@example.com")
    departure, _ = await only(alice, team)
    assert departure.sender.email == "team@example.com"


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        (b"From: alice@example.com\r\nSender: team@example.com", "250"),
        (b"From: Alice <alice+x@example.com>, team@example.com", "250"),
        (b"From: bob@example.com", "550"),
        (b"From: alice@example.com\r\nSender: bob@example.com", "550"),
        (b"From: alice@example.com, ceo@example.org", "550"),
        (b"From: undisclosed:;", "550"),
        (b"From: nonsense", "550"),
        (b"From: alice@example.com\r\nFrom: ceo@example.org", "554"),
        (b"Subject: a\r\nSubject: b", "554"),
        (b"no header field", "554"),
    ],
)
async def test_the_author_must_be_the_user(submitter: Submitter, fields: bytes, reply: str) -> None:
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"DATA", fields, b"", b"hi", b"."]
    assert await submitter.raw(*lines) == ["250", "250", "354", reply]


async def test_a_message_without_an_author_or_a_sender_is_none(submitter: Submitter) -> None:
    lines = [b"MAIL FROM:<>", b"RCPT TO:<b@example.org>", b"DATA", b"Subject: x", b"", b"hi", b"."]
    assert await submitter.raw(*lines) == ["250", "250", "354", "554"]


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("b@example.org", "250"),
        ("bob@example.com", "250"),
        ("alice+tag@example.com", "250"),
        ("nobody@example.com", "550"),
        ("postmaster", "550"),
        ("b@-", "501"),
        ("two@at@example.org", "501"),
    ],
)
async def test_recipients(submitter: Submitter, recipient: str, reply: str) -> None:
    replies = await submitter.raw(b"MAIL FROM:<alice@example.com>", f"RCPT TO:<{recipient}>".encode())
    assert replies == ["250", reply]


@pytest.mark.parametrize(
    ("sends", "replies"), [("off", ["550", "503", "503"]), ("local", ["250", "550", "250"])]
)
async def test_a_server_that_sends_to_few(app: App, alice: Jmap, sends: str, replies: list[str]) -> None:
    async def is_ours(domain: str) -> bool:
        return False

    submitter = Submitter(app, alice)
    await submitter.start(Policy("mx.example.com", sends, is_ours))  # type: ignore[arg-type]
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"RCPT TO:<bob@example.com>"]
    assert await submitter.raw(*lines) == replies
    await submitter.server.close(timeout_s=0)


async def test_lines_end_in_crlf_whatever_was_sent(alice: Jmap, submitter: Submitter) -> None:
    body = b"one\n.\ntwo\rthree\r\n"
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>"]
    message = TEXT.encode() + body
    assert (await submitter.raw(*lines, b"BDAT %d LAST\r\n" % len(message) + message + b"NOOP"))[:3] == [
        "250"
    ] * 3
    _, data = await only(alice)
    assert data.endswith(b"hi\r\none\r\n.\r\ntwo\r\nthree\r\n")


async def test_limits(app: App, alice: Jmap) -> None:
    submitter = Submitter(app, alice)
    await submitter.start(limits=Limits(message_size=1000, recipients=2))
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@x.example>", b"RCPT TO:<c@x.example>"]
    text = [b"DATA", b"Subject: x", b"", b"x" * 1000, b"."]
    assert await submitter.raw(b"MAIL FROM:<alice@example.com> SIZE=1001") == ["552"]
    replies = ["250", "250", "250", "452", "354", "552"]
    assert await submitter.raw(*lines, b"RCPT TO:<d@x.example>", *text) == replies
    await submitter.server.close(timeout_s=0)


async def test_a_whole_session_in_one_packet(alice: Jmap, submitter: Submitter) -> None:
    one = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"DATA", TEXT.encode() + b"."]
    assert await submitter.raw(*one * 3) == ["250", "250", "354", "250"] * 3
    assert len(await departures(alice)) == 3
