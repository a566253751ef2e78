"""SMTP over real sockets: what a client sees, and what delivery is given (RFC 5321, 3207, 2920)."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from self_signed import make_certificate
from smtp_peer import TRANSACTION, Mailbag, Servers, greeted, port, run_on_uvloop
from veredus.ports import Unavailable
from veredus.reception import Envelope, Limits, Reply


@pytest.fixture
def bag() -> Mailbag:
    return Mailbag()


@pytest.fixture
async def start(bag: Mailbag) -> AsyncIterator[Servers]:
    servers = Servers(bag)
    yield servers
    await servers.close()


async def test_smtplib_delivers(bag: Mailbag, start: Servers) -> None:
    server = await start()
    text = "Subject: x\r\n\r\n.hidden\r\n" + "long " * 100_000 + "\r\n"

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port(server), local_hostname="client.example") as smtp:
            return smtp.sendmail("a@example.org", ["b@example.com", "nobody@example.com"], text)

    assert await asyncio.to_thread(send) == {"nobody@example.com": (550, b"5.1.1 No such user")}
    [(envelope, message)] = bag.taken
    assert envelope == Envelope(
        sender="a@example.org",
        recipients=("b@example.com",),
        client="127.0.0.1",
        helo="client.example",
        protocol="ESMTP",
        size=len(text),
    )
    fields, body = message.split(b"Subject: ", 1)
    assert body == text.encode().split(b"Subject: ", 1)[1]
    assert fields.startswith(
        b"Return-Path: <a@example.org>\r\nReceived: from client.example ([127.0.0.1])\r\n"
    )
    assert b"\tfor <b@example.com>;\r\n\tSat, 21 Nov 2026 03:00:00 +0000\r\n" in fields


async def test_recipients_do_not_learn_of_each_other(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start())
    await client.say(TRANSACTION.replace(b"DATA", b"RCPT TO:<c@example.com>\r\nDATA"), 4)
    assert await client.say(b"x\r\n.\r\n") == ["250"]
    assert b"example.com" not in bag.taken[0][1]
    await client.close()


async def test_pipelined_transactions_are_answered_in_order(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start())
    stream = (TRANSACTION + b"one\r\n.\r\n") * 3 + b"RCPT TO:<x@y.example>\r\nNOOP\r\nQUIT\r\n"
    assert await client.say(stream, 15) == ["250", "250", "354", "250"] * 3 + ["503", "250", "221"]
    assert await client.hear() == ""
    assert len(bag.taken) == 3
    await client.close()


async def test_a_client_may_end_its_side_before_the_replies_came(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start())
    bag.go_on.clear()
    client.writer.write(TRANSACTION + b"one\r\n.\r\n")
    client.writer.write_eof()
    await bag.arrived.wait()
    await asyncio.sleep(0.05)
    bag.go_on.set()
    assert [await client.hear() for _ in range(5)] == ["250", "250", "354", "250", ""]
    await client.close()


async def test_a_message_in_chunks(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start())
    head = TRANSACTION.replace(b"DATA\r\n", b"BDAT 300000\r\n")
    assert await client.say(head + b"\0" * 300_000 + b"BDAT 3 LAST\r\n\r\n.", 4) == ["250"] * 4
    assert bag.taken[0][1].endswith(b"\0\r\n.")
    await client.close()


async def test_a_declared_and_an_actual_size_beyond_the_limit(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start(limits=Limits(message_size=100_000)))
    assert await client.say(b"MAIL FROM:<> SIZE=100001\r\n") == ["552"]
    await client.say(TRANSACTION, 3)
    assert await client.say(b"x" * 400_000 + b"\r\n.\r\nNOOP\r\n", 2) == ["552", "250"]
    assert bag.taken == []
    await client.close()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_delivery_that_raises_is_a_temporary_failure(
    bag: Mailbag, start: Servers, fails: bool
) -> None:
    client = await greeted(await start())
    bag.fails = fails
    with structlog.testing.capture_logs() as logs:
        await client.say(TRANSACTION, 3)
        assert await client.say(b"SECRET\r\n.\r\n") == ["451" if fails else "250"]
    assert "SECRET" not in repr(logs)
    assert "example.org" not in repr(logs)
    assert ("delivery failed" in [line["event"] for line in logs]) is fails
    bag.fails = False
    await client.say(TRANSACTION, 3)
    assert await client.say(b"x\r\n.\r\n") == ["250"]
    await client.close()


async def test_the_log_says_which_resource_a_delivery_lacked(
    bag: Mailbag, start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await greeted(await start())

    async def deliver(envelope: Envelope, message: bytes) -> list[Reply]:
        raise Unavailable("the bucket cannot be reached")

    monkeypatch.setattr(bag, "deliver", deliver)
    with structlog.testing.capture_logs() as logs:
        await client.say(TRANSACTION, 3)
        assert await client.say(b"x\r\n.\r\n") == ["451"]
    assert "the bucket cannot be reached" in [line.get("reason") for line in logs]
    await client.close()


async def test_answers_that_are_none_are_a_temporary_failure(
    bag: Mailbag, start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await greeted(await start())

    async def deliver(envelope: Envelope, message: bytes) -> list[Reply]:
        return []

    async def recipient(address: str) -> Reply | None:
        return Reply(250, "2.0.0", "yes") if address.startswith("yes") else None

    monkeypatch.setattr(bag, "deliver", deliver)
    assert await client.say(TRANSACTION, 3) == ["250", "250", "354"]
    assert await client.say(b"x\r\n.\r\n") == ["451"]
    assert await client.say(b"MAIL FROM:<>\r\nRCPT TO:<raise@example.com>\r\n", 2) == ["250", "451"]
    monkeypatch.setattr(bag, "recipient", recipient)
    assert await client.say(b"RCPT TO:<yes@example.com>\r\n") == ["451"]
    await client.close()


async def test_recipients_that_fail_after_acceptance_are_logged(bag: Mailbag, start: Servers) -> None:
    client = await greeted(await start())
    with structlog.testing.capture_logs() as logs:
        await client.say(b"MAIL FROM:<>\r\nRCPT TO:<full@b.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n", 4)
        assert await client.say(b"x\r\n.\r\n") == ["250"]
    assert [line["refused"] for line in logs if line["event"] == "recipients failed after acceptance"] == [
        [452]
    ]
    await client.close()


async def test_a_delivery_goes_on_when_the_client_is_gone(bag: Mailbag, start: Servers) -> None:
    server = await start()
    client = await greeted(server)
    bag.go_on.clear()
    client.writer.write(TRANSACTION + b"one\r\n.\r\n")
    await bag.arrived.wait()
    client.writer.transport.abort()
    await asyncio.sleep(0.05)
    bag.go_on.set()
    await server.close()
    assert len(bag.taken) == 1


# ------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_starttls(
    bag: Mailbag, start: Servers, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    server = await start(tls=tls)
    trust = ssl.create_default_context(cafile=str(certificate[0]))

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port(server)) as smtp:
            smtp.ehlo("x")
            assert smtp.has_extn("starttls")
            smtp.starttls(context=trust)
            smtp.ehlo("x")
            assert not smtp.has_extn("starttls")
            smtp.sendmail("a@example.org", ["b@example.com"], "x" * 300_000)
            smtp.sendmail("a@example.org", ["b@example.com"], "x")

    await asyncio.to_thread(send)
    assert [(envelope.protocol, envelope.tls) for envelope, _ in bag.taken] == [("ESMTPS", True)] * 2


@pytest.mark.parametrize("pause_s", [0, 0.05])
async def test_commands_in_the_clear_behind_starttls_are_not_obeyed(
    start: Servers, tls: ssl.SSLContext, pause_s: float
) -> None:
    client = await greeted(await start(tls=tls))
    with structlog.testing.capture_logs():
        client.writer.write(b"STARTTLS\r\nNOOP\r\n" + TRANSACTION)
        await asyncio.sleep(pause_s)
        client.writer.write(TRANSACTION)
        assert await client.hear() == "220"
        # To the TLS layer this is no handshake.
        client.writer.write(TRANSACTION)
        with suppress(ConnectionError):
            # At most a TLS alert.
            assert b"250" not in await asyncio.wait_for(client.reader.read(), 10)
    await client.close()


async def test_a_handshake_that_fails_leaves_nothing(start: Servers, tls: ssl.SSLContext) -> None:
    server = await start(tls=tls)
    client = await greeted(server)
    assert await client.say(b"STARTTLS\r\n") == ["220"]
    client.writer.transport.abort()
    await asyncio.wait_for(server.close(), 5)


async def test_closing_breaks_off_a_handshake(start: Servers, tls: ssl.SSLContext) -> None:
    server = await start(tls=tls)
    client = await greeted(server)
    assert await client.say(b"STARTTLS\r\n") == ["220"]
    await asyncio.wait_for(server.close(timeout_s=0.1), 5)
    await client.close()


async def test_closing_during_tls(bag: Mailbag, start: Servers, tls: ssl.SSLContext) -> None:
    server = await start(tls=tls)
    trust = ssl._create_unverified_context()

    def stay() -> tuple[int, bytes]:
        smtp = smtplib.SMTP("127.0.0.1", port(server))
        smtp.starttls(context=trust)
        smtp.ehlo("x")
        asyncio.run_coroutine_threadsafe(server.close(), loop)
        reply = smtp.getreply()
        smtp.close()
        return reply

    loop = asyncio.get_running_loop()
    assert (await asyncio.to_thread(stay))[0] == 421


@pytest.mark.parametrize(
    "scenario",
    [
        test_smtplib_delivers,
        test_pipelined_transactions_are_answered_in_order,
        test_a_client_may_end_its_side_before_the_replies_came,
        test_a_message_in_chunks,
        test_a_delivery_goes_on_when_the_client_is_gone,
        test_starttls,
        test_commands_in_the_clear_behind_starttls_are_not_obeyed,
        test_a_handshake_that_fails_leaves_nothing,
        test_closing_breaks_off_a_handshake,
        test_closing_during_tls,
    ],
)
def test_uvloop_makes_no_difference(
    scenario: Callable[..., Awaitable[None]],
    bag: Mailbag,
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
) -> None:
    run_on_uvloop(scenario, bag, tls=tls, certificate=certificate, pause_s=0.05)
