"""One holder at a time, whatever happens to it: real connections, a real server, real stopped processes."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from bridge.nats.servers import Server, linked
from veredus.bridge.nats.errors import NatsError, NatsLost
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.lease import Lease, holder
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.resources import ensure, key_value

TTL_S = 1.0
# What a process of its own does: hold the lease, and say so.
PROCESS = """
import asyncio, sys
from veredus.bridge.nats.connect import connect
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.lease import Lease
from veredus.bridge.settings import NatsSettings

async def main():
    link = await connect(NatsSettings(url=sys.argv[1]), lambda secret: "")
    lease = Lease("lease.a", "process", float(sys.argv[2]))
    await lease.acquire(KeyValue(link, "BRIDGE"))
    print("held", flush=True)
    await lease.lost.wait()
    print("lost", lease.held, flush=True)
    await link.close()

asyncio.run(main())
"""


@pytest.fixture
async def kv(link: Link) -> KeyValue:
    return await bucket(link)


async def bucket(link: Link) -> KeyValue:
    await ensure(link, key_value("BRIDGE"))
    return KeyValue(link, "BRIDGE")


@asynccontextmanager
async def ended(*leases: Lease) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for lease in leases:
            await lease.release()


async def test_a_holder_keeps_it_and_gives_it_back(kv: KeyValue) -> None:
    first, second = Lease("lease.a", "one", TTL_S), Lease("lease.a", "two", TTL_S)
    async with ended(first, second):
        await first.acquire(kv)
        waiting = asyncio.create_task(second.acquire(kv))
        await asyncio.wait([waiting], timeout=2.5 * TTL_S)
        assert not waiting.done()
        assert first.held
        assert not second.held
        found = await holder(kv, "lease.a")
        assert found is not None
        assert found.instance == "one"
        await first.release()
        assert not first.held
        began = time.monotonic()
        await waiting
        assert time.monotonic() - began < TTL_S  # at once, compared with waiting for its end
        assert second.held
    assert await holder(kv, "lease.a") is None


async def test_a_holder_that_dies_is_followed(server: Server, kv: KeyValue) -> None:
    first, second = Lease("lease.a", "one", TTL_S), Lease("lease.a", "two", TTL_S)
    async with ended(second):
        async with linked(server) as link:
            await first.acquire(await bucket(link))
        await asyncio.wait_for(first.lost.wait(), 10)
        await asyncio.wait_for(second.acquire(kv), 10)
        assert second.held


async def test_the_same_process_takes_its_lease_again_over_a_new_connection(
    server: Server, kv: KeyValue
) -> None:
    lease = Lease("lease.a", "one", 600.0)
    async with linked(server) as link:
        await lease.acquire(await bucket(link))
    async with ended(lease):
        await asyncio.wait_for(lease.acquire(kv), 10)
        assert lease.held


async def test_a_lease_that_is_taken_away_is_lost(kv: KeyValue) -> None:
    lease = Lease("lease.a", "one", TTL_S)
    await lease.acquire(kv)
    await kv.put("lease.a", b"not even JSON")
    await asyncio.wait_for(lease.lost.wait(), 10)
    assert not lease.held
    await lease.release()
    assert (await kv.get("lease.a") or (b"",))[0] == b"not even JSON"
    async with ended(lease):
        await asyncio.wait_for(lease.acquire(kv), 10)


async def test_a_renewal_whose_answer_was_lost_is_our_own(kv: KeyValue) -> None:
    lease = Lease("lease.a", "one", TTL_S)
    async with ended(lease):
        await lease.acquire(kv)
        value, _ = await kv.get("lease.a") or (b"", 0)
        await kv.put("lease.a", value)
        with suppress(TimeoutError):
            await asyncio.wait_for(lease.lost.wait(), 2 * TTL_S)
        assert lease.held


async def test_a_server_that_stands_still_costs_the_lease_in_time(server: Server, kv: KeyValue) -> None:
    lease = Lease("lease.a", "one", TTL_S)
    await lease.acquire(kv)
    began = time.monotonic()
    server.send_signal(signal.SIGSTOP)
    try:
        await asyncio.wait_for(lease.lost.wait(), 10)
        assert not lease.held
        assert time.monotonic() - began < TTL_S  # before anybody else may take it
    finally:
        server.send_signal(signal.SIGCONT)
    await lease.release()


async def test_a_process_that_was_stopped_knows_that_it_has_lost(server: Server, kv: KeyValue) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, server.url, str(TTL_S)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lease = Lease("lease.a", "standby", TTL_S)
    async with ended(lease):
        assert await process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.wait_for(lease.acquire(kv), 10)
        finally:
            process.send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(process.stdout.read(), 10) == b"lost False\n"
        assert await process.wait() == 0
        assert lease.held


async def test_twenty_contenders_are_never_two_holders(server: Server) -> None:
    """They hold it for a while and release it, or die, or their connection does; the server is killed, too."""
    async with linked(server) as link:
        await bucket(link)
    ttl_s, stop, contenders = 0.4, asyncio.Event(), [Contender(server) for _ in range(20)]
    tasks = [asyncio.create_task(contender.run(ttl_s, stop)) for contender in contenders]
    for terms in (8, 16, 24):
        await _until(terms, contenders)
        await server.restart()
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert sum(contender.terms > 0 for contender in contenders) > 5
    assert sum(contender.silenced for contender in contenders) > 1


async def _until(terms: int, contenders: "list[Contender]") -> None:
    async with asyncio.timeout(60):
        while sum(one.terms for one in contenders) < terms:
            holders = [one.lease for one in contenders if one.lease is not None and one.lease.held]
            assert len(holders) <= 1
            await asyncio.sleep(0.001)


class Contender:
    """``terms``: how often it has held the lease; ``silenced``: how often in vain it then tried to renew it."""

    def __init__(self, server: Server) -> None:
        self.lease: Lease | None = None
        self.terms = self.silenced = 0
        self._server = server

    async def run(self, ttl_s: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.lease = Lease("lease.a", "contender", ttl_s)
            with suppress(NatsError, TimeoutError):
                async with AsyncExitStack() as stack:
                    link = await stack.enter_async_context(linked(self._server))
                    await self._hold(KeyValue(link, "BRIDGE"), self.lease, stop)
            await asyncio.sleep(random.uniform(0, 0.05))

    async def _hold(self, kv: KeyValue, lease: Lease, stop: asyncio.Event) -> None:
        acquiring = asyncio.ensure_future(lease.acquire(kv))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([acquiring, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (acquiring, stopping):
            task.cancel()
        await asyncio.wait([acquiring, stopping])
        if acquiring.cancelled():
            return
        acquiring.result()
        self.terms += 1
        for _ in range(random.randrange(3)):
            with suppress(TimeoutError):
                await asyncio.wait_for(lease.lost.wait(), random.uniform(0, 0.3))
        fate = random.random()
        if fate < 0.4:
            await lease.release()
        elif fate < 0.7 and lease.held:
            # The network takes what it writes, and delivers nothing.
            kv.link.client.write = lambda octets: None  # type: ignore[method-assign]
            self.silenced += 1
            await asyncio.wait_for(lease.lost.wait(), 10)
            kv.link.fail("silenced")
        # Else it dies: its connection is closed, and the others have to wait.


async def test_without_a_connection_there_is_no_lease(server: Server, kv: KeyValue) -> None:
    await server.kill()
    with pytest.raises(NatsLost):
        await asyncio.wait_for(Lease("lease.a", "one").acquire(kv), 10)
