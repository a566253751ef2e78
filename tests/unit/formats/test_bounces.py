"""Bounces of some seventy mail systems, and ordinary mail that must not be taken for one."""

import mailbox
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.mail_corpus import CORPUS, needs_corpus, read_json
from veredus.formats import bounces
from veredus.formats.mime.message import Message, parse
from veredus.formats.report import Report, parse_report

DSN = CORPUS / "dsn"

# What is no bounce, though it stands among them; each says why.
NOT_BOUNCES = {
    **dict.fromkeys(
        [f"sisimai-bsd/arf-{number}.eml" for number in (11, 12, 14, 15, 19, 20, 24, 25)],
        "a complaint of a reader (RFC 5965)",
    ),
    "sisimai-bsd/arf-02.eml": "a complaint of a reader (RFC 5965)",
    "sisimai-bsd/arf-26.eml": "a request to unsubscribe",
    **dict.fromkeys(
        [f"sisimai-bsd/rfc3834-0{number}.eml" for number in range(2, 7)], "an automatic reply (RFC 3834)"
    ),
    "flufl-bounce/qmail_08.txt": "an automatic reply",
    **dict.fromkeys(
        [f"sisimai-bsd/lhost-amazonses-{number}.eml" for number in (11, 12, 13)],
        "a notification in JSON, of a service, from an ordinary address",
    ),
    "sisimai-bsd/lhost-fml-03.eml": "the loop alert of a mailing list, from an ordinary address",
    "sisimai-err/maildir/err/make-test-36.eml": "a bounce that a person forwarded",
    "sisimai-err/maildir/not/is-not-bounce-02.eml": "says so itself",
}
# Where flufl.bounce finds other addresses.
OTHER_RECIPIENTS = {
    "aol_01.txt": "names a local part without its domain, which that program takes from the sender's",
    "yale_01.txt": "names a local part without its domain, which that program takes from the sender's",
    "simple_42.txt": "the address is not one that it accepts; the delivery status names it",
}
# Bounces outside ``dsn``, by the end of their paths.
BOUNCES_ELSEWHERE = (
    "cpython-test-email/msg_16.txt",
    "cpython-test-email/msg_25.txt",
    "cpython-test-email/msg_43.txt",
    "delayed_dsn.raw",
    "multi_recipient_dsn.raw",
    "simple_dsn.raw",
    # By a mailer-daemon or postmaster and called an undeliverable message, though its body says nothing.
    "multipart-wo-boundary.raw",
    "webklex/issue-462.eml",
    "flanker/disposition-notification.eml",
    "multi_address_bounce1.eml",
    "multipart_report_multiple_status.eml",
    "delivery-status2.txt",
    "messages/disposition-notification.txt",
    "fixtures/delivery-status.eml",
    "mail_malformed_2",
)


def bounce_files() -> list[str]:
    return sorted(str(path.relative_to(DSN)) for path in DSN.rglob("*") if path.suffix in (".eml", ".txt"))


def report_of(path: str) -> Report | None:
    return parse_report(parse((DSN / path).read_bytes()))


@needs_corpus
@pytest.mark.parametrize("path", bounce_files())
def test_a_bounce_is_recognised_and_nothing_else(path: str) -> None:
    report = report_of(path)
    if path in NOT_BOUNCES:
        assert report is None, NOT_BOUNCES[path]
        return
    assert report is not None
    assert report.kind == "dsn"
    for recipient in report.recipients:
        assert recipient.final_recipient
        assert recipient.status[0] in "245"
        assert recipient.diagnostic is None or "\n" not in recipient.diagnostic


@needs_corpus
def test_nearly_all_say_whom_they_are_about() -> None:
    unnamed = {
        path for path in bounce_files() if (report := report_of(path)) is not None and not report.recipients
    }
    assert unnamed == {"flufl-bounce/aol_01.txt", "flufl-bounce/yale_01.txt"}


def expectations() -> Iterator[tuple[str, set[str], bool]]:
    """File, addresses and whether the failure is temporary, as flufl.bounce has them."""
    if not CORPUS.is_dir():
        return
    rows = [
        row
        for path in (DSN / "flufl-bounce").glob("*.json")
        for row in read_json(f"dsn/flufl-bounce/{path.name}")
    ]
    for file in sorted({row["file"] for row in rows}):
        own = [row for row in rows if row["file"] == file]
        addresses = {address for row in own for address in row["failed_recipients"]}
        if f"flufl-bounce/{file}" not in NOT_BOUNCES:
            yield file, addresses, own[0]["temporary"]


@needs_corpus
@pytest.mark.parametrize(("file", "addresses", "temporary"), list(expectations()))
def test_a_bounce_names_the_recipients_that_others_find_in_it(
    file: str, addresses: set[str], temporary: bool
) -> None:
    report = report_of(f"flufl-bounce/{file}")
    assert report is not None
    named = [{found.final_recipient, found.original_recipient} - {None} for found in report.recipients]
    agrees = all(names & addresses for names in named) and addresses <= set().union(*named)
    assert agrees == (file not in OTHER_RECIPIENTS), f"{named} for {addresses}"
    assert {found.action for found in report.recipients} <= {"delayed" if temporary else "failed"}


def ordinary() -> Iterator[tuple[str, Message]]:
    """Messages that are no bounces; two of the mboxes are of bounces."""
    for folder in ("mail", "mail-golden"):
        for path in sorted((CORPUS / folder).rglob("*")):
            name = str(path.relative_to(CORPUS))
            if path.is_file() and path.suffix not in (".json", ".xml", ".md") and "bounce/" not in name:
                yield name, parse(path.read_bytes())
    for path in sorted((CORPUS / "threads").rglob("*.mbox")) + sorted((CORPUS / "mbox").rglob("*")):
        if path.is_file() and "sisimai" not in str(path):
            yield from _of_mbox(path)


def _of_mbox(path: Path) -> Iterator[tuple[str, Message]]:
    box = mailbox.mbox(path, create=False)
    try:
        for number, message in enumerate(box):
            yield f"{path.name}#{number}", parse(message.as_bytes())
    finally:
        box.close()


@needs_corpus
def test_ordinary_mail_is_not_taken_for_a_bounce() -> None:
    count, taken, taken_from_nobody, looked_at = 0, set(), 0, 0
    for name, message in ordinary():
        if name.endswith(BOUNCES_ELSEWHERE):
            assert parse_report(message) is not None, name
            continue
        count += 1
        looked_at += bounces.may_be_bounce(message.headers)
        if parse_report(message):
            taken.add(name)
        # Not even if it had come without a sender, as hardly any of it would.
        taken_from_nobody += parse_report(message, null_sender=True) is not None
    assert count > 1_000
    assert taken == set()
    assert taken_from_nobody <= 5
    # The rest costs the first look alone.
    assert looked_at <= count / 50


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (
            "<a@b.example>:\n550 5.1.1 No such user\n",
            [("a@b.example", "failed", "5.1.1", "550 5.1.1 No such user")],
        ),
        (
            "Could not be delivered for the following reason:\n\n  a@b.co.example  mailbox full (552)\n",
            [("a@b.co.example", "failed", "5.0.0", "mailbox full (552)")],
        ),
        (
            "Your message to a@b.example has been delayed. It will be retried.\n",
            [("a@b.example", "delayed", "4.0.0", "has been delayed. It will be retried.")],
        ),
        ("Nothing to see here. Ask postmaster@x.example\n", []),
    ],
)
def test_a_notice_in_plain_words_is_understood(notice: str, expected: list[tuple[str, ...]]) -> None:
    original = (
        "Received: by x\nFrom: me@x.example\nMessage-ID: <1@x.example>\nSubject: to z@z.example\n\nHi\n"
    )
    data = f"From: MAILER-DAEMON@x.example\nTo: me@x.example\nSubject: Mail delivery status\n\n{notice}\n{original}"
    report = parse_report(parse(data.encode()))
    assert report is not None
    found = [(r.final_recipient, r.action, r.status, r.diagnostic) for r in report.recipients]
    assert found == expected
    assert report.message_id == "1@x.example"


def test_a_returned_header_tells_whom_a_notice_without_a_name_is_about() -> None:
    data = b"From: mailer-daemon@x.example\nSubject: Undeliverable\n\nSorry.\n\nDate: x\nTo: a@b.example\nSubject: Hi\n\n"
    report = parse_report(parse(data))
    assert report is not None
    assert [found.final_recipient for found in report.recipients] == ["a@b.example"]


def test_the_same_words_of_a_person_are_no_bounce() -> None:
    data = b"From: al@x.example\nSubject: failure notice\n\n<a@b.example>:\n550 5.1.1 No such user\n"
    assert parse_report(parse(data)) is None
    assert parse_report(parse(data), null_sender=True) is not None
