"""EventSource (RFC 8620 §7.3), over real sockets."""

import asyncio
import json
import smtplib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edges.test_eventsource_support import Server, event_server
from jmap import Jmap, message, open_server
from veredus.app import App
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Http
from veredus.serving import serve

pytestmark = pytest.mark.rfc("8620", "7.3")


@pytest.fixture
async def server(app: App) -> AsyncIterator[Server]:
    async with event_server(app) as server:
        yield server


@pytest.fixture
async def token(server: Server, jmap: Jmap) -> str:
    return await server.token(jmap)


async def states(user: Jmap, *types: str) -> dict[str, str]:
    return {type: await user.state(type) for type in types}


@pytest.mark.must
async def test_mail_by_lmtp_is_pushed_with_the_states_that_get_returns(tmp_path: Path) -> None:
    async with open_server("sqlite", tmp_path) as app:
        object.__setattr__(app.config, "http", Http(listen=("127.0.0.1:0",)))
        object.__setattr__(app.config, "lmtp", Lmtp(listen=("127.0.0.1:0",)))
        account = await app.add_account("alice@example.com", "secret")
        jmap = Jmap(app, "alice@example.com", account)
        async with serve(app) as running:
            assert running.lmtp is not None
            server = Server(app, running.http, None)  # type: ignore[arg-type]
            events = await server.stream(await server.token(jmap))

            def deliver(port: int) -> None:
                with smtplib.LMTP("127.0.0.1", port) as lmtp:
                    lmtp.sendmail("bob@example.com", ["alice@example.com"], message())

            await asyncio.to_thread(deliver, int(running.lmtp.addresses[0].rpartition(":")[2]))
            # Until all is told: the delivery may be more transactions than one.
            wanted = await states(jmap, "Email", "Mailbox", "Thread", "Quota")
            told: dict[str, str] = {}
            while not wanted.items() <= told.items():
                changed = await events.state()
                assert changed.keys() == {account}
                told |= changed[account]
            server.close_clients()


@pytest.mark.must
async def test_only_the_listed_types_are_pushed(server: Server, jmap: Jmap, token: str) -> None:
    mailboxes = await server.stream(token, types="Mailbox,Unheard-Of,com.example:Thing")
    todos = await server.stream(token, types="Todo")
    both = await server.stream(token, types="Todo,Mailbox")
    everything = await server.stream(token)
    await jmap.create("Mailbox", name="x")
    wanted = await states(jmap, "Mailbox")
    assert await mailboxes.state() == {jmap.account: wanted}
    assert await both.state() == {jmap.account: wanted}
    assert (await everything.state())[jmap.account].items() >= wanted.items()
    assert await todos.is_silent()


@pytest.mark.should
async def test_each_event_sets_an_id_and_a_stream_says_where_it_begins(
    server: Server, jmap: Jmap, token: str
) -> None:
    events = await server.stream(token)
    ids = [events.id]
    for name in "abc":
        await jmap.create("Mailbox", name=name)
        await events.state()
        ids.append(events.id)
    assert len(set(ids)) == 4


@pytest.mark.must
async def test_closeafter_state_ends_the_response_after_one_event(
    server: Server, jmap: Jmap, token: str
) -> None:
    events = await server.stream(token, closeafter="state")
    await jmap.create("Mailbox", name="x")
    assert jmap.account in await events.state()
    assert await events.next() is None
    assert events.is_complete
    # It polls: each response tells of what has happened since the last one.
    await jmap.create("Mailbox", name="y")
    again = await server.get(
        token=token, closeafter="state", fields=f"Last-Event-ID: {events.id}\r\n", types="Mailbox"
    )
    assert await again.state() == {jmap.account: await states(jmap, "Mailbox")}
    assert await again.next() is None
    assert again.is_complete


@pytest.mark.must
async def test_a_ping_comes_when_the_time_has_elapsed_since_the_last_event(
    server: Server, jmap: Jmap, token: str
) -> None:
    events = await server.stream(token, ping=1)
    await asyncio.sleep(0.6)
    await jmap.create("Mailbox", name="x")
    await events.state()
    last, id = time.monotonic(), events.id
    for _ in range(2):
        ping = await events.next()
        assert ping is not None
        assert ping.fields == [("event", "ping"), ("data", '{"interval":1}')]
        assert time.monotonic() - last > 0.9
        last = time.monotonic()
    assert events.id == id


@pytest.mark.must
async def test_ping_0_is_no_ping(server: Server, token: str) -> None:
    events = await server.stream(token, ping=0)
    assert await events.is_silent(1.5)


@pytest.mark.must
async def test_the_interval_is_clamped_and_the_granted_one_is_reported(
    app: App, jmap: Jmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits for 900 s: a ping comes at once, with the interval that was granted.
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    granted = []

    def at_once(delay: float, callback, *args):  # type: ignore[no-untyped-def]
        if getattr(callback, "__name__", "") != "_ping_if_due":
            return call_later(delay, callback, *args)
        granted.append(delay)
        stream = callback.__self__
        stream._told_at = loop.time() - delay
        return call_later(0 if len(granted) % 2 else 900, callback, *args)

    async with event_server(app, ping_s=(15, 900)) as server:
        token = await server.token(jmap)
        monkeypatch.setattr(loop, "call_later", at_once)
        for asked, interval in ((1, 15), (15, 15), (30, 30), (300, 300), (900, 900), (10**9, 900)):
            events = await server.stream(token, ping=asked)
            ping = await events.next()
            assert ping is not None
            assert json.loads(ping["data"] or "") == {"interval": interval}
            assert granted[-1] == interval


@pytest.mark.should
async def test_what_was_missed_is_told_at_once_also_after_a_restart(tmp_path: Path) -> None:
    async with open_server("sqlite", tmp_path) as app:
        jmap = Jmap(app, "alice@example.com", await app.add_account("alice@example.com", None))
        async with event_server(app) as server:
            token = await server.token(jmap)
            events = await server.stream(token)
            await jmap.create("Mailbox", name="told")
            await events.state()
        await jmap.create("Mailbox", name="missed")
        missed = await states(jmap, "Mailbox")
    async with open_server("sqlite", tmp_path) as app, event_server(app) as server:
        again = await server.get(token=token, fields=f"Last-Event-ID: {events.id}\r\n")
        assert (await again.state())[jmap.account].items() >= missed.items()
        # Who has missed nothing is told where it stands, and how soon to come back if the connection ends.
        first = await (await server.get(token=token, fields=f"Last-Event-ID: {again.id}\r\n")).next()
        assert first is not None
        assert [name for name, _ in first.fields] == ["id", "retry"]
        assert first.fields[0] == ("id", again.id)
        # A page can set no header field on an EventSource; where there is one, it wins.
        page = await server.get(token=token, lastEventId=events.id)
        assert (await page.state())[jmap.account].items() >= missed.items()
        both = await server.get(token=token, lastEventId=events.id, fields=f"Last-Event-ID: {again.id}\r\n")
        nothing = await both.next()
        assert nothing is not None
        assert nothing.fields[0] == first.fields[0]


async def test_an_id_that_is_none_of_ours_is_answered_with_everything(
    server: Server, jmap: Jmap, token: str
) -> None:
    for id in ("42", "a.b", "x" * 5000, "\u00e9".encode().decode("latin-1"), f"{jmap.account}.999999999"):
        events = await server.get(token=token, fields=f"Last-Event-ID: {id}\r\n")
        told = (await events.state())[jmap.account]
        assert told.items() >= (await states(jmap, "Mailbox")).items(), id
        events.close()


async def test_changes_of_all_accounts_come_on_one_stream(
    server: Server, jmap: Jmap, second: Jmap, reader: Jmap
) -> None:
    both = await server.stream(await server.token(jmap))
    one = await server.stream(await server.token(reader), types="Mailbox")
    await second.create("Mailbox", name="x")
    assert (await both.state()).keys() == {second.account}
    await jmap.create("Mailbox", name="y")
    assert (await both.state()).keys() == {jmap.account}
    assert (await one.state()).keys() == {jmap.account}


@pytest.mark.must
async def test_the_url_of_the_session_leads_here(server: Server, jmap: Jmap, token: str) -> None:
    session = json.loads((await server.app.engine.session(jmap.identity, "http://x"))[0])
    url: str = session["eventSourceUrl"]
    for name, value in (("types", "Email%2CMailbox"), ("closeafter", "no"), ("ping", "30")):
        assert f"{{{name}}}" in url
        url = url.replace(f"{{{name}}}", value)
    path, _, query = url.removeprefix("http://x").partition("?")
    assert path == "/jmap/eventsource"
    events = await server.get(query, token=token)
    assert (events.status, events.headers["content-type"]) == (200, "text/event-stream")
