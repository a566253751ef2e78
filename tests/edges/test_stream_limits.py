"""What one user can take of the memory and the time for streams, and streams at the moment that a server closes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from websockets.frames import Frame, Opcode

from edges.test_eventsource_support import event_server
from jmap import Jmap, message, new_user, open_server
from veredus.app import App
from veredus.http.websocket_messages import Connection
from veredus.push import position as positions
from veredus.push.view import Subscription
from waiting import until
from websocket_peer import echo, server


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        yield app


@pytest.fixture
async def alice(app: App) -> Jmap:
    return await new_user(app)


async def test_one_user_has_a_bounded_number_of_streams(app: App, alice: Jmap) -> None:
    bob = await new_user(app, "bob@example.com")
    async with event_server(app, max_streams=3) as server:
        token = await server.token(alice)
        streams = [await server.stream(token) for _ in range(3)]
        for _ in range(2):
            refused = await server.get(token=token, fields="connection: close\r\n")
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert json.loads(await refused.body())["limit"] == "maxStreams"
        await server.stream(await server.token(bob))
        streams[0].close()
        await until(lambda: app.hub.counts().subscribers == 3)
        await server.stream(token)


async def test_one_user_has_a_bounded_number_of_connections(app: App) -> None:
    async with server(app, max_streams=2) as there:
        first = await there.raw()
        await there.raw()
        assert (await there.raw()).head.startswith("HTTP/1.1 429 ")
        first.close()
        await until(lambda: there.sockets.streams() == 1)
        assert (await there.raw()).head.startswith("HTTP/1.1 101 ")


async def test_a_name_of_a_type_that_nobody_knows_is_not_kept(app: App) -> None:
    """Each choice of types is a view of its own, so a client could fill the memory with names."""
    async with server(app) as there, there.connect() as peer:
        for n in range(3):
            await peer.enable(["Email", *(f"{n}-{m}".ljust(255, "x") for m in range(600))])
        [key] = [key for key in there.app.hub._views if key.types]
        assert key.types == {"Email"}
        await Jmap(app, "alice@example.com", there.account).import_email(message())
        assert set((await peer.receive())["changed"][there.account]) == {"Email"}


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_many_tiny_messages_in_one_go_leave_others_their_turn(
    tmp_path: Path, loop: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def run() -> None:
        async with open_server("memory", tmp_path) as app, server(app) as there:
            raw = await there.raw()
            [stream] = there.http._streams.open
            assert isinstance(stream, Connection)
            tiny = Frame(Opcode.TEXT, b"1").serialize(mask=True)
            stream.data_received(tiny * 5000)
            refused = there.registry.get_sample_value(
                "veredus_websocket_messages_total", {"kind": "notRequest"}
            )
            assert refused is not None
            assert 0 < refused < 1500
            raw.send(Opcode.TEXT, json.dumps(echo("last")).encode())
            for _ in range(5000):
                assert (await raw.message())["type"].endswith("notRequest")
            assert (await raw.message())["requestId"] == "last"

    loop(run())


def test_a_position_that_is_longer_than_any_of_ours_is_not_read() -> None:
    """Over WebSocket a pushState may have megabytes, which would hold up everybody for a second."""
    assert positions.decode("~".join(["a.1"] * 10_000)) == {"a": 1}
    assert positions.decode("~".join(["a.1"] * 20_000)) is None


async def test_a_stream_that_opens_while_the_server_closes_ends_properly_too(
    app: App, alice: Jmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with event_server(app) as server:
        subscribe, entered, closes = app.hub.subscribe, asyncio.Event(), asyncio.Event()

        async def slow(*args: object) -> Subscription:
            entered.set()
            await closes.wait()
            return await subscribe(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(app.hub, "subscribe", slow)
        opening = asyncio.create_task(server.get(token=await server.token(alice)))
        await entered.wait()
        closing = asyncio.create_task(server.http.close())
        await asyncio.sleep(0.1)
        closes.set()
        events = await opening
        blocks = [await events.next() for _ in range(3)]
        assert [block and block.names for block in blocks] == [["id", "retry"], ["retry"], None]
        assert events.is_complete
        await asyncio.wait_for(closing, 5)  # it waits for nobody: less than its patience
