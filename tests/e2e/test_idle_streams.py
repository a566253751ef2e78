"""Ten thousand streams on one server process: cheap while they are idle, all told when something happens."""

import asyncio
import base64
import os
import resource
from pathlib import Path

import pytest

from e2e.clients import HttpJmap, MailClient
from e2e.process import ServerProcess

ALICE = ("alice@example.com", "secret")
STREAMS = 10_000
# Connections of one source address to one port are limited by its free ports: others of loopback are used, too.
SOURCES = [f"127.0.0.{number}" for number in range(2, 6)]
# The aim is 20 kB, measured in docs/benchmarks.md; this is a bound for a busy machine with another allocator.
MOST_OCTETS = 30_000


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Counter(asyncio.Protocol):
    """A client that counts what it is told and keeps nothing."""

    told = 0
    opened = 0
    enough = asyncio.Event()

    def __init__(self, request: bytes) -> None:
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        kind = type(self)
        kind.opened += data.startswith(b"HTTP/1.1 200")
        kind.told += data.count(b"event: state")
        kind.enough.set()

    @classmethod
    async def until(cls, name: str, count: int) -> None:
        async with asyncio.timeout(90):
            while getattr(cls, name) < count:
                cls.enough.clear()
                await cls.enough.wait()


@pytest.mark.timeout(300)
async def test_ten_thousand_idle_streams_cost_little_and_all_are_told(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < STREAMS + 1000:
        pytest.skip(f"needs {STREAMS} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = ServerProcess(tmp_path)
    async with server:
        async with server.opened() as app:
            account = await app.add_account(*ALICE)
        await server.start()
        client = HttpJmap(server.url, ALICE, account)
        before_state = (await client.call("Email/get", ids=[]))["state"]
        before = server.resident()
        transports = await _open_streams(server.ports["http"])
        try:
            await Counter.until("opened", STREAMS)
            grown = (server.resident() - before) / STREAMS
            print(f"{grown / 1000:.1f} kB for each stream")
            assert grown < MOST_OCTETS

            assert server._process is not None
            spent = processor_seconds(server._process.pid)
            await asyncio.sleep(3)
            spent = processor_seconds(server._process.pid) - spent
            print(f"{spent / 3:.1%} of a core while all are idle")
            assert spent < 0.6

            mail = await MailClient.connect(server.ports["lmtp"], is_lmtp=True)
            await mail.send(b"From: bob@example.org\r\nSubject: Hello\r\n\r\nText.\r\n", ALICE[0])
            await mail.close()
            await Counter.until("told", STREAMS)
            assert (await client.call("Email/get", ids=[]))["state"] != before_state
            assert server.errors == []
        finally:
            for transport in transports:
                transport.abort()
            await client.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _open_streams(port: int) -> list[asyncio.BaseTransport]:
    credentials = base64.b64encode(":".join(ALICE).encode()).decode()
    request = (
        "GET /jmap/eventsource?types=Email&closeafter=no&ping=0 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Basic {credentials}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    transports: list[asyncio.BaseTransport] = []
    for start in range(0, STREAMS, 100):
        opened = await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: Counter(request),
                    "127.0.0.1",
                    port,
                    local_addr=(SOURCES[number % len(SOURCES)], 0),
                )
                for number in range(start, start + 100)
            )
        )
        transports += [transport for transport, _ in opened]
    return transports
