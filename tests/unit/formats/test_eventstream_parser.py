"""Reading server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.5, §9.2.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.eventstream import Message, Parser, TooLong, block

BOM = b"\xef\xbb\xbf"


def parsed(*pieces: bytes) -> list[tuple[str, str, str]]:
    parser = Parser()
    return [
        (message.event, message.data, message.last_event_id)
        for piece in pieces
        for message in parser.feed(piece)
    ]


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        # The examples of §9.2.6.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
            [("message", "first event", "1"), ("message", "second event", "")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        # Line ends, and a mixture of them.
        (b"event: a\rdata: 1\r\ndata: 2\n\r\n", [("a", "1\n2", "")]),
        (b"data: 1\r\rdata: 2\r\r", [("message", "1", ""), ("message", "2", "")]),
        # The mark is of the stream, not of each line.
        (BOM + b"data: 1\n\n", [("message", "1", "")]),
        (b"data: 1\n" + BOM + b"data: 2\n\n", [("message", "1", "")]),
        (BOM + BOM + b"data: 1\n\ndata: 2\n\n", [("message", "2", "")]),
        # An id holds for what follows, one with NUL is none, and one without data is no event.
        (b"id: a\n\ndata: 1\n\ndata: 2\nid: b\0c\n\n", [("message", "1", "a"), ("message", "2", "a")]),
        (b"id: a\ndata: 1\n\nid:\ndata: 2\n\n", [("message", "1", "a"), ("message", "2", "")]),
        # The type is of one event, data or not.
        (b"event: a\n\ndata: 1\n\n", [("message", "1", "")]),
        (b"event:\ndata: 1\n\n", [("message", "1", "")]),
        (b"data: a:b \nunknown: x\nDATA: y\n data: z\n\n", [("message", "a:b ", "")]),
        (b"data: \xff\xc3\n\n", [("message", "\ufffd\ufffd", "")]),
        (b"", []),
    ],
    ids=repr,
)
def test_a_stream_means_what_the_standard_says(stream: bytes, messages: list[tuple[str, str, str]]) -> None:
    assert parsed(stream) == messages


PARTS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b":",
        b" ",
        b"\0",
        b"\xff",
        b"data",
        b"data: ",
        b"id: ",
        b"event: ",
        b"x",
        BOM,
        b"retry: 10\n",
        "é☃".encode(),
        b"data: {}\n\n",
    ]
)


@given(st.lists(PARTS, max_size=40).map(b"".join), st.data())
def test_it_does_not_matter_where_a_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    whole = Parser()
    messages = whole.feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parser, found = Parser(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += parser.feed(stream[begin:end])
    assert found == messages
    assert (parser.last_event_id, parser.retry_ms) == (whole.last_event_id, whole.retry_ms)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n")),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")),
)
def test_what_we_send_is_what_we_read(event: str, data: str, id: str) -> None:
    assert Parser().feed(block(event=event, data=data.encode(), id=id)) == [Message(event, data, id)]


def test_an_event_is_given_out_with_the_first_octet_of_its_empty_line() -> None:
    """A sender with CR LF may be slow between the two."""
    parser = Parser()
    assert parser.feed(b"data: 1\r\n\r") == [Message("message", "1", "")]
    assert parser.feed(b"\ndata: 2\r\n\r") == [Message("message", "2", "")]


@pytest.mark.parametrize(
    ("lines", "retry_ms"),
    [
        (b"retry: 2500", 2500),
        (b"retry: 2500\nretry: x", 2500),
        (b"retry: -1", None),
        (b"retry: 1e3", None),
        (b"retry:", None),
        ("retry: ٣".encode(), None),
        (b"retry: " + b"9" * 5000, None),
    ],
)
def test_a_retry_is_digits(lines: bytes, retry_ms: int | None) -> None:
    parser = Parser()
    parser.feed(lines + b"\n")
    assert parser.retry_ms == retry_ms


@pytest.mark.parametrize(
    ("piece", "most"), [(b"x" * 10, 100), (b": " + b"x" * 8, 100), (b"data: 1234\n", 198), (b"data\n", 996)]
)
def test_a_line_and_an_event_without_end_are_refused(piece: bytes, most: int) -> None:
    parser = Parser(max_size=1000)
    for _ in range(most):
        parser.feed(piece)
    with pytest.raises(TooLong, match="more than 1000 octets"):
        parser.feed(piece)


def test_many_events_are_not_one_long_one() -> None:
    parser = Parser(max_size=100)
    assert sum(len(parser.feed(b": comment\ndata: 12345\n\n" * 10)) for _ in range(100)) == 1000
