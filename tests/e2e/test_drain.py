"""`http.drain`: what a server that was told to stop goes on doing, as one process and as several."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from e2e.workers import ALICE, AUTH, deliver
from waiting import until

pytestmark = pytest.mark.service
both = pytest.mark.parametrize("workers", [1, 2])


class Draining(ServerProcess):
    """A server with ALICE's account that was told to stop."""

    def __init__(self, directory: Path, workers: int, drain: str) -> None:
        super().__init__(directory)
        text = self.config_file.read_text().replace("[http]\n", f'[http]\ndrain = "{drain}"\n')
        self.config_file.write_text(f"workers = {workers}\n{text}")

    async def begin_to_stop(self) -> None:
        """Returns when /readyz says so."""
        async with self.opened() as app:
            await app.add_account(ALICE, "alice")
        await self.start()
        self.tell_to_stop()
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, verify=False) as http:
            while (answer := await http.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
            assert answer.status_code == 503
            assert answer.json()["status"] == "unavailable"
            assert answer.json()["problems"][0].startswith("stopping: ")
            assert (await http.get("/healthz")).status_code == 200

    def tell_to_stop(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGTERM)

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None


@both
async def test_a_server_that_drains_serves_all_who_come_and_then_ends(tmp_path: Path, workers: int) -> None:
    async with Draining(tmp_path, workers, "3s") as server:
        await server.begin_to_stop()
        await deliver(server, "late")
        client = HttpJmap(server.url, AUTH)
        await client.session()
        assert len((await client.call("Email/query"))["ids"]) == 1
        await client.close()
        assert not server.has_ended
        await until(lambda: server.has_ended)
        assert await server.stop() == 0
        assert server.errors == []


@both
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, workers: int) -> None:
    async with Draining(tmp_path, workers, "1h") as server:
        await server.begin_to_stop()
        server.tell_to_stop()
        await until(lambda: server.has_ended)
