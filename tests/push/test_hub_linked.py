"""Two processes' hubs over one NATS server that is killed and started again while mail comes in."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from contract.buses import nats_server
from push.subscribers import Client, change, running, user
from veredus.app import open_app
from veredus.config.settings import Bus, Config
from waiting import until

pytestmark = pytest.mark.service


async def test_after_a_restart_of_the_bus_under_load_all_hold_the_current_state(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        config = Config(data_dir=tmp_path / "data", bus=Bus(url=server.url))
        async with (
            open_app(config, types=()) as here,
            open_app(config, types=()) as there,
            running(here.hub),
            running(there.hub),
        ):
            identity, account = await user(here, "a@example.com")
            committed: set[int] = set()
            clients = [Client() for _ in range(6)]
            for number, client in enumerate(clients):
                await (here, there)[number % 2].hub.subscribe(identity, frozenset({"Mailbox"}), client)
            stop = asyncio.Event()

            async def load() -> int:
                while not stop.is_set():
                    for app in (here, there):
                        last = await change(app, account)
                        committed.add(last)
                    await asyncio.sleep(0.005)
                return last

            working = asyncio.create_task(load())
            for _ in range(2):
                await asyncio.sleep(0.2)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                await until(lambda: here.degraded() != [] and there.degraded() != [])
                await server.stop()
                await server.start()
                await until(lambda: here.degraded() == there.degraded() == [])
            stop.set()
            last = await working
            await until(lambda: all(client.states[account]["Mailbox"] == last for client in clients))
            for client in clients:
                told = [int(event.change.changed[account]["Mailbox"]) for event in client.events]
                assert set(told) <= committed
