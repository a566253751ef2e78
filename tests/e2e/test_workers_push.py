"""Push of a server with several workers, when they are replaced or killed."""

import asyncio
import json
import os
import signal
import sqlite3
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from e2e.workers import AUTH, PATIENCE_S, Workers, deliver, serving, state, streaming
from waiting import until
from web_push import PushService, push_service

pytestmark = pytest.mark.service


async def test_a_reload_ends_streams_in_order_and_they_go_on_where_they_were(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, 2) as server,
        streaming(server.url, 6) as streams,
        _websocket(server) as socket,
    ):
        await deliver(server, "before")
        seen = await state(server)
        await until(lambda: all(stream.states.get("Email") == seen for stream in streams))
        os.kill(server.pid, signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            await socket.wait_closed()
        assert socket.close_code == 1001
        # More than twice, if it came to the other old worker in between.
        await until(lambda: all(stream.connections >= 2 for stream in streams))
        # None was cut off: each response had its end, and told when to come back.
        assert [stream.cut_off for stream in streams] == [0] * 6
        assert all(stream.retry_ms for stream in streams)
        async with _websocket(server):
            await deliver(server, "after")
        seen = await state(server)
        await until(lambda: all(stream.states.get("Email") == seen for stream in streams))


@asynccontextmanager
async def _websocket(server: Workers) -> AsyncIterator[ClientConnection]:
    """One that has been answered a request."""
    credentials = b64encode(":".join(AUTH).encode()).decode()
    async with connect(
        f"{server.url.replace('http', 'ws', 1)}/jmap/ws",
        subprotocols=[Subprotocol("jmap")],
        additional_headers={"Authorization": f"Basic {credentials}"},
        proxy=None,
    ) as socket:
        request = {"@type": "Request", "using": [], "methodCalls": [["Core/echo", {}, "0"]]}
        await socket.send(json.dumps(request))
        assert json.loads(await socket.recv())["@type"] == "Response"
        yield socket


async def test_web_push_moves_when_its_worker_is_killed(tmp_path: Path) -> None:
    settings = '[push]\nallow = ["127.0.0.0/8"]\n'
    async with serving(tmp_path, 2, settings) as server, push_service() as service:
        given = {"deviceClientId": "phone", "url": f"{service.url}/phone"}
        id = (await _push_set(server, create={"a": given}))["created"]["a"]["id"]
        code = (await service.wait("/phone")).object["verificationCode"]
        await _push_set(server, update={id: {"verificationCode": code}})
        await deliver(server, "before")
        count = await _told(service, await state(server))
        for _ in range(2):
            holder = _holder_of("web-push", tmp_path / "data" / "veredus.db")
            assert holder in server.pids().values()
            os.kill(holder, signal.SIGKILL)
            await deliver(server, "without")
            began = time.perf_counter()
            count = await _told(service, await state(server))
            print(f"\nweb push moved in {time.perf_counter() - began:.1f} s")
            await until(lambda holder=holder: holder not in server.pids().values())  # type: ignore[misc]
        await asyncio.sleep(1)
        assert len(service.at("/phone")) == count, "nothing is told twice"


async def _push_set(server: Workers, **args: Any) -> Any:
    body = {"using": ["urn:ietf:params:jmap:core"], "methodCalls": [["PushSubscription/set", args, "0"]]}
    async with httpx.AsyncClient(auth=AUTH, trust_env=False, verify=False, timeout=30) as http:
        return (await http.post(f"{server.url}/jmap", json=body)).json()["methodResponses"][0][1]


async def _told(service: PushService, final: str) -> int:
    """Wait until a URL was told of a state of Email; how many requests came by then."""

    def is_told() -> bool:
        last = service.at("/phone")[-1].object.get("changed", {})
        return any(types.get("Email") == final for types in last.values())

    await until(is_told)
    return len(service.at("/phone"))


def _holder_of(lease: str, database: Path) -> int:
    """The process that has a lease."""
    with closing(sqlite3.connect(database)) as db:
        [(holder,)] = db.execute("SELECT holder FROM lease WHERE name = ?", (lease,)).fetchall()
    return int(holder.split(":")[1])
