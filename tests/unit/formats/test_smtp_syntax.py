"""Arguments of MAIL and RCPT: what is understood, and what is refused how (RFC 5321 §4.1, 1870, 6531)."""

import pytest

from veredus.formats.smtp import Budget, Limits, MessageReceived, Session, Terms


def started() -> Session:
    limits = Limits()
    session = Session(Terms("smtp", "mx.example", limits, Budget(limits.in_flight)))
    say(session, "EHLO client.example")
    return session


def say(session: Session, line: str) -> str:
    session.receive(f"{line}\r\n".encode())
    session.next_event()
    return session.output().decode()


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("<>", ""),
        ("<a@example.org>", "a@example.org"),
        (" <a@example.org>", "a@example.org"),
        ("<a.b+c=d@example.org>", "a.b+c=d@example.org"),
        ("<@one.example,@two.example:a@example.org>", "a@example.org"),
        ('<"a b"@example.org>', '"a b"@example.org'),
        ('<"a.b"@example.org>', "a.b@example.org"),
        (r'<"a\b"@example.org>', "ab@example.org"),
        (r'<"a\"> SIZE=1"@example.org>', r'"a\"> SIZE=1"@example.org'),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<ü@bücher.example> SMTPUTF8", "ü@bücher.example"),
        ("<a@example.org> size=5 body=7bit smtputf8", "a@example.org"),
    ],
)
def test_senders_that_are_understood(argument: str, sender: str) -> None:
    session = started()
    assert say(session, f"MAIL FROM:{argument}").startswith("250 2.1.0")
    say(session, "RCPT TO:<b@example.com>")
    session.answer_recipient(None)
    session.receive(b"DATA\r\n.\r\n")
    event = session.next_event()
    assert isinstance(event, MessageReceived)
    assert event.envelope.sender == sender


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("FROM", "501 5.5.4"),
        ("TO:<a@example.org>", "501 5.5.4"),
        ("FROM:a@example.org", "501 5.1.7"),
        ("FROM:<a@example.org", "501 5.1.7"),
        ("FROM:<a b@example.org>", "501 5.1.7"),
        ("FROM:<a@example..org>", "501 5.1.7"),
        ("FROM:<a@-example.org>", "501 5.1.7"),
        ("FROM:<.a@example.org>", "501 5.1.7"),
        ("FROM:<a>", "501 5.1.7"),
        ("FROM:<postmaster>", "501 5.1.7"),
        ("FROM:<a@[999.0.2.1]>", "501 5.1.7"),
        ("FROM:<a@[IPv6:zz]>", "501 5.1.7"),
        (f"FROM:<{'a' * 310}@example.org>", "501 5.1.7"),
        ("FROM:<a@example.org>SIZE=1", "501 5.1.7"),
        ("FROM:<a@example.org> SIZE", "501 5.5.4"),
        ("FROM:<a@example.org> SIZE=x", "501 5.5.4"),
        ("FROM:<a@example.org> SIZE=1 SIZE=2", "501 5.5.4"),
        ("FROM:<a@example.org> =x", "501 5.5.4"),
        ("FROM:<a@example.org> BODY=9BIT", "501 5.5.4"),
        ("FROM:<a@example.org> SMTPUTF8=yes", "501 5.5.4"),
        ("FROM:<a@example.org> RET=HDRS", "555 5.5.4"),
        ("FROM:<a@example.org> ENVID=x", "555 5.5.4"),
        ("FROM:<a@example.org> AUTH=<>", "555 5.5.4"),
        ("FROM:<ü@example.org>", "553 5.6.7"),
        ("FROM:<a@bücher.example>", "553 5.6.7"),
        ("FROM:<a@example.org> SIZE=52428801", "552 5.3.4"),
    ],
)
def test_senders_that_are_refused(argument: str, reply: str) -> None:
    session = started()
    assert say(session, f"MAIL {argument}").startswith(reply)
    assert say(session, "RCPT TO:<b@example.com>").startswith("503")


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("<b@example.com>", "250 2.1.5"),
        ("<Postmaster>", "250 2.1.5"),
        ("<@relay.example:b@example.com>", "250 2.1.5"),
        ("<>", "501 5.1.3"),
        ("<b>", "501 5.1.3"),
        ("<b@example.com> NOTIFY=NEVER", "555 5.5.4"),
        ("<b@example.com> ORCPT=rfc822;b", "555 5.5.4"),
        ("<bü@example.com>", "553 5.6.7"),
    ],
)
def test_recipients(argument: str, reply: str) -> None:
    session = started()
    say(session, "MAIL FROM:<>")
    output = say(session, f"RCPT TO:{argument}")
    if not output:
        session.answer_recipient(None)
        output = session.output().decode()
    assert output.startswith(reply)
