"""The SMTP and LMTP state machine: what is said to what (RFC 5321, 2033, 1870, 3030, 6531)."""

import pytest

from veredus.formats.smtp import (
    Budget,
    Closed,
    Envelope,
    Event,
    Limits,
    MessageReceived,
    RecipientOffered,
    Reply,
    Role,
    Session,
    Terms,
    TlsRequested,
)

NO_SUCH_USER = Reply(550, "5.1.1", "No such user")


class Talk:
    """A session whose recipients beginning with "no" do not exist, and "full" cannot be delivered to."""

    def __init__(
        self, role: Role = "smtp", limits: Limits | None = None, *, offers_tls: bool = False
    ) -> None:
        limits = limits or Limits()
        self.in_flight = Budget(limits.in_flight)
        self.session = Session(
            Terms(role, "mx.example", limits, self.in_flight, client="192.0.2.1", offers_tls=offers_tls)
        )
        self.events: list[Event] = []
        self.session.output()

    def say(self, data: bytes) -> str:
        self.session.receive(data)
        while event := self.session.next_event():
            self.events.append(event)
            match event:
                case RecipientOffered(address):
                    self.session.answer_recipient(NO_SUCH_USER if address.startswith("no") else None)
                case MessageReceived(envelope):
                    self.session.answer_message([_taken(address) for address in envelope.recipients])
                case TlsRequested():
                    self.session.discard_received()
                    self.session.tls_started()
        return self.session.output().decode()

    @property
    def texts(self) -> list[bytes]:
        return [bytes(event.text) for event in self.events if isinstance(event, MessageReceived)]

    @property
    def offered(self) -> list[str]:
        return [event.address for event in self.events if isinstance(event, RecipientOffered)]


def _taken(address: str) -> Reply:
    return Reply(452, "4.2.2", "Full") if address.startswith("full") else Reply(250, "2.0.0", "Delivered")


def codes(output: str) -> list[str]:
    return [line[:3] for line in output.split("\r\n") if line[3:4] == " "]


HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<a@example.org>\r\n"
RCPT = b"RCPT TO:<b@example.com>\r\n"


def started(role: Role = "smtp", limits: Limits | None = None, *, offers_tls: bool = False) -> Talk:
    talk = Talk(role, limits, offers_tls=offers_tls)
    talk.say(b"LHLO client.example\r\n" if role == "lmtp" else HELLO)
    return talk


def test_a_transaction_from_greeting_to_quit() -> None:
    session = Session(Terms("smtp", "mx.example", Limits(), Budget(1)))
    assert session.output() == b"220 mx.example ESMTP\r\n"
    talk = Talk()
    assert talk.say(HELLO) == (
        "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
        "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
    )
    assert talk.say(b"MAIL FROM:<a@example.org> SIZE=20 BODY=8BITMIME\r\n") == "250 2.1.0 Sender OK\r\n"
    assert talk.say(RCPT) == "250 2.1.5 Recipient OK\r\n"
    assert talk.say(b"RCPT TO:<nobody@example.com>\r\n") == "550 5.1.1 No such user\r\n"
    assert talk.say(b"DATA\r\n").startswith("354 ")
    assert talk.say(b"Subject: x\r\n\r\nhello\r\n.\r\n") == "250 2.0.0 Delivered\r\n"
    assert talk.say(b"QUIT\r\n") == "221 2.0.0 mx.example Bye\r\n"
    assert talk.events[2:] == [
        MessageReceived(
            Envelope(
                sender="a@example.org",
                recipients=("b@example.com",),
                client="192.0.2.1",
                helo="client.example",
                protocol="ESMTP",
                body="8BITMIME",
                size=20,
            ),
            bytearray(b"Subject: x\r\n\r\nhello\r\n"),
        ),
        Closed("quit"),
    ]
    assert talk.say(b"NOOP\r\n") == ""


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"NOOP ignored", "250 2.0.0"),
        (b"noop", "250 2.0.0"),
        (b"RSET", "250 2.0.0"),
        (b"VRFY bob", "252 2.0.0"),
        (b"VRFY", "501 5.5.4"),
        (b"EXPN list", "502 5.5.1"),
        (b"HELP", "214 2.0.0"),
        (b"AUTH PLAIN AAAA", "500 5.5.1"),
        (b"STARTTLS", "502 5.5.1"),
        (b"LHLO x", "500 5.5.1"),
        (b"FROBNICATE", "500 5.5.1"),
        (b"", "500 5.5.1"),
        (b"NOOP\x00", "500 5.5.2"),
        (b"NOOP \xff", "500 5.5.2"),
        (b"NOOP\nNOOP", "500 5.5.2"),
        (b"NOOP\rNOOP", "500 5.5.2"),
        (b"EHLO", "501 5.5.4"),
        (b"EHLO two words", "501 5.5.4"),
        (b"HELO x", "250 mx.example"),
        (b"RCPT TO:<b@example.com>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"DATA now", "501 5.5.4"),
        (b"NOOP " + b"x" * 2043, "250 2.0.0"),
        (b"NOOP " + b"x" * 2044, "500 5.5.2"),
        (b"NOOP " + b"x" * 70000, "500 5.5.2"),
    ],
)
def test_commands_outside_a_transaction(command: bytes, reply: str) -> None:
    assert started().say(command + b"\r\n").startswith(reply)


def test_a_utf8_recipient_needs_smtputf8() -> None:
    talk = started()
    talk.say(b"MAIL FROM:<a@example.org> SMTPUTF8\r\n" + "RCPT TO:<bü@example.com>\r\n".encode())
    assert talk.offered == ["bü@example.com"]


def test_what_comes_out_of_sequence_is_refused_and_harms_nothing() -> None:
    talk = Talk()
    assert codes(talk.say(MAIL)) == ["503"]
    assert codes(talk.say(HELLO + MAIL + MAIL)) == ["250", "250", "503"]
    assert codes(talk.say(b"DATA\r\n")) == ["554"]
    assert codes(talk.say(RCPT + b"RSET\r\nDATA\r\n")) == ["250", "250", "503"]
    assert codes(talk.say(MAIL + RCPT + HELLO + RCPT)) == ["250", "250", "250", "503"]


def test_smtp_has_one_reply_the_best() -> None:
    talk = started()
    output = talk.say(MAIL + RCPT + b"RCPT TO:<full@example.com>\r\nDATA\r\nx\r\n.\r\n")
    assert codes(output) == ["250", "250", "250", "354", "250"]
    output = talk.say(MAIL + b"RCPT TO:<full@example.com>\r\nDATA\r\nx\r\n.\r\n")
    assert codes(output) == ["250", "250", "354", "452"]


def test_lmtp_has_a_reply_for_each_accepted_recipient() -> None:
    talk = started("lmtp")
    names = ("b", "nobody", "full", "b")
    talk.say(MAIL + b"".join(b"RCPT TO:<%s@example.com>\r\n" % name.encode() for name in names))
    talk.say(b"DATA\r\n")
    assert codes(talk.say(b"x\r\n.\r\n")) == ["250", "452", "250"]


def test_lmtp_knows_no_helo_and_wants_a_recipient() -> None:
    talk = Talk("lmtp")
    assert codes(talk.say(b"HELO x\r\nEHLO x\r\n")) == ["500", "500"]
    assert "PIPELINING" in talk.say(b"LHLO x\r\n")
    assert codes(talk.say(MAIL + b"RCPT TO:<nobody@example.com>\r\nDATA\r\n")) == ["250", "550", "503"]


def test_dots_are_unstuffed() -> None:
    talk = started()
    talk.say(MAIL + RCPT + b"DATA\r\n..first\r\n...\r\n.single\r\na.b\r\n..\r\n.\r\n")
    assert talk.texts == [b".first\r\n..\r\nsingle\r\na.b\r\n.\r\n"]


@pytest.mark.parametrize(
    "ending",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\r\n\x00.\r\n"],
)
def test_only_crlf_dot_crlf_ends_a_message(ending: bytes) -> None:
    """SMTP smuggling: what another server takes for the end of a message is text to us."""
    talk = started()
    smuggled = b"a" + ending + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nx"
    talk.say(MAIL + RCPT + b"DATA\r\n")
    assert talk.say(smuggled) == ""
    talk.say(b"\r\n.\r\n")
    assert talk.offered == ["b@example.com"]
    assert talk.texts == [(smuggled + b"\r\n").replace(b"\r\n.", b"\r\n")]


def test_an_empty_message() -> None:
    talk = started()
    assert codes(talk.say(MAIL + RCPT + b"DATA\r\n.\r\nQUIT\r\n"))[-2:] == ["250", "221"]
    assert talk.texts == [b""]


def test_the_limit_counts_octets_of_the_message_not_of_the_line() -> None:
    limits = Limits(message_size=8)
    talk = started(limits=limits)
    assert codes(talk.say(MAIL + RCPT + b"DATA\r\n..\r\n..\r\n12\r\n.\r\n"))[-1] == "552"
    assert codes(talk.say(MAIL + RCPT + b"DATA\r\n..\r\n..\r\n..\r\n.\r\n"))[-1] == "552"
    assert codes(talk.say(MAIL + RCPT + b"DATA\r\n..\r\n..1234567890"))[-1] == "354"
    assert codes(talk.say(b"\r\n.\r\n")) == ["552"]
    assert codes(talk.say(MAIL + RCPT + b"DATA\r\n..2\r\n..6\r\n.\r\n"))[-1] == "250"
    assert talk.texts == [b".2\r\n.6\r\n"]
    assert talk.in_flight.used == 0


def test_lmtp_refuses_a_message_that_is_too_big_for_each_recipient() -> None:
    talk = started("lmtp", Limits(message_size=10))
    assert codes(talk.say(MAIL + RCPT + RCPT + b"DATA\r\n12345678901\r\n.\r\nNOOP\r\n"))[-3:] == [
        "552",
        "552",
        "250",
    ]


def test_messages_of_all_sessions_share_a_budget() -> None:
    talk = started(limits=Limits(in_flight=100))
    talk.say(MAIL + RCPT + b"DATA\r\n" + b"x" * 50)
    assert 0 < talk.in_flight.used <= 100
    assert talk.say(b"x" * 100) == ""
    assert talk.in_flight.used == 0
    assert talk.say(b"\r\n.\r\n").startswith("452 4.3.1")
    assert talk.in_flight.take(100)
    assert codes(talk.say(MAIL + b"RSET\r\n")) == ["452", "250"]
    talk.in_flight.give_back(10)
    assert talk.say(b"MAIL FROM:<> SIZE=11\r\n").startswith("452 4.3.1")
    assert talk.say(b"MAIL FROM:<> SIZE=10\r\n" + RCPT).startswith("250")
    assert talk.in_flight.take(10)
    assert talk.say(b"DATA\r\n").startswith("452 4.3.1")


def test_a_session_that_breaks_off_gives_back_what_it_held() -> None:
    talk = started()
    talk.say(MAIL + RCPT + b"DATA\r\nx\r\n")
    assert talk.in_flight.used
    talk.session.close("lost")
    assert talk.in_flight.used == 0


def test_chunks_make_a_message_as_it_is() -> None:
    talk = started("lmtp")
    talk.say(b"MAIL FROM:<> BODY=BINARYMIME\r\n" + RCPT + RCPT)
    assert codes(talk.say(b"DATA\r\n")) == ["503"]
    output = talk.say(b"BDAT 10\r\n\r\n.\r\n\x00\n\r..BDAT 0\r\nBDAT 2 last\r\nabQUIT\r\n")
    assert output.startswith("250 2.0.0 10 octets received\r\n250 2.0.0 0 octets received\r\n")
    assert codes(output) == ["250", "250", "250", "250", "221"]
    assert talk.texts == [b"\r\n.\r\n\x00\n\r..ab"]


def test_chunks_that_are_not_welcome_are_read_over() -> None:
    talk = started(limits=Limits(message_size=4))
    assert codes(talk.say(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")) == ["503", "250"]
    assert codes(talk.say(MAIL + b"BDAT 6 LAST\r\nQUIT\r\n")) == ["250", "554"]
    # Too big: the transaction is over, and chunks already sent are refused (RFC 3030 §2).
    assert codes(talk.say(RCPT + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n")) == ["250", "552", "503"]
    assert codes(talk.say(MAIL + RCPT + b"BDAT 2\r\nabBDAT 3 LAST\r\ncde")) == ["250", "250", "250", "552"]
    assert codes(talk.say(MAIL + RCPT + b"BDAT 2\r\nabDATA\r\n" + RCPT)) == [
        "250",
        "250",
        "250",
        "503",
        "503",
    ]
    assert talk.texts == []


def test_a_chunk_of_unknown_size_ends_the_session() -> None:
    talk = started()
    assert codes(talk.say(MAIL + RCPT + b"BDAT ten\r\nQUIT\r\n")) == ["250", "250", "501"]
    assert talk.events[-1] == Closed("protocol")


def test_recipients_are_limited() -> None:
    talk = started(limits=Limits(recipients=2))
    assert codes(talk.say(MAIL + RCPT + b"RCPT TO:<nobody@example.com>\r\n" + RCPT)) == [
        "250",
        "250",
        "550",
        "452",
    ]


def test_bad_commands_are_limited() -> None:
    talk = started(limits=Limits(bad_commands=3))
    assert codes(talk.say(b"X\r\n" * 5 + b"QUIT\r\n")) == ["500", "500", "500", "421"]
    assert talk.events == [Closed("protocol")]


def test_commands_that_bring_no_mail_are_limited() -> None:
    talk = started(limits=Limits(junk_commands=3))
    assert codes(talk.say(b"NOOP\r\nNOOP\r\n" + MAIL + RCPT + b"DATA\r\n.\r\n"))[-1] == "250"
    assert codes(talk.say(b"NOOP\r\n" * 9)) == ["250", "250", "250", "421"]
    assert talk.events[-1] == Closed("limit")


def test_what_was_said_in_the_clear_does_not_count_after_starttls() -> None:
    talk = started(offers_tls=True)
    talk.say(MAIL)
    assert codes(talk.say(b"STARTTLS now\r\nSTARTTLS\r\nRSET\r\n" + HELLO + MAIL)) == ["501", "220"]
    assert codes(talk.say(MAIL)) == ["503"]
    assert "STARTTLS" not in talk.say(HELLO)
    assert codes(talk.say(b"STARTTLS\r\n" + MAIL + RCPT + b"DATA\r\n.\r\n")) == [
        "503",
        "250",
        "250",
        "354",
        "250",
    ]
    event = talk.events[-1]
    assert isinstance(event, MessageReceived)
    assert event.envelope.tls
    assert event.envelope.protocol == "ESMTPS"


def test_what_tls_brought_before_the_handshake_was_reported_is_kept() -> None:
    session = Session(Terms("smtp", "mx.example", Limits(), Budget(10), offers_tls=True))
    session.receive(b"STARTTLS\r\nNOOP\r\n")
    assert session.next_event() == TlsRequested()
    session.receive(b"NOOP\r\n")
    session.discard_received()
    session.receive(b"HELP\r\n")
    session.output()
    session.tls_started()
    assert session.next_event() is None
    assert session.output().startswith(b"214 ")


@pytest.mark.parametrize(
    ("role", "hello", "parameters", "protocol"),
    [
        ("smtp", b"HELO x\r\n", b"", "SMTP"),
        ("smtp", HELLO, b" SMTPUTF8", "UTF8SMTP"),
        ("lmtp", b"LHLO x\r\n", b"", "LMTP"),
        ("lmtp", b"LHLO x\r\n", b" SMTPUTF8", "UTF8LMTP"),
    ],
)
def test_protocol_names(role: Role, hello: bytes, parameters: bytes, protocol: str) -> None:
    talk = Talk(role)
    talk.say(hello + b"MAIL FROM:<>" + parameters + b"\r\n" + RCPT + b"DATA\r\n.\r\n")
    event = talk.events[-1]
    assert isinstance(event, MessageReceived)
    assert event.envelope.protocol == protocol


def test_shutting_down_lets_a_transaction_end() -> None:
    idle = started()
    idle.session.shut_down()
    assert idle.say(b"").startswith("421 4.3.2")
    assert idle.events == [Closed("shutdown")]
    busy = started()
    busy.say(MAIL)
    busy.session.shut_down()
    assert codes(busy.say(RCPT + b"DATA\r\nx\r\n.\r\n" + MAIL)) == ["250", "354", "250", "421"]


def test_answers_that_are_none_are_misuse() -> None:
    session = started().session
    session.receive(MAIL + RCPT + b"DATA\r\n.\r\n")
    assert session.next_event() == RecipientOffered("b@example.com")
    assert session.next_event() is None
    with pytest.raises(ValueError, match="refuses nobody"):
        session.answer_recipient(Reply(250, "2.0.0", "yes"))
    session.answer_recipient(None)
    assert isinstance(session.next_event(), MessageReceived)
    with pytest.raises(ValueError, match="one reply per recipient"):
        session.answer_message([])
    with pytest.raises(ValueError, match="taken or refused"):
        session.answer_message([Reply(354, "", "more")])
