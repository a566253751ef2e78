"""Streams for measurements that the harness does not make: held open, with compression, over processes."""

import asyncio
import resource
import sys
import time
from functools import partial
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tools.bench_client import harness
from tools.bench_server import PASSWORD, Target


def _many_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _account(url: str, user: str) -> Any:
    (account,) = await harness("jmap").open_accounts(url, [user], PASSWORD, None)
    return account


async def _hold(url: str, user: str, count: int) -> None:
    """Open EventSource streams, say how many, keep them until standard input is closed."""
    _many_files()
    account = await _account(url, user)
    streams, _, _ = await harness("push").hold([account], "sse", count, lambda *_: None)
    print(len(streams), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def deflate_memory(target: Target, count: int) -> dict[str, float]:
    """kB of resident memory for each idle WebSocket on which permessage-deflate was negotiated."""
    return asyncio.run(_deflate_memory(target, count))


async def _deflate_memory(target: Target, count: int) -> dict[str, float]:
    _many_files()
    account = await _account(target.url, target.user("bench0"))
    name, _, value = account.client.auth.strip().partition(": ")
    tree = harness("procs").Tree([int(target.process[1])])

    async def opened() -> Any:
        return await connect(
            account.ws_url, subprotocols=[Subprotocol("jmap")], additional_headers={name: value},
            compression="deflate", ping_interval=None,
        )  # fmt: skip

    first = await opened()
    before = tree.mem()["rss"]
    sockets = [await opened() for _ in range(count)]
    assert all(one.protocol.extensions for one in sockets), "permessage-deflate was not negotiated"
    request = '{"@type":"Request","using":[],"methodCalls":[["Core/echo",{"a":"%s"},"0"]]}' % ("x" * 2000)
    for one in sockets:
        await one.send(request)
        await one.recv()
    await asyncio.sleep(2)
    after = tree.mem()["rss"]
    for one in (first, *sockets):
        one.transport.abort()
    return {"conns": count, "kb_per_conn": (after - before) / 1024 / count}


async def delivery_latency(target: Target, lmtp: str, *, streams: int, messages: int) -> dict[str, float]:
    """From the reply to an LMTP delivery to the StateChange, over streams of all processes of a server.

    Each delivery has a connection of its own, so that any process may take it. ms.
    """
    account = await _account(target.url, target.user("bench0"))
    arrived: list[float] = []
    all_told = asyncio.Event()

    def on_event(event: bytes, data: bytes, _: Any) -> None:
        if event == b"state" and b"EmailDelivery" in data:
            arrived.append(time.perf_counter())
            if len(arrived) == streams:
                all_told.set()

    module = harness("httpc")
    loop = asyncio.get_running_loop()
    for _ in range(streams):
        opened = partial(module.SseConn, account.es_raw(types="EmailDelivery"), on_event)
        _, stream = await loop.create_connection(opened, account.client.host, account.client.port)
        await stream.ready
    latencies: list[float] = []
    for number in range(messages):
        arrived.clear()
        all_told.clear()
        await asyncio.sleep(0.15)
        accepted = await _deliver(lmtp, target.user("bench0"), number)
        await asyncio.wait_for(all_told.wait(), 30)
        latencies += [(moment - accepted) * 1000 for moment in arrived]
    latencies.sort()
    return {
        "messages": messages,
        "streams": streams,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "max_ms": latencies[-1],
    }


async def _deliver(lmtp: str, recipient: str, number: int) -> float:
    """One message; gives when it was accepted."""
    host, _, port = lmtp.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def said(expected: bytes) -> None:
        while True:
            line = await reader.readline()
            assert line.startswith(expected), line
            if line[3:4] == b" ":
                return

    await said(b"220")
    for line, reply in (
        ("LHLO bench", b"250"),
        ("MAIL FROM:<bench@example.com>", b"250"),
        (f"RCPT TO:<{recipient}>", b"250"),
        ("DATA", b"354"),
    ):
        writer.write(f"{line}\r\n".encode())
        await said(reply)
    writer.write(
        f"From: bench@example.com\r\nMessage-ID: <{number}.{time.time_ns()}@bench>\r\n"
        f"Subject: {number}\r\n\r\nText.\r\n.\r\n".encode()
    )
    await said(b"250")
    accepted = time.perf_counter()
    writer.close()
    return accepted


if __name__ == "__main__":
    asyncio.run(_hold(sys.argv[1], sys.argv[2], int(sys.argv[3])))
