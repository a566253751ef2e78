"""Messages into a stream: complete, in order, and refused clearly."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.nats.servers import Server, linked, no_secret, running
from veredus.bridge.nats.connect import connect
from veredus.bridge.nats.errors import (
    BadName,
    NatsError,
    NatsLost,
    NoStream,
    NotAllowed,
    StreamFull,
    TooLarge,
)
from veredus.bridge.nats.jetstream import create_stream, last_message, next_message, stream_info
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message, covers, decoded_headers, encoded_headers
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.resources import ensure, stream
from veredus.bridge.nats.window import Window
from veredus.bridge.settings import NatsSettings, Secret

MAIL = stream("MAIL", "mail", max_age_s=3600, max_bytes=1 << 30, dedup_window_s=600)


def numbered(number: int, octets: int = 100) -> Message:
    return Message("mail.a", f"{number:08}".encode().ljust(octets), {}, str(number))


async def numbers(link: Link) -> list[int]:
    """What the stream holds, in its order."""
    info = await stream_info(link, "MAIL")
    found: list[int] = []
    at = info.first_sequence
    while (message := await next_message(link, "MAIL", "mail.>", at)) is not None:
        found.append(int(message.data[:8]))
        at = message.sequence + 1
    return found


@pytest.fixture
async def mail(link: Link) -> Link:
    await ensure(link, MAIL)
    return link


async def test_messages_are_stored_in_order_and_once(mail: Link) -> None:
    publisher = Publisher(mail, messages=16)
    futures = [await publisher.send(numbered(number)) for number in range(500)]
    await publisher.drain()
    assert [future.result().sequence for future in futures] == list(range(1, 501))
    again = await Publisher(mail).publish(numbered(7))
    assert again.duplicate
    assert again.sequence == 8
    assert await numbers(mail) == list(range(500))


async def test_headers_arrive_as_text_and_cannot_break_the_frame(mail: Link) -> None:
    evil = "Grüße\r\nNats-Msg-Id: other\r\n\r\nPUB x 1\0\ud800 "
    await Publisher(mail).publish(Message("mail.a", b"body", {"Jmap-Subject": evil, "Empty": ""}, "mine"))
    found = await last_message(mail, "MAIL", "mail.a")
    assert found is not None
    assert found.data == b"body"
    assert found.headers == {
        "Jmap-Subject": "Grüße  Nats-Msg-Id: other    PUB x 1 ?",
        "Empty": "",
        "Nats-Msg-Id": "mine",
    }


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ü", "a\r\nb"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        encoded_headers({name: "x"})


def test_a_status_is_read() -> None:
    found = decoded_headers(b"NATS/1.0 404 No Messages\r\nA: b\r\n\r\n")
    assert found == {"Status": "404", "Description": "No Messages", "A": "b"}


@pytest.mark.parametrize("subject", ["", ".", "a.", "a..b", "a b", "a.*", ">", "a\nb", "ü"])
async def test_a_subject_that_is_none_is_refused(mail: Link, subject: str) -> None:
    with pytest.raises(BadName):
        await Publisher(mail).send(Message(subject, b""))


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        ("a.>", "a.b.c", True),
        ("a.>", "a.>", True),
        ("a.>", "a", False),
        (">", "a.>", True),
        ("a.*", "a.b", True),
        ("a.*", "a.>", False),
        ("a.*.c", "a.*.c", True),
        ("a.b", "a.*", False),
        ("a.b", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_wildcards_cover(wide: str, narrow: str, does: bool) -> None:
    assert covers(wide, narrow) is does


async def test_what_is_too_large_is_refused_and_the_pipeline_goes_on(mail: Link) -> None:
    publisher = Publisher(mail)
    await publisher.send(numbered(0))
    limit = mail.max_payload
    with pytest.raises(TooLarge) as caught:
        await publisher.send(Message("mail.a", bytes(limit - 10), {"Subject": "x" * 100}))
    assert caught.value.limit == limit
    assert caught.value.octets is not None
    assert caught.value.octets > limit
    largest = Message("mail.a", f"{1:08}".encode().ljust(limit))
    await publisher.send(largest)
    await publisher.drain()
    assert await numbers(mail) == [0, 1]


async def test_a_header_block_of_two_megabytes_does_not_cost_the_connection(mail: Link) -> None:
    with pytest.raises(TooLarge):
        await Publisher(mail).send(Message("mail.a", b"", {"Subject": "x" * 2_000_000}))
    assert (await Publisher(mail).publish(numbered(0))).sequence == 1


async def test_the_limit_of_the_stream_counts_too(mail: Link) -> None:
    await create_stream(mail, {"name": "SMALL", "subjects": ["small"], "max_msg_size": 100})
    with pytest.raises(TooLarge, match="100 that NATS takes"):
        await Publisher(mail, max_size=100).send(Message("small", bytes(101)))
    publisher = Publisher(mail)
    with pytest.raises(TooLarge, match="larger than its stream takes"):
        await publisher.publish(Message("small", bytes(101)))
    with pytest.raises(TooLarge):
        await publisher.drain()


async def test_a_subject_of_no_stream_fails_at_once(mail: Link) -> None:
    with pytest.raises(NoStream, match="no stream takes messages for 'other'"):
        await Publisher(mail, answer_s=60).publish(Message("other", b""))


async def test_a_failure_is_that_of_everything_after_it(mail: Link) -> None:
    publisher = Publisher(mail)
    before = await publisher.send(numbered(0))
    refused = await publisher.send(Message("other", b""))
    after = [await publisher.send(numbered(number)) for number in (1, 2)]
    with pytest.raises(NoStream):
        await publisher.drain()
    assert (await before).sequence == 1
    for future in (refused, *after):
        with pytest.raises(NoStream):
            await future
    with pytest.raises(NoStream):
        await publisher.send(numbered(3))
    publisher = Publisher(mail)
    for number in (1, 2, 3):
        await publisher.send(numbered(number))
    await publisher.drain()
    assert await numbers(mail) == [0, 1, 2, 3]


async def test_what_is_not_allowed_ends_the_pipeline_at_once(program: Path, tmp_path: Path) -> None:
    config = """authorization { users: [{ user: "joe", password: "p", permissions: {
        publish: ["mail.a", "$JS.API.>"], subscribe: ["_INBOX.>"] } }] }"""
    (tmp_path / "secret").write_text("p")
    joe = {"user": "joe", "password": Secret(file=tmp_path / "secret")}
    async with running(program, tmp_path, config) as server, linked(server, **joe) as link:
        await ensure(link, MAIL)
        publisher = Publisher(link, answer_s=60)
        sent = [await publisher.send(Message(f"mail.{token}", b"")) for token in "a12"]
        with pytest.raises(NotAllowed, match=r"not allowed to publish to mail\.1"):
            await publisher.drain()
        assert (await sent[0]).sequence == 1
        assert all(isinstance(future.exception(), NotAllowed) for future in sent[1:])
        assert link.failure is None


async def test_a_full_stream_that_keeps_the_old_says_so(mail: Link) -> None:
    config: dict[str, Any] = {"name": "FULL", "subjects": ["full"], "max_bytes": 5000, "discard": "new"}
    await create_stream(mail, config)
    publisher = Publisher(mail)
    futures = [await publisher.send(Message("full", bytes(1000))) for _ in range(20)]
    with pytest.raises(StreamFull, match="maximum bytes exceeded"):
        await publisher.drain()
    outcomes = [future.exception() is None for future in futures]
    stored = (await stream_info(mail, "FULL")).messages
    assert outcomes == [True] * stored + [False] * (20 - stored)


async def test_the_window_bounds_what_is_under_way(mail: Link) -> None:
    mail.listen("slow", lambda *_: None)
    window = Window(mail, messages=3, octets=1000, answer_s=60)
    for _ in range(3):
        await window.send("slow", b"")
    sending = asyncio.create_task(window.send("slow", b""))
    await mail.settle()
    assert not sending.done()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    other = Window(mail, messages=30, octets=1000, answer_s=60)
    await other.send("slow", bytes(5000))  # larger than the window: alone
    sending = asyncio.create_task(other.send("slow", b"x"))
    await mail.settle()
    assert not sending.done()
    await mail.close()
    with pytest.raises(NatsLost):
        await sending


async def test_an_acknowledgement_that_does_not_come_ends_the_link(mail: Link) -> None:
    mail.listen("silent", lambda *_: None)
    publisher = Publisher(mail, answer_s=0.2)
    future = await publisher.send(Message("silent", b""))
    with pytest.raises(NatsLost, match=r"no acknowledgement from JetStream in 0\.2 s"):
        await future
    assert mail.lost.is_set()


async def test_a_slow_line_is_no_fault(server: Server, mail: Link) -> None:
    """Each acknowledgement is late, but one comes after the other; and a request does not stand behind all."""
    async with slow_line(server.port, octets_s=1 << 20) as port:
        link = await connect(NatsSettings(url=f"nats://127.0.0.1:{port}"), no_secret)
        publisher = Publisher(link, answer_s=0.5)
        sending = [asyncio.create_task(publisher.send(numbered(at, 100_000))) for at in range(30)]
        await asyncio.wait_for(stream_info(link, "MAIL"), 5)
        await asyncio.gather(*sending)
        await publisher.drain()
        await link.close()
    assert await numbers(mail) == list(range(30))


@asynccontextmanager
async def slow_line(port: int, octets_s: int) -> AsyncIterator[int]:
    """A port that passes on to ``port``, at most so much in a second."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slowly: bool) -> None:
        while piece := await reader.read(1 << 15):
            writer.write(piece)
            await writer.drain()
            if slowly:
                await asyncio.sleep(len(piece) / octets_s)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            await asyncio.gather(carry(reader, to_writer, True), carry(to_reader, writer, False))

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    listening.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(accept, sock=listening, limit=1 << 15):
        yield listening.getsockname()[1]


async def test_a_killed_server_loses_nothing_that_was_acknowledged(server: Server) -> None:
    """Ten times in the midst of a window: what the stream holds is a beginning of what was sent, in order."""
    acknowledged, highest, at, size = -1, 0, 0, 3000
    async with linked(server) as link:
        await ensure(link, MAIL)
    for round in range(10):
        async with linked(server) as link:
            futures: dict[int, asyncio.Future[Any]] = {}
            publisher = Publisher(link)
            killing = asyncio.create_task(_kill_after(server, link, futures, 40 * round + 5))
            with suppress(NatsLost):
                while True:
                    futures[at] = await publisher.send(numbered(at, size))
                    at += 1
            await killing
            done = [number for number, future in futures.items() if future.done() and not future.exception()]
            acknowledged, highest = max([acknowledged, *done]), max(highest, at)
            at = acknowledged + 1
        await server.start()
    async with linked(server) as link:
        publisher = Publisher(link)
        for number in range(at, highest + 50):
            await publisher.send(numbered(number, size))
        await publisher.drain()
        assert await numbers(link) == list(range(highest + 50))


async def _kill_after(
    server: Server, link: Link, futures: dict[int, "asyncio.Future[Any]"], count: int
) -> None:
    while sum(future.done() for future in futures.values()) < count:
        await asyncio.sleep(0)
    await server.kill()
    await link.lost.wait()


async def test_errors_are_ours(mail: Link) -> None:
    with pytest.raises(NatsError, match=r"stream NONE: stream not found"):
        await stream_info(mail, "NONE")
