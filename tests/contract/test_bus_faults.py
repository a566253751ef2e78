"""What an EventBus does when its server goes: nobody waits, and at the end everybody knows the truth."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.buses import PREFIX, Receiver, hint, nats_server
from veredus.bus.nats import NatsBus
from veredus.bus.nats_server import NatsServer, NatsServerError
from waiting import until

pytestmark = pytest.mark.service


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


def kill(server: NatsServer, number: signal.Signals = signal.SIGKILL) -> None:
    assert server.pid is not None
    os.kill(server.pid, number)


async def test_a_bus_without_its_server_says_so_and_connects_later(server: NatsServer) -> None:
    await server.stop()
    bus, receive = await NatsBus.open(server.url, PREFIX), Receiver()
    assert "127.0.0.1" in str(bus.trouble())
    assert server.url.split("@")[0].removeprefix("nats://") not in str(bus.trouble())
    await asyncio.wait_for(bus.subscribe(receive).add("A"), 1)
    bus.publish(hint("A", 1))
    assert bus.counts().dropped == 1
    await server.start()
    await until(lambda: bus.trouble() is None and receive.lost == 1)
    await bus.close()


async def test_a_lost_connection_is_told_to_all_when_it_is_back(server: NatsServer) -> None:
    here, there = await NatsBus.open(server.url, PREFIX), await NatsBus.open(server.url, PREFIX)
    receive = Receiver()
    await there.subscribe(receive).add("A")
    kill(server)
    await until(lambda: here.trouble() is not None and there.trouble() is not None)
    here.publish(hint("A", 1))
    await server.stop()
    await server.start()
    # Once for its own connection; the other node's may be the later one, and what it dropped is told, too.
    await until(lambda: here.trouble() is there.trouble() is None and receive.lost >= 1)
    here.publish(hint("A", 2))
    await until(lambda: receive.of("A") == [2])
    await here.close()
    await there.close()


async def test_a_node_that_dropped_hints_has_the_others_told(server: NatsServer) -> None:
    """The receiver's own connection was never lost."""
    there, receive = await NatsBus.open(server.url, PREFIX), Receiver()
    await there.subscribe(receive).add("A")
    here = NatsBus(server.url, PREFIX)
    here.publish(hint("A", 1))
    assert here.counts().dropped == 1
    await until(lambda: receive.lost == 1)
    await here.close()
    await there.close()


async def test_nodes_that_come_back_together_are_no_storm(server: NatsServer) -> None:
    buses = [await NatsBus.open(server.url, PREFIX) for _ in range(12)]
    receivers = [Receiver() for _ in buses]
    for bus, receive in zip(buses, receivers, strict=True):
        await bus.subscribe(receive).add("A")
    kill(server)
    await until(lambda: all(bus.trouble() for bus in buses))
    await server.stop()
    await server.start()
    await until(lambda: not any(bus.trouble() for bus in buses))
    await asyncio.sleep(0.6)
    told = [receive.lost for receive in receivers]
    assert min(told) >= 1
    assert sum(told) < 12 * 8, "twelve nodes tell eleven others: that would be 144"
    await asyncio.gather(*(bus.close() for bus in buses))


async def test_a_server_that_hangs_is_noticed_and_publish_never_waits(server: NatsServer) -> None:
    bus, receive = await NatsBus.open(server.url, PREFIX), Receiver()
    await bus.subscribe(receive).add("A")
    kill(server, signal.SIGSTOP)
    try:
        modseq = 0
        async with asyncio.timeout(20):
            while bus.trouble() is None:
                for _ in range(1000):
                    modseq += 1
                    bus.publish(hint(f"a{modseq}", modseq))
                await asyncio.sleep(0.02)
    finally:
        kill(server, signal.SIGCONT)
    await until(lambda: bus.trouble() is None and receive.lost >= 1)
    assert bus.counts().dropped > 0
    await bus.close()


async def test_a_server_that_dies_is_started_again_at_the_same_place(server: NatsServer) -> None:
    url, stop = server.url, asyncio.Event()
    watching = asyncio.create_task(server.run(stop))
    bus = await NatsBus.open(url, PREFIX)
    first = server.pid
    kill(server)
    await until(lambda: server.pid not in (None, first) and bus.trouble() is None)
    assert server.url == url
    stop.set()
    await watching
    await bus.close()


async def test_the_token_is_readable_by_nobody_else_and_gone_at_the_end(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        config = tmp_path / "nats-server.conf"
        assert config.stat().st_mode & 0o077 == 0
        token = server.url.removeprefix("nats://").split("@")[0]
        assert len(token) >= 32
        assert token in config.read_text()
        assert token.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert list(tmp_path.iterdir()) == []


async def test_a_port_that_was_taken_meanwhile_is_named(server: NatsServer) -> None:
    await server.stop()
    port = int(server.url.rpartition(":")[2])
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with taken:
        with pytest.raises(NatsServerError, match="address already in use"):
            await server.start()


async def test_without_the_wheel_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veredus.bus.nats_server.WHEEL", "no-such-wheel")
    with pytest.raises(NatsServerError, match=r"pip install 'veredus\[workers\]'"):
        await NatsServer(tmp_path).start()
