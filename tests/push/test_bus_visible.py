"""A bus that is not there: what operators and users see of it."""

import sys
from pathlib import Path

import httpx
import pytest

from contract.buses import nats_server
from veredus.app import open_app
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Blobs, Bus, Config, Http, Storage
from veredus.ports import Unavailable
from veredus.serving import serve
from waiting import until


def config(tmp_path: Path, url: str) -> Config:
    return Config(
        data_dir=tmp_path,
        http=Http(listen=("127.0.0.1:0",)),
        lmtp=Lmtp(listen=()),
        storage=Storage(url="memory"),
        blobs=Blobs(url="memory"),
        bus=Bus(url=url),
    )


@pytest.mark.service
async def test_a_lost_bus_degrades_and_is_seen(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path) as server,
        open_app(config(tmp_path, server.url), types=()) as app,
        serve(app) as running,
        httpx.AsyncClient(base_url=f"http://{running.http.addresses[0]}", trust_env=False) as client,
    ):

        async def is_connected() -> bool:
            return "veredus_bus_connected 1.0" in (await client.get("/metrics")).text

        await until(is_connected)
        assert (await client.get("/readyz")).json() == {"status": "ready", "problems": []}
        await app.add_account("a@example.com", None)
        assert (published := app.bus.counts().published) > 0
        assert f"veredus_bus_published_total {published}.0" in (await client.get("/metrics")).text
        await server.stop()
        await until(lambda: app.bus.trouble() is not None)
        response = await client.get("/readyz")
        assert response.status_code == 200
        assert response.json()["status"] == "degraded"
        assert response.json()["problems"][0].startswith("bus: NATS server 127.0.0.1:")
        assert not await is_connected()
        await server.start()
        await until(is_connected)
        assert (await client.get("/readyz")).json()["status"] == "ready"
        assert (lost := app.bus.counts().lost) > 1
        assert f"veredus_bus_lost_total {lost}.0" in (await client.get("/metrics")).text


async def test_without_the_library_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "veredus.bus.nats", raising=False)
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(Unavailable, match=r"pip install 'veredus\[nats\]'"):
        async with open_app(config(tmp_path, "nats://127.0.0.1:1"), types=()):
            pass
