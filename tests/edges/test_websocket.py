"""The WebSocket as a connection: handshake, frames, limits, silence, slow clients, endings."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.frames import Opcode

from jmap import Jmap, message, open_server
from veredus.app import App
from veredus.http.settings import Timeouts
from veredus.http.websocket_stream import Liveness
from waiting import until
from websocket_peer import LIMIT, Server, echo, server

ERROR = "urn:ietf:params:jmap:error:"
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "jmap",
}
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        yield app


@pytest.fixture
async def there(app: App) -> AsyncIterator[Server]:
    async with server(app) as running:
        yield running


def text(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


def deflated(data: bytes) -> bytes:
    """One message as permessage-deflate has it."""
    encoder = zlib.compressobj(wbits=-15)
    return (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def add_mail(there: Server) -> None:
    await Jmap(there.app, "alice@example.com", there.account).import_email(message())


# -------------------------------------------------------------------- handshake


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"Upgrade": None, "Connection": None}, 426, "upgrade"),
        ({"Upgrade": "h2c"}, 426, "upgrade"),
        ({"Sec-WebSocket-Version": "8"}, 426, "13"),
        ({"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": None}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Extensions": ";;"}, 400, "Sec-WebSocket-Extensions"),
    ],
)
async def test_a_wrong_handshake_is_told_what_is_wrong(
    there: Server, change: dict[str, str | None], status: int, says: str
) -> None:
    wanted = {**HANDSHAKE, **there.headers, **change}
    headers = {name: value for name, value in wanted.items() if value is not None}
    async with httpx.AsyncClient(base_url=f"http://{there.address}", trust_env=False) as client:
        refused = await client.get("/jmap/ws", headers=headers)
        assert refused.status_code == status
        assert refused.headers["content-type"] == "application/problem+json"
        assert says in refused.json()["detail"]
        if status == 426:
            assert refused.headers["upgrade"] == "websocket"
        assert (await client.head("/jmap/ws", headers=there.headers)).status_code == 426
        assert (await client.post("/jmap/ws", headers=there.headers)).status_code == 405
    assert there.sockets.streams() == 0


async def test_a_ticket_opens_a_connection_once(there: Server) -> None:
    identity = await there.app.authenticator.authenticate(there.headers["Authorization"])
    assert identity is not None
    ticket, _ = await there.app.tickets.mint(identity)
    there.url += f"?ticket={ticket}"
    origin = "https://anywhere.example.com"
    async with there.connect(additional_headers={}, origin=origin) as peer:
        assert (await peer.ask(echo("R")))["requestId"] == "R"
    with pytest.raises(Exception, match="401"):
        async with there.connect(additional_headers={}):
            pass


async def test_a_foreign_page_cannot_use_a_password_that_the_browser_remembers(app: App) -> None:
    async with server(app, cors_origins=("https://mail.example.com", "*")) as there:
        basic = httpx.BasicAuth("alice@example.com", "secret")
        async with httpx.AsyncClient(base_url=f"http://{there.address}", trust_env=False) as client:
            headers = {**HANDSHAKE, "Origin": "https://evil.example.com"}
            refused = await client.get("/jmap/ws", headers=headers, auth=basic)
            assert (refused.status_code, "cors_origins" in refused.json()["detail"]) == (403, True)
        password = {"Authorization": basic._auth_header}
        for origin in ("https://mail.example.com", f"http://{there.address}"):
            async with there.connect(additional_headers=password, origin=origin) as peer:
                assert (await peer.ask(echo("R")))["requestId"] == "R"
        async with there.connect(origin="https://evil.example.com") as peer:  # a token, which it must know
            assert (await peer.ask(echo("R")))["requestId"] == "R"


# -------------------------------------------------------------------- frames


async def test_a_message_may_come_in_fragments_with_a_ping_between(there: Server) -> None:
    raw = await there.raw()
    request = text(echo("R"))
    raw.send(Opcode.TEXT, request[:10], fin=False)
    raw.send(Opcode.PING, b"between")
    for byte in request[10:]:
        raw.send(Opcode.CONT, bytes([byte]), fin=False)
    raw.send(Opcode.CONT, b"")
    assert await raw.frame() == (Opcode.PONG, False, b"between")
    assert (await raw.message())["requestId"] == "R"
    raw.send(Opcode.CLOSE, b"\x03\xe8")
    assert await raw.close_code() == 1000
    assert await raw.ended()


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x82\x80mask", 1003),  # binary
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # not UTF-8
        (b"\x81\x02{}", 1002),  # not masked
        (b"\xc1\x80mask", 1002),  # compressed, which was not agreed
        (b"\x83\x80mask", 1002),  # no such opcode
        (b"\x80\x80mask", 1002),  # continues nothing
        (b"\x81\xff\0\0\0\0\xff\xff\xff\xffmask", 1009),  # 4 GB
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 1009),
    ],
)
async def test_a_wrong_frame_ends_the_connection_with_its_code(
    there: Server, octets: bytes, code: int
) -> None:
    raw = await there.raw()
    raw.writer.write(octets)
    if code == 1009:
        error = await raw.message()
        assert (error["@type"], error["limit"]) == ("RequestError", "maxSizeRequest")
    assert await raw.close_code() == code
    assert await raw.ended()
    await until(lambda: there.sockets.streams() == 0)


async def test_requests_in_front_of_a_close_are_done(there: Server) -> None:
    """They are not answered any more, but what was sent is not lost."""
    raw = await there.raw()
    raw.send(Opcode.TEXT, text(echo("R", hold=True)))
    raw.send(Opcode.CLOSE, b"\x03\xe8")
    await until(lambda: there.engine.held == 1)
    assert await raw.close_code() == 1000


async def test_fragments_of_a_message_are_bounded_together(there: Server) -> None:
    raw = await there.raw()
    raw.send(Opcode.TEXT, b" " * 1000, fin=False)
    for _ in range(LIMIT // 1000):
        raw.send(Opcode.CONT, b" " * 1000, fin=False)
    assert (await raw.message())["limit"] == "maxSizeRequest"
    assert await raw.close_code() == 1009


# -------------------------------------------------------------------- compression


async def test_neither_side_keeps_a_context_and_only_large_responses_are_compressed(there: Server) -> None:
    raw = await there.raw(DEFLATE)
    agreed = next(line for line in raw.head.split("\r\n") if line.startswith("Sec-WebSocket-Extensions"))
    assert "server_no_context_takeover" in agreed
    assert "client_no_context_takeover" in agreed
    for size, is_large in ((10, False), (5_000, True), (150_000, True)):
        pad = {"pad": "x" * size}
        request = text(echo("R", methodCalls=[["Core/echo", pad, "0"]]))
        for _ in range(2):  # the second as if there had been no first
            raw.send_compressed(Opcode.TEXT, deflated(request))
            opcode, is_compressed, data = await raw.frame()
            assert (opcode, is_compressed) == (Opcode.TEXT, is_large)
            if is_compressed:
                data = zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")
            assert json.loads(data)["methodResponses"][0][1] == pad


async def test_a_very_large_response_is_compressed_as_well(app: App) -> None:
    async with server(app, max_size_request=3_000_000) as there, there.connect() as peer:
        pad = {"pad": "x" * 1_000_000}
        responses = [
            peer.connection.send(text(echo(str(n), methodCalls=[["Core/echo", pad, "0"]])), text=True)
            for n in range(4)
        ]
        await asyncio.gather(*responses)
        found = [await peer.receive() for _ in responses]
        assert {response["requestId"] for response in found} == {"0", "1", "2", "3"}
        assert all(response["methodResponses"][0][1] == pad for response in found)


async def test_push_is_not_compressed(there: Server) -> None:
    raw = await there.raw(DEFLATE)
    raw.send(Opcode.TEXT, text({"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": "~"}))
    _, is_compressed, data = await raw.frame()
    assert (json.loads(data)["@type"], is_compressed) == ("StateChange", False)


@pytest.mark.parametrize("fragments", [1, 5])
async def test_a_bomb_is_not_inflated_beyond_the_limit(there: Server, fragments: int) -> None:
    raw = await there.raw(DEFLATE)
    bomb = deflated(b" " * 200_000_000)
    size = len(bomb) // fragments + 1
    pieces = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    for n, piece in enumerate(pieces):
        if n == 0 and len(piece) > LIMIT:
            pytest.fail("the bomb itself is too large")
        raw.send_compressed(Opcode.CONT if n else Opcode.TEXT, piece, fin=n == len(pieces) - 1)
    assert (await raw.message())["limit"] == "maxSizeRequest"
    assert await raw.close_code() == 1009


# -------------------------------------------------------------------- silence, slow clients


async def test_a_silent_client_is_asked_and_dropped_when_it_is_gone(app: App) -> None:
    async with (
        server(app, liveness=Liveness(0.2, 0.2)) as there,
        there.connect() as peer,  # which answers pings
    ):
        gone = await there.raw()
        assert await gone.frame() == (Opcode.PING, False, b"")
        assert await gone.ended()
        await until(lambda: there.sockets.streams() == 1)
        await asyncio.sleep(1)
        assert (await peer.ask(echo("R")))["requestId"] == "R"


async def test_a_client_that_does_not_read_costs_no_more_than_its_unsent_answers(app: App) -> None:
    """It goes on to send; the server stops to read until its answers are taken, and then all come."""
    most = 300  # 57 MB: more than the kernels keep for both
    async with server(app, max_concurrent_requests=most) as there:
        raw = await there.raw()
        raw.stop_reading()
        pad = {"pad": "x" * 190_000}
        for n in range(most):
            raw.send(Opcode.TEXT, text(echo(str(n), methodCalls=[["Core/echo", pad, "0"]])))
        raw.send(Opcode.TEXT, text({"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": "~"}))
        await asyncio.sleep(0.5)
        assert raw.writer.transport.get_write_buffer_size() > 0, "the server reads on"
        raw.go_on_reading()
        found = [await raw.message() for _ in range(most + 1)]
        answered = {answer["requestId"] for answer in found if answer["@type"] == "Response"}
        assert answered == {str(n) for n in range(most)}
        assert [answer["@type"] for answer in found if answer["@type"] != "Response"] == ["StateChange"]


async def test_a_client_that_takes_nothing_is_dropped(app: App) -> None:
    async with server(app, timeouts=Timeouts(write_s=0.3), max_concurrent_requests=200) as there:
        raw = await there.raw()
        raw.stop_reading()
        pad = {"pad": "x" * 190_000}
        for n in range(100):
            raw.send(Opcode.TEXT, text(echo(str(n), methodCalls=[["Core/echo", pad, "0"]])))
        await until(lambda: there.sockets.streams() == 0)


async def test_a_slow_client_is_told_the_difference_when_it_can_take_it(there: Server) -> None:
    async with there.connect() as peer:
        await peer.enable(["Email"])
        for _ in range(5):
            await add_mail(there)
        state = await Jmap(there.app, "alice@example.com", there.account).state("Email")
        seen = []
        while not seen or seen[-1] != state:
            seen.append((await peer.receive())["changed"][there.account]["Email"])
        assert seen == sorted(seen, key=int)
        assert len(seen) <= 5


# -------------------------------------------------------------------- endings


@pytest.mark.parametrize("has_push", [False, True])
async def test_a_connection_ends_soon_after_its_token(there: Server, has_push: bool) -> None:
    async with there.connect() as peer:
        if has_push:
            await peer.enable()
        await there.revoke()
        async with asyncio.timeout(5):
            code, reason = await peer.closed()
        assert (code, "credentials" in reason) == (1008, True)
    await until(lambda: there.sockets.streams() == 0)


async def test_a_request_after_the_end_of_a_token_is_not_answered(there: Server) -> None:
    async with there.connect() as peer:
        await there.revoke()
        there.app.directory.drop()
        await peer.echo("R")
        assert (await peer.closed())[0] == 1008


async def test_a_lost_share_changes_what_is_pushed_and_ends_nothing(app: App, there: Server) -> None:
    team = await app.add_account("team@example.com", None)
    await app.accounts.grant("alice@example.com", team, "write")
    app.directory.drop()
    async with there.connect() as peer:
        await peer.enable(["Email"])
        both = Jmap(app, "alice@example.com", team)
        await both.import_email(message())
        assert set((await peer.receive())["changed"]) == {team}
        await app.accounts.grant("alice@example.com", team, None)
        app.directory.drop()
        await asyncio.sleep(1.5)
        await Jmap(app, "team@example.com", team).import_email(message())
        await add_mail(there)
        assert set((await peer.receive())["changed"]) == {there.account}


async def test_a_closing_server_answers_first_what_is_in_flight(app: App) -> None:
    async with server(app) as there, there.connect() as peer, there.connect() as idle:
        await peer.echo("slow", hold=True)
        await until(lambda: there.engine.held == 1)
        closing = asyncio.create_task(there.http.close())
        assert (await idle.closed())[0] == 1001
        error = await peer.ask(echo("late"))
        assert (error["@type"], error["requestId"], error["status"]) == ("RequestError", "late", 503)
        there.engine.go.set()
        assert (await peer.receive())["requestId"] == "slow"
        assert (await peer.closed())[0] == 1001
        await closing


async def test_a_closing_server_does_not_wait_for_ever(app: App) -> None:
    async with server(app, timeouts=Timeouts(shutdown_s=0.3)) as there:
        raw = await there.raw()
        raw.send(Opcode.TEXT, text(echo("slow", hold=True)))
        await until(lambda: there.engine.held == 1)
        async with asyncio.timeout(5):
            await there.http.close()
        assert await raw.ended()


async def test_a_request_goes_on_when_its_client_is_gone(there: Server) -> None:
    raw = await there.raw()
    raw.send(Opcode.TEXT, text(echo("R", hold=True)))
    await until(lambda: there.engine.held == 1)
    raw.close()
    await until(lambda: there.sockets.streams() == 0)
    there.engine.go.set()
    async with there.connect() as peer:
        assert (await peer.ask(echo("next")))["requestId"] == "next"


async def test_messages_are_counted(there: Server) -> None:
    async with there.connect() as peer:
        await peer.ask(echo())
        await peer.ask("nonsense")
        await peer.enable()

    def count(kind: str) -> float | None:
        return there.registry.get_sample_value("veredus_websocket_messages_total", {"kind": kind})

    assert (count("Request"), count("notJSON"), count("WebSocketPushEnable")) == (2, 1, 1)


async def test_a_thousand_idle_connections(there: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """What one costs is printed; the client's side, in the same process, is part of it."""
    before = _resident_kib()
    peers = [await there.raw() for _ in range(1000)]
    assert there.sockets.streams() == 1000
    assert there.app.hub.counts().subscribers == 1000
    with capsys.disabled():
        print(f"\n1000 WebSockets, both sides: {_resident_kib() - before} KiB")
    for peer in peers:
        peer.close()
    await until(lambda: there.sockets.streams() == 0)
    await until(lambda: there.app.hub.counts().subscribers == 0)


def _resident_kib() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return int(status.read_text().partition("VmRSS:")[2].split()[0])
