"""mbox files: where messages begin, what was quoted, what the Status fields say."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.cli.transfer import mbox
from veredus.cli.transfer.incoming import Found, Incoming, Unreadable, with_crlf
from veredus.cli.transfer.mbox import Quoting

FROM = b"From a@b Thu Jan  1 00:00:01 2015\n"


def read(tmp_path: Path, data: bytes, quoting: Quoting = "mboxrd") -> list[Found]:
    path = tmp_path / "x.mbox"
    path.write_bytes(data)
    return list(mbox.read(path, ("INBOX",), quoting))


def texts(tmp_path: Path, data: bytes, quoting: Quoting = "mboxrd") -> list[bytes]:
    return [one.data for one in read(tmp_path, data, quoting) if isinstance(one, Incoming)]


def test_messages_are_separated_by_dated_from_lines_after_an_empty_line(tmp_path: Path) -> None:
    data = FROM + b"A: 1\n\nFrom here on\n\nFrom Monday to Friday\nx\n\n" + FROM + b"A: 2\n\ny\n"
    assert texts(tmp_path, data) == [
        b"A: 1\r\n\r\nFrom here on\r\n\r\nFrom Monday to Friday\r\nx\r\n",
        b"A: 2\r\n\r\ny\r\n",
    ]


def test_crlf_files_a_byte_order_mark_and_undated_separators(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfFrom -\r\nA: 1\r\n\r\nx\r\n\r\nFrom -\r\nA: 2\r\n\r\ny\r\n"
    assert texts(tmp_path, data) == [b"A: 1\r\n\r\nx\r\n", b"A: 2\r\n\r\ny\r\n"]


def test_quoting_is_undone_as_it_was_done(tmp_path: Path) -> None:
    data = FROM + b"A: 1\n\n>From x\n>>From y\n> From z\n"
    assert texts(tmp_path, data) == [b"A: 1\r\n\r\nFrom x\r\n>From y\r\n> From z\r\n"]
    assert texts(tmp_path, data, "mboxo") == [b"A: 1\r\n\r\nFrom x\r\n>>From y\r\n> From z\r\n"]
    assert texts(tmp_path, data, "none") == [b"A: 1\r\n\r\n>From x\r\n>>From y\r\n> From z\r\n"]


@pytest.mark.parametrize(
    ("headers", "keywords", "mailbox"),
    [
        (b"Status: RO\nX-Status: AF\n", {"$seen", "$answered", "$flagged"}, ("INBOX",)),
        (b"X-Status: T\n", {"$draft"}, ("INBOX",)),
        (b"Status: OD\n", set(), ("Trash",)),
        (b'X-Keywords: Work, $Label1\n later "bad\n', {"work", "$label1", "later"}, ("INBOX",)),
        (b"X-Mozilla-Status: 0005\n", {"$seen", "$flagged"}, ("INBOX",)),
        (b"X-Mozilla-Status: 0009\n", {"$seen"}, ("Trash",)),
        (b"Subject: Status: R\n", set(), ("INBOX",)),
    ],
)
def test_flags_come_from_the_fields_of_mail_programs(
    tmp_path: Path, headers: bytes, keywords: set[str], mailbox: tuple[str, ...]
) -> None:
    (found,) = read(tmp_path, FROM + headers + b"\nStatus: RO\n")
    assert isinstance(found, Incoming)
    assert (found.keywords, found.mailbox) == (keywords, mailbox)


def test_the_from_line_dates_a_message(tmp_path: Path) -> None:
    (found,) = read(tmp_path, FROM + b"A: 1\n\n")
    assert isinstance(found, Incoming)
    assert found.received == datetime(2015, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_what_is_no_mbox_is_named_with_its_place(tmp_path: Path) -> None:
    (found,) = read(tmp_path, b"Subject: a\n\nb\n")
    assert isinstance(found, Unreadable)
    assert "no From_ line" in found.reason
    assert "octet 0" in found.where
    assert read(tmp_path, b"") == read(tmp_path, b"\n\n") == []


def test_a_message_that_is_too_large_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbox, "MAX_MESSAGE", 2000)
    monkeypatch.setattr(mbox, "_PIECE", 512)
    data = (
        FROM
        + b"A: 1\n\n"
        + b"x" * 40
        + b"\n\n"
        + FROM
        + b"A: 2\n\n"
        + b"y\n" * 5000
        + b"\n"
        + FROM
        + b"A: 3\n\nz\n"
    )
    first, second, third = read(tmp_path, data)
    assert isinstance(first, Incoming)
    assert isinstance(third, Incoming)
    assert third.data == b"A: 3\r\n\r\nz\r\n"
    assert isinstance(second, Unreadable)
    assert "larger than" in second.reason
    assert first.octets + second.octets + third.octets == len(data)


LINES = st.lists(
    st.sampled_from(
        [b"", b"x", b"From ", b"From a Thu Jan 1 00:00:01 2015", b">From x", b">>From y", b"\rz"]
    ),
    max_size=12,
)


@given(messages=st.lists(LINES, min_size=1, max_size=4), piece=st.integers(40, 200))
def test_what_write_writes_read_reads(
    tmp_path_factory: pytest.TempPathFactory, messages: list[list[bytes]], piece: int
) -> None:
    originals = [with_crlf(b"\r\n".join([b"A: 1", b"", *lines]) + b"\r\n") for lines in messages]
    file = io.BytesIO()
    for data in originals:
        mbox.write(file, data, datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC), "a@b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mbox, "_PIECE", piece)
        assert texts(tmp_path_factory.mktemp("mbox"), file.getvalue()) == originals
