"""What holds of the SMTP state machine for any input, however it is cut."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from veredus.formats.smtp import (
    Budget,
    Closed,
    Event,
    Limits,
    MessageReceived,
    RecipientOffered,
    Reply,
    Role,
    Session,
    Terms,
)

LIMITS = Limits(message_size=60, command_line=60, bad_commands=6, junk_commands=8, recipients=3)
LINES = [
    b"EHLO x",
    b"LHLO x",
    b"MAIL FROM:<a@b.example>",
    b"MAIL FROM:<> SIZE=61",
    b"MAIL FROM:<> BODY=BINARYMIME",
    b"RCPT TO:<b@b.example>",
    b"RCPT TO:<no@b.example>",
    b"DATA",
    b".",
    b"..",
    b"..text",
    b".x",
    b"text" * 9,
    b"\r",
    b"\n.\n",
    b"BDAT 0 LAST",
    b"BDAT 7",
    b"BDAT 30",
    b"BDAT 12 LAST",
    b"NOOP",
    b"RSET",
    b"QUIT",
    b"x" * 60,
    b"NOOP " + b"x" * 56,
    b"",
]
streams = st.lists(st.sampled_from(LINES) | st.binary(max_size=9), max_size=30).map(b"\r\n".join)
roles: st.SearchStrategy[Role] = st.sampled_from(["smtp", "lmtp"])


def run(role: Role, pieces: list[bytes], limits: Limits = LIMITS) -> tuple[list[Event], bytes, Budget]:
    in_flight = Budget(limits.in_flight)
    session = Session(Terms(role, "mx.example", limits, in_flight))
    events: list[Event] = []
    for piece in pieces:
        session.receive(piece)
        while event := session.next_event():
            match event:
                case RecipientOffered(address):
                    refusal = Reply(550, "5.1.1", "No") if address.startswith("no") else None
                    session.answer_recipient(refusal)
                case MessageReceived(envelope):
                    session.answer_message([Reply(250, "2.0.0", r) for r in envelope.recipients])
            events.append(event)
    output = session.output()
    session.close("lost")
    return events, output, in_flight


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


GREETINGS = {"smtp": b"EHLO x\r\n", "lmtp": b"LHLO x\r\n"}


@settings(max_examples=300, deadline=None)
@given(roles, streams, st.lists(st.integers(0, 10_000), max_size=40))
def test_how_a_stream_is_cut_makes_no_difference(role: Role, data: bytes, places: list[int]) -> None:
    data = GREETINGS[role] + b"MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n" + data
    events, output, in_flight = run(role, [data])
    for pieces in (cut(data, places), [bytes([octet]) for octet in data]):
        other_events, other_output, _ = run(role, pieces)
        assert other_events == events
        assert other_output == output
    assert in_flight.used == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=10))
def test_a_message_comes_out_as_it_went_in(text: bytes, places: list[int]) -> None:
    """Stuffed as a client does (§4.5.2), or in a chunk, any octets arrive."""
    lines = (text + b"\r\n").replace(b"\r\n.", b"\r\n..")
    stuffed = b"." + lines if lines.startswith(b".") else lines
    head = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n"
    for stream, expected in (
        (head + b"DATA\r\n" + stuffed + b".\r\n", text + b"\r\n"),
        (head + b"BDAT %d LAST\r\n" % len(text) + text, text),
    ):
        events, _, _ = run("smtp", cut(stream, places), Limits())
        assert [bytes(e.text) for e in events if isinstance(e, MessageReceived)] == [expected]


@settings(max_examples=200, deadline=None)
@given(roles, st.lists(st.binary(max_size=300), max_size=20))
def test_random_octets_do_no_harm(role: Role, pieces: list[bytes]) -> None:
    events, output, in_flight = run(role, pieces)
    assert all(isinstance(event, Closed) for event in events)
    assert all(line[:3].isdigit() for line in output.split(b"\r\n")[:-1])
    assert in_flight.used == 0


def test_neither_a_long_line_nor_a_long_message_is_held() -> None:
    """Octets that are read over leave nothing behind but what may be the beginning of an end."""
    session = Session(Terms("smtp", "mx.example", Limits(message_size=1000), Budget(10_000)))
    for _ in range(100):
        session.receive(b"x" * 10_000)
        assert session.next_event() is None
        assert session.octets_waiting <= 1
    session.receive(b"\r\nEHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n")
    session.next_event()
    session.answer_recipient(None)
    session.receive(b"DATA\r\n")
    for _ in range(100):
        session.receive(b"x\r\n.." * 2_000)
        assert session.next_event() is None
        transaction = session._dialogue.transaction
        assert transaction
        assert len(transaction.text._octets) <= 4
        assert session.octets_waiting == 0
