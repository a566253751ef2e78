"""SMTP over real sockets: what a client may use, and how a server ends (RFC 5321 §3.8, §4.5.3)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from smtp_peer import TRANSACTION, Client, Mailbag, Servers, greeted, port, run_on_uvloop
from veredus.reception import Limits
from veredus.smtp.server import serve


@pytest.fixture
def bag() -> Mailbag:
    return Mailbag()


@pytest.fixture
async def start(bag: Mailbag) -> AsyncIterator[Servers]:
    servers = Servers(bag)
    yield servers
    await servers.close()


async def test_an_idle_client_is_sent_away(start: Servers) -> None:
    client = await greeted(await start(limits=Limits(idle_timeout_s=0.2)))
    assert await client.hear() == "421"
    assert await client.hear() == ""
    await client.close()


async def test_octets_that_make_no_command_do_not_keep_a_connection(start: Servers) -> None:
    client = await greeted(await start(limits=Limits(idle_timeout_s=0.3)))
    loop = asyncio.get_running_loop()
    began = loop.time()
    dribble = asyncio.create_task(_dribble(client, b"N"))
    assert await client.hear() == "421"
    assert loop.time() - began < 2
    dribble.cancel()
    await client.close()


async def test_a_message_may_take_its_time_but_not_for_ever(start: Servers) -> None:
    client = await greeted(await start(limits=Limits(idle_timeout_s=0.3, transaction_timeout_s=1)))
    await client.say(TRANSACTION, 3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    dribble = asyncio.create_task(_dribble(client, b"x"))
    assert await client.hear() == "421"
    assert loop.time() - began > 0.6
    dribble.cancel()
    await client.close()


async def _dribble(client: Client, octet: bytes) -> None:
    while not client.writer.is_closing():
        client.writer.write(octet)
        await asyncio.sleep(0.05)


async def test_a_client_that_does_not_read_is_cut_off(start: Servers) -> None:
    server = await start(limits=Limits(idle_timeout_s=0.3, junk_commands=10**9))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port(server)))
    sock.setblocking(False)
    client = Client(*await asyncio.open_connection(sock=sock, limit=64))
    try:
        async with asyncio.timeout(20):
            while True:
                client.writer.write(b"HELP\r\n" * 10_000)
                await client.writer.drain()
    except ConnectionError:
        pass
    await asyncio.wait_for(server.close(), 5)
    await client.close()


async def test_connections_are_limited(start: Servers) -> None:
    server = await start(limits=Limits(connections_per_client=2))
    first, second = await greeted(server), await greeted(server)
    third = await Client.connect(server)
    assert [await third.hear(), await third.hear()] == ["421", ""]
    assert await first.say(b"QUIT\r\n") == ["221"]
    await first.hear()
    fourth = await greeted(server)
    for client in (first, second, third, fourth):
        await client.close()


async def test_random_octets_leave_the_server_well(start: Servers) -> None:
    server = await start()
    noise = bytes(range(256)) * 400
    for piece in (noise, noise.replace(b"\n", b"\r\n"), b"EHLO x\r\n" + noise, b"\r\n" * 50):
        client = await Client.connect(server)
        client.writer.write(piece)
        client.writer.write_eof()
        with suppress(ConnectionError):
            assert (await asyncio.wait_for(client.reader.read(), 10)).startswith(b"220 ")
        await client.close()
    await (await greeted(server)).close()


# ------------------------------------------------------------ the end


async def test_closing_lets_a_transaction_end_and_sends_the_idle_away(bag: Mailbag, start: Servers) -> None:
    server = await start()
    idle, busy = await greeted(server), await greeted(server)
    await busy.say(TRANSACTION, 3)
    address = server.sockets[0].getsockname()
    closing = asyncio.create_task(server.close(timeout_s=10))
    assert [await idle.hear(), await idle.hear()] == ["421", ""]
    assert await busy.say(b"x\r\n.\r\n", 2) == ["250", "421"]
    await asyncio.wait_for(closing, 5)
    assert len(bag.taken) == 1
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*address)
    await idle.close()
    await busy.close()


async def test_closing_waits_no_longer_than_it_is_told(bag: Mailbag, start: Servers) -> None:
    server = await start()
    slow, delivering = await greeted(server), await greeted(server)
    await slow.say(TRANSACTION, 3)
    bag.go_on.clear()
    delivering.writer.write(TRANSACTION + b"x\r\n.\r\n")
    await bag.arrived.wait()
    await asyncio.wait_for(server.close(timeout_s=0.1), 5)
    bag.go_on.set()
    assert bag.taken == []
    await slow.close()
    await delivering.close()


async def test_addresses_that_are_none(bag: Mailbag) -> None:
    with pytest.raises(ValueError, match="not host:port"):
        await serve(["127.0.0.1:0", "localhost"], bag, hostname="mx.example")


async def test_listening_on_ipv6(bag: Mailbag) -> None:
    try:
        server = await serve(["[::1]:0"], bag, hostname="mx.example")
    except OSError:
        # A machine without IPv6; there is nothing to prove on it.
        return
    assert server.addresses[0].startswith("[::1]:")
    await server.close()


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_client_that_does_not_read_is_cut_off,
        test_connections_are_limited,
        test_random_octets_leave_the_server_well,
        test_closing_lets_a_transaction_end_and_sends_the_idle_away,
        test_closing_waits_no_longer_than_it_is_told,
    ],
)
def test_uvloop_makes_no_difference(scenario: Callable[..., Awaitable[None]], bag: Mailbag) -> None:
    run_on_uvloop(scenario, bag)
