"""A server that was told to stop and has time: its clients go elsewhere and lose nothing by it (ADR 0024)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import websocket_peer
from edges.test_eventsource_support import Events, event_server
from edges.test_http_connections import GET, post
from edges.test_http_support import running
from jmap import new_user, open_server
from veredus.app import App
from veredus.http.settings import Timeouts
from waiting import until

DRAIN_S = 1.0


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        yield app


async def test_each_answer_is_the_last_of_its_connection_and_new_ones_are_served() -> None:
    async with running() as server, server.client() as client:
        early = (await server.connect(), await server.connect())
        draining = asyncio.create_task(server.server.drain(DRAIN_S))
        await asyncio.sleep(0)
        for reader, writer in (*early, await server.connect()):
            writer.write(GET)
            answer = await asyncio.wait_for(reader.read(-1), 10)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nconnection: close\r\n" in answer
            writer.close()
        assert (await client.get("/healthz")).headers["connection"] == "close"
        assert not draining.done()
        await draining


async def test_a_request_in_flight_when_draining_begins_is_answered() -> None:
    async with running() as server:
        server.api.hold.clear()
        reader, writer = await server.connect()
        writer.write(post(b"{}"))
        await until(lambda: server.api.waiting == 1)
        await server.server.drain(0.1)
        closing = asyncio.create_task(server.server.close())
        await asyncio.sleep(0.05)
        server.api.hold.set()
        assert (await asyncio.wait_for(reader.read(-1), 10)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await closing


async def test_event_sources_are_ended_one_after_the_other(app: App) -> None:
    alice = await new_user(app)
    async with event_server(app) as server:
        token = await server.token(alice)
        streams = [await server.stream(token) for _ in range(20)]
        draining = asyncio.create_task(server.http.drain(DRAIN_S))
        await until(lambda: server.http._streams.is_draining)
        streams.append(await server.stream(token))  # also one that begins now
        staying: list[int] = []

        async def follow(events: Events) -> int:
            last = await events.next()
            staying.append(sum(not stream.is_leaving for stream in server.http._streams.open))
            assert last is not None
            assert last.names == ["retry"]
            assert await events.next() is None
            assert events.is_complete
            return int(last["retry"] or 0)

        retries = await asyncio.gather(*map(follow, streams))
        assert not draining.done()
        assert all(100 <= retry <= 1000 for retry in retries)
        # Most were not even asked when the first ended.
        assert max(staying) > 10
        await draining


async def test_changes_are_told_until_a_stream_is_ended(app: App) -> None:
    alice = await new_user(app)
    async with event_server(app) as server:
        events = await server.stream(await server.token(alice))
        draining = asyncio.create_task(server.http.drain(DRAIN_S))
        await alice.create("Mailbox", name="late")
        assert (await events.state())[alice.account]["Mailbox"] == await alice.state("Mailbox")
        await draining


async def test_a_web_socket_is_closed_when_its_requests_are_answered(app: App) -> None:
    async with websocket_peer.server(app) as there, there.connect() as peer:
        await peer.echo("one", hold=True)
        await until(lambda: there.engine.held == 1)
        draining = asyncio.create_task(there.http.drain(DRAIN_S))
        await until(lambda: all(stream.is_leaving for stream in there.http._streams.open))
        # It has not been closed, so this counts: no request is refused while there is time.
        await peer.echo("two")
        assert (await peer.receive())["requestId"] == "two"
        there.engine.go.set()
        assert (await peer.receive())["requestId"] == "one"
        assert (await peer.closed())[0] == 1001
        await draining


@pytest.mark.parametrize("retired", [False, True])
async def test_a_request_that_crosses_the_end_of_its_connection_meets_no_reset(retired: bool) -> None:
    async with running(timeouts=Timeouts(linger_s=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, GET)
            answer = b""
            while not answer.endswith(b"}"):
                answer += await loop.sock_recv(sock, 65_536)
            closing = asyncio.create_task(server.server.close(retired=retired))
            assert await loop.sock_recv(sock, 1) == b""  # the end, which the client does not look at
            await loop.sock_sendall(sock, GET)
            # Its kernel has the server's answer to those octets when it has that to the end of ours.
            sock.shutdown(socket.SHUT_WR)
            await closing
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert await loop.sock_recv(sock, 1) == b""


async def test_a_client_that_never_closes_does_not_hold_up_the_end() -> None:
    async with running() as server:
        reader, writer = await server.connect()
        await asyncio.wait_for(server.server.close(), 5)
        assert await reader.read() == b""
        writer.close()
