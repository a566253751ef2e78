"""EventSource over real sockets: clients that are slow, gone, many or no longer allowed, and a server that goes."""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from edges.test_eventsource_support import Events, Server, event_server
from jmap import Jmap, new_user, open_server
from veredus.app import App
from veredus.http.eventsource import EventSource
from veredus.http.settings import Timeouts
from veredus.push import view
from veredus.push.view import Subscription
from waiting import until

QUICK = Timeouts(write_s=0.5, shutdown_s=2)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        yield app


@pytest.fixture
async def alice(app: App) -> Jmap:
    return await new_user(app)


@pytest.fixture
async def server(app: App) -> AsyncIterator[Server]:
    async with event_server(app) as server:
        yield server


async def change(user: Jmap, name: str = "x") -> str:
    """The new state of Mailbox."""
    await user.create("Mailbox", name=name)
    return await user.state("Mailbox")


def subscribers(server: Server) -> int:
    return server.app.hub.counts().subscribers


async def assert_empty(server: Server) -> None:
    """Nothing of any stream is left."""
    await until(lambda: subscribers(server) == 0)
    await until(lambda: server.metric("veredus_push_streams", transport="eventsource") == 0)
    assert server.http._streams.open == set()


# -------------------------------------------------------------------- the request


@pytest.mark.parametrize(
    ("query", "about"),
    [
        ("", "types"),
        ("types=*&ping=0", "closeafter"),
        ("types=*&closeafter=no", "ping"),
        ("types=&closeafter=no&ping=0", "types"),
        ("types=Email,&closeafter=no&ping=0", "types"),
        ("types=*,Email&closeafter=no&ping=0", "types"),
        ("types=Email%20Mailbox&closeafter=no&ping=0", "types"),
        ("types=Em%0Aail&closeafter=no&ping=0", "types"),
        ("types=" + "E" * 300 + "&closeafter=no&ping=0", "types"),
        ("types=*&closeafter=never&ping=0", "closeafter"),
        ("types=*&closeafter=no&ping=", "ping"),
        ("types=*&closeafter=no&ping=-1", "ping"),
        ("types=*&closeafter=no&ping=1.5", "ping"),
        ("types=*&closeafter=no&ping=%D9%A1", "ping"),
        ("types=*&closeafter=no&ping=" + "9" * 5000, "ping"),
    ],
)
async def test_a_bad_variable_is_named(server: Server, alice: Jmap, query: str, about: str) -> None:
    events = await server.get(query, token=await server.token(alice))
    assert (events.status, events.headers["content-type"]) == (400, "application/problem+json")
    body = json.loads(await events._reader.readexactly(int(events.headers["content-length"])))
    assert (body["status"], about in body["detail"]) == (400, True)
    await assert_empty(server)


async def test_without_credentials_there_is_no_stream(server: Server) -> None:
    for token in (None, "vrd_nope"):
        events = await server.get(token=token)
        assert events.status == 401
        assert events.headers["www-authenticate"].startswith("basic ")


async def test_credentials_that_end_while_a_client_is_let_in_open_no_stream(
    server: Server, alice: Jmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, subscribe = await server.token(alice), server.app.hub.subscribe

    async def too_late(*args: object) -> Subscription:
        [record] = await server.app.accounts.tokens("alice@example.com")
        await server.app.accounts.revoke_token(record["id"])
        return await subscribe(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(server.app.hub, "subscribe", too_late)
    events = await server.get(token=token)
    assert events.status == 401
    assert events.headers["www-authenticate"].startswith("basic ")
    await assert_empty(server)


async def test_a_ticket_opens_one_stream(server: Server, alice: Jmap) -> None:
    identity = await server.app.authenticator.authenticate(f"Bearer {await server.token(alice)}")
    assert identity is not None
    ticket, _ = await server.app.tickets.mint(identity)
    assert (await server.get(ticket=ticket)).status == 200
    assert (await server.get(ticket=ticket)).status == 401


async def test_the_head_keeps_proxies_from_holding_events_back(app: App, alice: Jmap) -> None:
    async with event_server(app, cors_origins=("https://mail.example",)) as server:
        token = await server.token(alice)
        events = await server.get(token=token, fields="origin: https://mail.example\r\n")
        assert events.headers.pop("date").endswith("gmt")
        exposed = events.headers.pop("access-control-expose-headers")
        assert "etag" in exposed
        assert events.headers == {
            "content-type": "text/event-stream",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "connection": "close",
            "transfer-encoding": "chunked",
            "access-control-allow-origin": "https://mail.example",
            "vary": "origin",
        }
        other = await server.get(token=token, fields="origin: https://evil.example\r\n")
        assert "access-control-allow-origin" not in other.headers


async def test_head_and_first_block_come_in_one_packet(server: Server, alice: Jmap) -> None:
    token = await server.token(alice)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    query = "types=*&closeafter=no&ping=0"
    request = f"GET /jmap/eventsource?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    assert (await reader.read(65_536)).endswith(b"\n\n\r\n")
    writer.close()


async def test_head_has_no_body_and_opens_no_stream(server: Server, alice: Jmap) -> None:
    token = await server.token(alice)
    events = await server.get(token=token, method="HEAD", fields="connection: close\r\n")
    assert (events.status, events.headers["content-type"]) == (200, "text/event-stream")
    assert await events.body() == b""
    await assert_empty(server)


async def test_http_1_0_gets_a_body_that_ends_with_the_connection(server: Server, alice: Jmap) -> None:
    token = await server.token(alice)
    events = await server.stream(token, version="1.0")
    assert "transfer-encoding" not in events.headers
    state = await change(alice)
    assert (await events.state())[alice.account]["Mailbox"] == state
    closing = await server.stream(token, version="1.0", closeafter="state")
    state = await change(alice, "y")
    assert (await closing.state())[alice.account]["Mailbox"] == state
    assert await closing.next() is None


def test_intervals_that_the_rfc_forbids_are_refused() -> None:
    for ping_s in ((31, 900), (15, 299)):
        with pytest.raises(ValueError, match="§7"):
            EventSource(None, None, ping_s)  # type: ignore[arg-type]


# -------------------------------------------------------------------- the end


async def test_revoked_credentials_and_lost_access_end_the_stream(server: Server, alice: Jmap) -> None:
    app = server.app
    bob = await new_user(app, "bob@example.com")
    await app.accounts.grant("bob@example.com", alice.account, "read")
    carol = await new_user(app, "carol@example.com")

    async def revoke() -> None:
        [token] = await app.accounts.tokens("alice@example.com")
        await app.accounts.revoke_token(token["id"])

    ends: list[tuple[Jmap, Callable[[], Awaitable[object]]]] = [
        (alice, revoke),
        (bob, lambda: app.accounts.grant("bob@example.com", alice.account, None)),
        (carol, lambda: app.accounts.set_disabled("carol@example.com", True)),
    ]
    tokens = [await server.token(user) for user, _ in ends]
    streams = [await server.stream(token) for token in tokens]
    for number, (_, end) in enumerate(ends):
        await end()
        assert await streams[number].next(5) is None
        assert streams[number].is_complete
        assert subscribers(server) == len(ends) - number - 1
    assert [(await server.get(token=token)).status for token in tokens] == [401, 200, 401]


async def test_a_grant_that_is_added_is_told_of_on_the_same_stream(server: Server, alice: Jmap) -> None:
    bob = await new_user(server.app, "bob@example.com")
    events = await server.stream(await server.token(bob))
    await server.app.accounts.grant("bob@example.com", alice.account, "read")
    assert (await events.state()).keys() == {alice.account}
    assert (events.id or "").count("~") == 1


async def test_a_closing_server_ends_streams_so_that_clients_spread(app: App, alice: Jmap) -> None:
    async with event_server(app) as server:
        token = await server.token(alice)
        streams = [await server.stream(token) for _ in range(20)]
        old = await server.stream(token, version="1.0")
        closing = asyncio.create_task(server.http.close())
        times = set()
        for events in (*streams, old):
            last = await events.next()
            assert last is not None
            assert last.names == ["retry"]
            times.add(int(last["retry"] or 0))
            assert await events.next() is None
            assert events.is_complete
        assert len(times) > 5
        assert min(times) >= 1000
        assert max(times) <= 5000
        await asyncio.wait_for(closing, 5)
        await assert_empty(server)


async def test_a_hub_that_closes_first_ends_streams_in_the_same_way(server: Server, alice: Jmap) -> None:
    events = await server.stream(await server.token(alice))
    await server.app.hub.close()
    last = await events.next()
    assert last is not None
    assert last.names == ["retry"]
    assert await events.next() is None


# -------------------------------------------------------------------- clients that go, or do not read


@pytest.mark.parametrize("leaves", ["before", "while", "after"])
async def test_a_client_that_leaves_while_it_is_let_in_leaves_nothing(
    server: Server, alice: Jmap, monkeypatch: pytest.MonkeyPatch, leaves: str
) -> None:
    token = await server.token(alice)
    subscribe, gone, entered = server.app.hub.subscribe, asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> Subscription:
        entered.set()
        if leaves == "before":
            await gone.wait()
        subscription = await subscribe(*args)  # type: ignore[arg-type]
        if leaves == "while":
            await gone.wait()
        return subscription

    monkeypatch.setattr(server.app.hub, "subscribe", slow)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    query = "types=*&closeafter=no&ping=1"
    writer.write(
        f"GET /jmap/eventsource?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    )
    await entered.wait()
    if leaves == "after":
        await until(lambda: server.metric("veredus_push_streams", transport="eventsource") == 1)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    gone.set()
    await asyncio.sleep(0.1)
    await assert_empty(server)
    await change(alice)  # nobody is there to be told, and nothing raises


async def test_what_a_client_sends_after_its_request_is_read_and_forgotten(
    server: Server, alice: Jmap
) -> None:
    events = await server.stream(await server.token(alice))
    for _ in range(50):
        events.writer.write(b"GET /jmap/session HTTP/1.1\r\nhost: x\r\n\r\n" * 2000)
        await asyncio.wait_for(events.writer.drain(), 5)
    state = await change(alice)
    assert (await events.state())[alice.account]["Mailbox"] == state


def small_buffer(events: Events) -> None:
    sock: socket.socket = events.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    events.writer.transport.pause_reading()  # type: ignore[attr-defined]


async def test_who_does_not_read_delays_nobody_and_gets_one_merged_state(
    server: Server, alice: Jmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "GAP_S", 0.0)
    token = await server.token(alice)
    others = [await server.stream(token) for _ in range(50)]
    slow = await server.stream(token)
    small_buffer(slow)
    box = await alice.create("Mailbox", name="box")
    for events in others:
        await events.state()
    told, last = 0, ""
    for number in range(2000):
        await alice.update("Mailbox", box["id"], name=f"box {number}")
        last = await alice.state("Mailbox")
        told += 1
        for events in others:
            assert (await events.state())[alice.account]["Mailbox"] == last
        [unsent] = [
            size
            for stream in server.http._streams.open
            if not stream.is_writable and (size := stream.transport.get_write_buffer_size())
        ] or [0]
        assert unsent < 1000  # one event at most
        if unsent and told > 20:
            break
    else:
        pytest.fail("the stream never stalled")
    for number in range(20):  # while it is stalled
        await alice.update("Mailbox", box["id"], name=f"late {number}")
        last = await alice.state("Mailbox")
        for events in others:
            assert (await events.state())[alice.account]["Mailbox"] == last
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    seen = []
    while not seen or seen[-1] != last:
        seen.append((await slow.state())[alice.account]["Mailbox"])
    assert seen == sorted(seen, key=int)
    assert len(seen) <= told + 2  # of the last twenty it got the last alone
    assert await slow.is_silent()


async def test_who_never_reads_is_cut_off(app: App, alice: Jmap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "GAP_S", 0.0)
    async with event_server(app, timeouts=QUICK) as server:
        slow = await server.stream(await server.token(alice))
        small_buffer(slow)
        box = await alice.create("Mailbox", name="box")
        async with asyncio.timeout(60):
            number = 0
            while subscribers(server):
                number += 1
                await alice.update("Mailbox", box["id"], name=f"box {number}")
                await asyncio.sleep(0)
        await assert_empty(server)


async def test_a_thousand_idle_streams_come_and_go(server: Server, alice: Jmap) -> None:
    token = await server.token(alice)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    streams: list[Events] = []
    for _ in range(20):
        streams += await asyncio.gather(*(server.stream(token, ping=300) for _ in range(50)))
    assert server.metric("veredus_push_streams", transport="eventsource") == 1000
    assert server.metric("veredus_push_subscribers") == 1000
    assert server.metric("veredus_push_accounts") == 1
    before = server.metric("veredus_push_events_total") or 0
    state = await change(alice)
    for changed in await asyncio.gather(*(events.state() for events in streams)):
        assert changed[alice.account]["Mailbox"] == state
    assert server.metric("veredus_push_events_total") == before + 1000
    for events in streams[::2]:
        events.close()
    for events in streams[1::2]:
        events.writer.transport.abort()
    await assert_empty(server)


def test_uvloop_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        for scenario in (
            test_a_closing_server_ends_streams_so_that_clients_spread,
            test_revoked_credentials_and_lost_access_end_the_stream,
            test_who_does_not_read_delays_nobody_and_gets_one_merged_state,
            test_who_never_reads_is_cut_off,
        ):
            async with open_server("memory", tmp_path) as app:
                alice, wanted = await new_user(app), scenario.__annotations__
                given = {"monkeypatch": monkeypatch} if "monkeypatch" in wanted else {}
                if "app" in wanted:
                    await scenario(app=app, alice=alice, **given)  # type: ignore[call-arg,arg-type]
                    continue
                async with event_server(app) as server:
                    await scenario(server=server, alice=alice, **given)  # type: ignore[call-arg,arg-type]
        for leaves in ("before", "while", "after"):
            with pytest.MonkeyPatch.context() as patch:
                async with open_server("memory", tmp_path) as app, event_server(app) as server:
                    await test_a_client_that_leaves_while_it_is_let_in_leaves_nothing(
                        server, await new_user(app), patch, leaves
                    )

    uvloop.run(run())
