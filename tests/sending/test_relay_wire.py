"""Replies are read the same however the network cuts them, and nothing that comes does harm (RFC 5321 §4.2)."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veredus.relay.reply import HostTrouble, Reply
from veredus.relay.wire import Wire

PIECES = [
    b"250 ok\r\n",
    b"250-more\r\n",
    b"250-\r\n",
    b"550 5.1.1 no\n",
    b"421 bye\r\n",
    b"250\r\n",
    b"25",
    b"\r\n",
    b"\xff\x00",
    b"x" * 5000,
    b"250-x\r\n" * 199,
]


class Nowhere(asyncio.Transport):
    """Takes everything, and knows when it was broken off."""

    is_open = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is kept."""

    def write(self, data: bytes) -> None:
        """Gone."""

    def abort(self) -> None:
        self.is_open = False


async def read(chunks: Sequence[bytes], awaited: int) -> tuple[list[Reply], str, bool]:
    """What was read of these chunks, the reason that reading ended with, and whether the connection is open."""
    wire, transport = Wire(), Nowhere()
    wire.connection_made(transport)
    wire.write(b"", replies=awaited - 1)
    for chunk in chunks:
        wire.data_received(chunk)
    is_open = transport.is_open
    replies = []
    while True:
        try:
            replies.append(await wire.reply(0))
        except HostTrouble as trouble:
            return replies, trouble.reply, is_open


@settings(max_examples=200)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=12), cut=st.integers(1, 4000), awaited=st.integers(1, 4)
)
def test_replies_do_not_depend_on_how_they_come(pieces: list[bytes], cut: int, awaited: int) -> None:
    data = b"".join(pieces)
    chunks = [data[start : start + cut] for start in range(0, len(data), cut)]
    assert asyncio.run(read(chunks, awaited)) == asyncio.run(read([data], awaited))


@settings(max_examples=200)
@given(data=st.binary(max_size=300))
def test_any_octets_are_replies_or_the_end(data: bytes) -> None:
    replies, reason, _ = asyncio.run(read([data], 3))
    assert reason in ("451 4.4.2 The host did not answer in time", "451 4.5.0 What the host sent is no SMTP")
    for reply in replies:
        assert reply.folded().startswith(str(reply.code))
        assert reply.folded().isprintable()


@pytest.mark.parametrize(
    ("lines", "folded"),
    [
        (("5.7.1 See example.com", "5.7.1 or example.org"), "550 5.7.1 See example.com or example.org"),
        (("5.1.1 no", "5.1.1 no"), "550 5.1.1 no"),
        (("Our", "Other"), "550 Our Other"),
        (("", ""), "550"),
        (("a",) + ("a b",) * 3, "550 a b b b"),
        (("x" * 5000,), "550 " + "x" * 1996),
    ],
)
def test_a_reply_of_many_lines_is_one_line(lines: tuple[str, ...], folded: str) -> None:
    assert Reply(550, lines).folded() == folded
