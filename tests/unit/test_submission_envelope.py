"""The envelope of a submission: what is derived from a header, and which parameters are taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from veredus.formats.mime.email import headers_json
from veredus.formats.mime.header import split_header_block
from veredus.mail.identity import is_mailbox, may_use
from veredus.mail.submission import parameters
from veredus.mail.submission.envelope import derive
from veredus.mail.submission.message import Fields
from veredus.wire.errors import SetError

ME = "alice@example.com"
NOW = datetime(2026, 7, 6, 8, 0, 0, 250_000, tzinfo=UTC)
DATE = "Date: Mon, 6 Jul 2026 10:00:00 +0200"


def fields(*lines: str) -> Fields:
    headers, _ = split_header_block("\r\n".join([*lines, ""]).encode())
    return Fields(headers_json(headers))


@pytest.mark.parametrize(
    ("lines", "mail_from"),
    [
        (["From: alice@example.com"], ME),
        (["From: Alice <ALICE@Example.COM>"], "ALICE@Example.COM"),
        (["From: Alice <alice+list@example.com>"], "alice+list@example.com"),
        (["From: bob@example.org"], ME),
        (["From: bob@example.org", "Sender: alice@example.com"], ME),
        (["From: alice@example.com", "Sender: Bob <bob@example.org>"], ME),
        (["From: alice@example.com", "Sender: alice+s@example.com"], "alice+s@example.com"),
        (["From: =?utf-8?q?J=C3=B6rg?= <alice@example.com> (work)"], ME),
        (["From: alicex@example.com"], ME),
    ],
)
def test_mailFrom_is_Sender_or_From_or_the_identity(lines: list[str], mail_from: str) -> None:
    assert derive(fields(*lines), ME, "+").mail_from.email == mail_from


def test_without_a_separator_there_are_no_sub_addresses() -> None:
    assert derive(fields("From: alice+x@example.com"), ME, "").mail_from.email == ME


@pytest.mark.parametrize(
    ("lines", "rcpt_to"),
    [
        ([], []),
        (
            ["To: b@x.example", "Cc: c@x.example", "Bcc: d@x.example"],
            ["b@x.example", "c@x.example", "d@x.example"],
        ),
        (["Bcc: d@x.example", "To: b@x.example"], ["b@x.example", "d@x.example"]),
        (["To: B <b@x.example>, b@x.example", "Cc: <b@x.example>"], ["b@x.example"]),
        (["To: b@x.example, b@X.EXAMPLE, B@x.example"], ["b@x.example", "B@x.example"]),
        (["To: A: a@x.example, b@x.example; , c@x.example"], ["a@x.example", "b@x.example", "c@x.example"]),
        (["To: undisclosed-recipients:;"], []),
        (["To: jörg@bücher.example"], ["jörg@bücher.example"]),
        (['To: "a b"@x.example, "c,d" <e@x.example>'], ['"a b"@x.example', "e@x.example"]),
        (["To: (comment) b@x.example (more)"], ["b@x.example"]),
        (["To: b@x.example,", " c@x.example"], ["b@x.example", "c@x.example"]),
        (["To: Nobody, b@x.example"], ["Nobody", "b@x.example"]),
        (["Reply-To: r@x.example", "Resent-To: s@x.example"], []),
    ],
)
def test_rcptTo_is_everybody_once(lines: list[str], rcpt_to: list[str]) -> None:
    envelope = derive(fields("From: alice@example.com", *lines), ME, "+")
    assert [address.email for address in envelope.rcpt_to] == rcpt_to
    assert all(address.parameters is None for address in (envelope.mail_from, *envelope.rcpt_to))


@pytest.mark.parametrize(
    ("lines", "properties"),
    [
        (["From: alice@example.com", DATE], None),
        (["From: a@x.example, b@x.example", "Sender: a@x.example", DATE], None),
        (["From: Team: a@x.example;", DATE], None),
        (["From: alice@example.com"], ["sentAt"]),
        (["From: a@x.example, b@x.example", DATE], ["from"]),
        (["From: alice@example.com", "Sender: a@x.example, b@x.example", DATE], ["sender"]),
        (["From: alice@example.com", "Sender: somebody", DATE], ["sender"]),
        (["From: alice@example.com", "to: a@x.example", "To: b@x.example", DATE], ["to"]),
        (
            ["From: alice@example.com", "Message-ID: <a@b>", "Message-Id: <a@b>", DATE, DATE],
            ["messageId", "sentAt"],
        ),
        (["From:", DATE], ["from"]),
        ([DATE], ["from"]),
    ],
)
def test_all_that_is_wrong_with_a_header_is_named(lines: list[str], properties: list[str] | None) -> None:
    if properties is None:
        fields(*lines).check()
        return
    with pytest.raises(SetError) as refused:
        fields(*lines).check()
    assert refused.value.to_json()["properties"] == properties


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("a@b", True),
        ("a.b+c@d.example", True),
        ("用户@例子.example", True),
        ('"a@b"@c.example', True),
        ("a@[192.0.2.1]", True),
        ("a@[IPv6:2001:db8::1]", True),
        ("a@[999.0.2.1]", False),
        ("", False),
        ("a", False),
        ("@b", False),
        ("a@", False),
        ("a..b@c", False),
        ("a b@c", False),
        ("a@b c", False),
        ("<a@b>", False),
        ("a@b\r\nRCPT TO:<c@d>", False),
        ("a@b> SIZE=1", False),
        ("x" * 330 + "@b", False),
    ],
)
def test_an_address_is_a_mailbox_of_SMTP(address: str, good: bool) -> None:
    assert is_mailbox(address) is good


@pytest.mark.parametrize(
    ("own", "address", "may"),
    [
        (["a@b.c"], "A@B.C", True),
        (["a@b.c"], "a+x@b.c", True),
        (["a@b.c"], "ax@b.c", False),
        (["a@b.c"], "+x@b.c", False),
        (["a+x@b.c"], "a+x@b.c", True),
        (["a+x@b.c"], "a@b.c", False),
        (["*@b.c"], "any.thing@B.c", True),
        (["*@b.c"], "a@x.b.c", False),
        (["a@b.c"], "*@b.c", False),
        ([], "a@b.c", False),
    ],
)
def test_who_may_use_an_address(own: list[str], address: str, may: bool) -> None:
    assert may_use(own, address, "+") is may


@pytest.mark.parametrize(
    ("given", "passed", "release"),
    [
        (None, {}, None),
        ({}, {}, None),
        ({"ret": "full", "EnvId": "a+b=c d"}, {"RET": "FULL", "ENVID": "a+b=c d"}, None),
        ({"ENVID": "é"}, {"ENVID": "é"}, None),
        ({"SIZE": "10", "body": "8bitmime", "SMTPUTF8": None}, {}, None),
        ({"HOLDFOR": "5"}, {}, datetime(2026, 7, 6, 8, 0, 6, tzinfo=UTC)),
        ({"HOLDUNTIL": "2026-07-06T10:00:05+02:00"}, {}, datetime(2026, 7, 6, 8, 0, 5, tzinfo=UTC)),
        ({"HOLDUNTIL": "2026-07-06T08:00:00Z"}, {}, None),
        ({"HOLDFOR": "60"}, {}, NOW.replace(microsecond=0) + timedelta(seconds=61)),
    ],
)
def test_what_parameters_of_mailFrom_mean(given: Any, passed: Any, release: datetime | None) -> None:
    found = parameters.of_sender(given, NOW, 60)
    assert (found.passed, found.release) == (passed, release)


@pytest.mark.parametrize(
    "given",
    [
        {"HOLDFOR": "61"},
        {"HOLDFOR": "-1"},
        {"HOLDUNTIL": "2026-07-06T08:01:01Z"},
        {"HOLDUNTIL": "tomorrow"},
        {"NOTIFY": "NEVER"},
        {"X": None},
        {"": None},
    ],
)
def test_a_parameter_of_mailFrom_that_is_refused(given: Any) -> None:
    with pytest.raises(SetError):
        parameters.of_sender(given, NOW, 60)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (None, {}),
        ({"notify": "never"}, {"NOTIFY": "NEVER"}),
        ({"NOTIFY": "delay,failure"}, {"NOTIFY": "DELAY,FAILURE"}),
        ({"ORCPT": "utf-8;jörg@x.example"}, {"ORCPT": "utf-8;jörg@x.example"}),
        ({"NOTIFY": "NEVER,DELAY"}, None),
        ({"NOTIFY": None}, None),
        ({"ORCPT": "jörg@x.example"}, None),
        ({"RET": "FULL"}, None),
    ],
)
def test_what_parameters_of_a_recipient_mean(given: Any, passed: Any) -> None:
    if passed is None:
        with pytest.raises(SetError):
            parameters.of_recipient(given)
    else:
        assert parameters.of_recipient(given) == passed
