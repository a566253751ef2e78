"""Reports written and read again: delivery status (RFC 3464, RFC 6533) and MDN (RFC 8098) notifications."""

import time
import unicodedata
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from veredus.formats.mime.message import Message, parse
from veredus.formats.report import (
    Disposition,
    Mdn,
    Notice,
    Notification,
    Recipient,
    extension_problem,
    parse_report,
    write_dsn,
    write_mdn,
)

NOW = datetime(2026, 11, 21, 21, 20, tzinfo=UTC)
FAILED = Recipient(
    final_recipient="bob@b.example",
    original_recipient="Bob@c.example",
    action="failed",
    status="5.1.1",
    diagnostic="550 5.1.1 No such user",
    remote_mta="mx.b.example",
)
NOTICE = Notice(
    hostname="mx.a.example",
    to="joe@a.example",
    recipients=(FAILED,),
    message_id="1@mx.a.example",
    date=NOW,
    envelope_id="QQ 1+1",
    arrived_at=NOW,
    retry_until=NOW,
)
ORIGINAL = b"Received: by x\r\nMessage-ID: <a@a.example>\r\nSubject: Hi\r\n there\r\n\r\nSecret\r\n"
MDN = Mdn(
    final_recipient="rfc822; joe@a.example",
    original_recipient="rfc822; team@a.example",
    original_message_id="a@b.example",
    disposition=Disposition("manual-action", "mdn-sent-manually", "displayed"),
    reporting_ua="joes-pc.cs.example.com; Foomail 97.1",
    extension_fields={"X-Shown-On": "a small screen"},
)
NOTIFICATION = Notification(
    sender="joe@a.example",
    sender_name="Joe Bloggs",
    to=("bob@b.example",),
    subject="Read: Hi",
    text="I have seen it.\n",
    message_id="2@a.example",
    date=NOW,
    mdn=MDN,
)


def types(message: Message) -> list[str]:
    return [part.type for part in message.root.walk()[1:]]


def test_a_notice_of_failure_says_who_and_why_to_people_and_to_programs() -> None:
    written = write_dsn(NOTICE, ORIGINAL).decode()
    header, _, body = written.partition("\r\n\r\n")
    boundary = parse(written.encode()).root.boundary
    assert boundary is not None
    assert header.split("\r\n")[:7] == [
        "From: Mail Delivery System <mailer-daemon@mx.a.example>",
        "To: joe@a.example",
        "Subject: Your message could not be delivered",
        "Message-ID: <1@mx.a.example>",
        "Date: Sat, 21 Nov 2026 21:20:00 +0000",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
    ]
    text, status, returned = body.split(f"--{boundary.decode()}\r\n")[1:]
    assert text.partition("\r\n\r\n")[2] == (
        "This is the mail system at mx.a.example.\r\n\r\n"
        "Your message could not be delivered to:\r\n\r\n"
        "  <bob@b.example>\r\n    mx.b.example said: 550 5.1.1 No such user\r\n\r\n"
        "The header of your message is attached.\r\n\r\n"
    )
    assert status == (
        "Content-Type: message/delivery-status\r\n\r\n"
        "Original-Envelope-Id: QQ 1+1\r\n"
        "Reporting-MTA: dns; mx.a.example\r\n"
        "Arrival-Date: Sat, 21 Nov 2026 21:20:00 +0000\r\n\r\n"
        "Original-Recipient: rfc822; Bob@c.example\r\n"
        "Final-Recipient: rfc822; bob@b.example\r\n"
        "Action: failed\r\n"
        "Status: 5.1.1\r\n"
        "Remote-MTA: dns; mx.b.example\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n\r\n"
    )
    assert returned.startswith("Content-Type: text/rfc822-headers\r\n\r\nReceived: by x\r\n")
    assert "Secret" not in written


@pytest.mark.parametrize(
    ("action", "full", "size", "whole"),
    [
        ("failed", True, 0, True),
        ("failed", False, 0, False),
        ("failed", True, 300_000, False),
        ("delayed", True, 0, False),
    ],
)
def test_the_whole_message_goes_back_only_where_it_failed_was_asked_for_and_is_small(
    action: str, full: bool, size: int, whole: bool
) -> None:
    notice = replace(NOTICE, recipients=(replace(FAILED, action=action),), full=full)
    message = parse(write_dsn(notice, ORIGINAL + b"x" * size))
    assert types(message)[2] == ("message/rfc822" if whole else "text/rfc822-headers")
    assert (b"Secret" in message.data) == whole
    report = parse_report(message)
    assert report is not None
    assert report.message_id == "a@a.example"


def test_a_delay_tells_until_when_it_is_tried() -> None:
    notice = replace(
        NOTICE, recipients=(FAILED, replace(FAILED, final_recipient="al@b.example", action="delayed"))
    )
    written = write_dsn(notice, ORIGINAL)
    assert b"It will be tried again until 2026-11-21 21:20 UTC." in written
    assert written.count(b"Will-Retry-Until: Sat, 21 Nov 2026 21:20:00 +0000\r\n") == 1
    report = parse_report(parse(written))
    assert report is not None
    assert [recipient.action for recipient in report.recipients] == ["failed", "delayed"]


def test_addresses_outside_ascii_make_it_a_global_report() -> None:
    recipient = Recipient(final_recipient="jöé@bücher.example", action="failed", status="5.1.1")
    message = parse(write_dsn(replace(NOTICE, recipients=(recipient,)), "Subject: héllo\r\n\r\n".encode()))
    assert types(message)[1:] == ["message/global-delivery-status", "message/global-headers"]
    report = parse_report(message)
    assert report is not None
    assert report.recipients == (recipient,)


def test_a_header_that_is_no_utf_8_is_sent_back_encoded() -> None:
    header = b"Subject: h\xe9llo\r\n"
    message = parse(write_dsn(NOTICE, header + b"\r\nHi\r\n"))
    assert types(message)[2] == "text/rfc822-headers"
    assert message.data.isascii()
    assert message.root.sub_parts[2].content() == header


def test_a_notice_to_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a recipient"):
        write_dsn(replace(NOTICE, recipients=()), ORIGINAL)


# What is read is in NFC.
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30).filter(
    partial(unicodedata.is_normalized, "NFC")
)
ADDRESSES = st.from_regex(r"[a-z0-9.!#$+-]{1,20}@[a-z]{1,10}\.example", fullmatch=True)
RECIPIENTS = st.builds(
    Recipient,
    final_recipient=ADDRESSES,
    original_recipient=st.none() | ADDRESSES,
    action=st.sampled_from(["failed", "delayed", "delivered", "relayed", "expanded"]),
    status=st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    diagnostic=st.none()
    | st.just("450 4.2.0 later")
    | st.from_regex(r"[A-Z][a-z ]{1,200}[a-z]", fullmatch=True),
    remote_mta=st.none() | st.from_regex(r"[a-z]{1,9}\.example", fullmatch=True),
)


@given(st.lists(RECIPIENTS, min_size=1, max_size=5, unique_by=lambda r: r.final_recipient), st.booleans())
def test_what_is_written_of_delivery_is_read_again(recipients: list[Recipient], full: bool) -> None:
    recipients = [
        replace(found, diagnostic=found.diagnostic and " ".join(found.diagnostic.split()))
        for found in recipients
    ]
    report = parse_report(
        parse(write_dsn(replace(NOTICE, recipients=tuple(recipients), full=full), ORIGINAL))
    )
    assert report is not None
    assert report.recipients == tuple(recipients)
    assert (report.kind, report.envelope_id, report.reporting_mta) == ("dsn", "QQ 1+1", "mx.a.example")
    assert report.message_id == "a@a.example"


@given(st.text(max_size=3_000), st.binary(max_size=300))
def test_nothing_that_a_peer_says_adds_a_field_or_a_part(said: str, original: bytes) -> None:
    evil = replace(FAILED, diagnostic=said, remote_mta=said, original_recipient=said or None)
    message = parse(write_dsn(replace(NOTICE, recipients=(evil,), envelope_id=said), original))
    assert len(types(message)) == 3
    report = parse_report(message)
    assert report is not None
    assert [(found.final_recipient, found.action) for found in report.recipients] == [
        ("bob@b.example", "failed")
    ]
    assert max(map(len, message.data.split(b"\r\n\r\n--")[0].split(b"\r\n"))) <= 998


def test_a_disposition_is_written_in_the_order_of_the_rfc() -> None:
    message = parse(write_mdn(NOTIFICATION, None))
    assert types(message) == ["text/plain", "message/disposition-notification"]
    assert message.root.sub_parts[1].content().decode().split("\r\n")[:-1] == [
        "Reporting-UA: joes-pc.cs.example.com; Foomail 97.1",
        "Original-Recipient: rfc822; team@a.example",
        "Final-Recipient: rfc822; joe@a.example",
        "Original-Message-ID: <a@b.example>",
        "Disposition: manual-action/mdn-sent-manually; displayed",
        "X-Shown-On: a small screen",
    ]
    fields = {header.name: header.value.strip() for header in message.headers}
    assert fields["From"] == "Joe Bloggs <joe@a.example>"
    assert fields["In-Reply-To"] == fields["References"] == "<a@b.example>"


def test_a_disposition_may_bring_the_message_back() -> None:
    message = parse(write_mdn(NOTIFICATION, ORIGINAL))
    assert types(message)[2] == "message/rfc822"
    assert message.root.sub_parts[2].content() == ORIGINAL


@given(
    st.builds(
        Mdn,
        final_recipient=ADDRESSES.map("rfc822; {}".format),
        original_recipient=st.none() | ADDRESSES.map("rfc822; {}".format),
        original_message_id=st.none() | ADDRESSES,
        disposition=st.builds(
            Disposition,
            st.sampled_from(["manual-action", "automatic-action"]),
            st.sampled_from(["mdn-sent-manually", "mdn-sent-automatically"]),
            st.sampled_from(["deleted", "dispatched", "displayed", "processed"]),
            st.lists(st.sampled_from(["error", "x-new"]), unique=True).map(tuple),
        ),
        reporting_ua=st.none() | LINES.filter(lambda text: "=?" not in text),
        errors=st.just(()) | st.just(("too large",)),
        extension_fields=st.dictionaries(
            st.from_regex(r"X-[a-z]{1,10}", fullmatch=True), st.just("a b"), max_size=3
        ),
    )
)
def test_what_is_written_of_disposition_is_read_again(mdn: Mdn) -> None:
    report = parse_report(parse(write_mdn(replace(NOTIFICATION, mdn=mdn), None)))
    assert report is not None
    assert report.mdn == mdn
    assert f"rfc822; {report.mdn.final_address}" == mdn.final_recipient
    assert (report.kind, report.message_id, report.text) == (
        "mdn",
        mdn.original_message_id,
        "I have seen it.\n",
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"X-A": "b"}, None),
        ({"X A": "b"}, "not the name of a header field"),
        ({"disposition": "x"}, "has a property of its own"),
        ({"X-A": "b\r\nX-C: d"}, "must be one line"),
        ({"X-A": "b" * 2_000}, "must be one line of at most 1000"),
        ({"X-A": "b" * 950}, "must not have a word of more than 900"),
    ],
)
def test_extension_fields_are_checked(fields: dict[str, str], problem: str | None) -> None:
    found = extension_problem(fields)
    assert (problem is None and found is None) or (
        found is not None and problem is not None and problem in found
    )


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/report; boundary=x\n",
        b"From: MAILER-DAEMON\n",
        b"\n",
        b"\n--x\n",
        b"--x--\n",
        b"Content-Type: message/delivery-status\n",
        b"Content-Type: message/disposition-notification\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Transfer-Encoding: base64\n",
        b"Final-Recipient: rfc822;a@b.example\n",
        b"Disposition: ;/,\n",
        b"Status: 9.9\n",
        b"<a@b.example>: undeliverable\n",
        b"Final-Recipient: ;\r",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=40), max_size=40).map(b"".join), st.booleans())
def test_nothing_makes_the_reader_fail(data: bytes, null_sender: bool) -> None:
    report = parse_report(parse(data), null_sender=null_sender)
    assert report is None or report.kind in ("dsn", "mdn")


def test_a_report_that_repeats_itself_without_end_is_bounded() -> None:
    block = b"\nFinal-Recipient: rfc822; a%d@b.example\nAction: failed\nStatus: 5.0.0\n"
    status = b"".join(block % number for number in range(50_000))
    start = b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
    report = parse_report(parse(start + status + b"\n--x--\n"))
    assert report is not None
    assert len(report.recipients) == 1_000


def test_one_that_failed_in_any_block_has_failed() -> None:
    start = b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
    blocks = b"".join(
        b"Final-Recipient: rfc822; a@b.example\nAction: %b\nStatus: 4.4.7\n\n" % action
        for action in (b"delayed", b"failed (really)", b"delayed")
    )
    report = parse_report(parse(start + blocks + b"--x--\n"))
    assert report is not None
    assert [(found.action, found.status) for found in report.recipients] == [("failed", "4.4.7")]


@pytest.mark.parametrize(
    "run", [b" ", b"\n ", b"a", b"a@b.", b"<", b"(", b"user ", b"&lt;", b"Received: x\n y\n"]
)
def test_a_long_run_of_anything_takes_no_long_time(run: bytes) -> None:
    start = time.monotonic()
    fields = b"From: MAILER-DAEMON\nSubject: failure notice\n"
    for kind in (b"text/plain", b"text/html"):
        parse_report(parse(fields + b"Content-Type: %b\n\n" % kind + run * (200_000 // len(run))))
    # It is a tenth of a second; what is quadratic takes ten.
    assert time.monotonic() - start < 5
