"""Push from our own server, over its sockets (RFC 8620 §7.3, RFC 8887)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from client.push.listening import listening
from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from jmap import Jmap, new_user, open_server
from sockets import http
from veredus.app import App
from veredus.client.credentials import Basic, Bearer
from veredus.client.errors import Unauthorized
from veredus.client.http import Connection
from veredus.client.push import Changed, Connected, Lost, Poll, PushPosition
from veredus.client.session import Session, decode_session

PUSHED = ("websocket", "eventsource")
ALICE = ("alice@example.com", "secret")


class World:
    """A server with one user."""

    def __init__(self, app: App, url: str, user: Jmap, credential: str, token: str) -> None:
        self.app, self.url, self.user, self.credential = app, url, user, credential
        self.bearer = Bearer(token)

    async def session(self) -> Session:
        return await fetched(self.url, self.bearer)


async def fetched(url: str, credentials: Any) -> Session:
    async with Connection(credentials) as connection:
        return decode_session(*await connection.fetch(f"{url}/.well-known/jmap"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_server("memory", tmp_path) as app:
        user = await new_user(app)
        credential, token = await app.accounts.create_token(
            user.identity.user, "test", "write", app.clock.now()
        )
        async with http(app) as url:
            yield World(app, url, user, credential, token)


async def test_it_is_a_websocket_that_tells_of_a_change(world: World) -> None:
    async with listening(world.session, world.bearer) as listener:
        assert (await listener.expect(Connected)).transport == "websocket"
        await world.user.create("Mailbox", name="a")
        changed = (await listener.expect(Changed)).changed
        assert changed[world.user.account]["Mailbox"] == await world.user.state("Mailbox")


@pytest.mark.parametrize("transport", PUSHED)
async def test_only_the_types_that_were_asked_for_are_told(world: World, transport: Any) -> None:
    async with listening(
        world.session, world.bearer, transport=transport, types=["Mailbox", "Thread"]
    ) as listener:
        await listener.expect(Connected)
        await world.user.import_email(b"Subject: x\r\n\r\nText.\r\n")
        wanted = {type: await world.user.state(type) for type in ("Mailbox", "Thread")}
        told: dict[str, str] = {}
        while told != wanted:
            told |= (await listener.expect(Changed)).changed[world.user.account]


@pytest.mark.parametrize("transport", PUSHED)
async def test_who_resumes_is_told_what_was_missed(world: World, transport: Any) -> None:
    options: dict[str, Any] = {"transport": transport, "types": ["Mailbox"]}
    async with listening(world.session, world.bearer, **options) as listener:
        await listener.expect(Connected)
        await world.user.create("Mailbox", name="a")
        position = (await listener.expect(Changed)).position
    await world.user.create("Mailbox", name="b")
    wanted = {world.user.account: {"Mailbox": await world.user.state("Mailbox")}}
    async with listening(world.session, world.bearer, resume=position, **options) as listener:
        await listener.expect(Connected)
        assert (await listener.expect(Changed)).changed == wanted
    async with listening(world.session, world.bearer, resume=PushPosition("?", "?"), **options) as listener:
        await listener.expect(Connected)
        assert (await listener.expect(Changed)).changed == wanted


async def test_with_closeafter_each_change_is_told_all_the_same(world: World) -> None:
    async with listening(
        world.session, world.bearer, transport="eventsource", types=["Mailbox"], closeafter="state"
    ) as listener:
        await listener.expect(Connected)
        for name in "abcde":
            await world.user.create("Mailbox", name=name)
            wanted = await world.user.state("Mailbox")
            while (await listener.until(Changed)).changed[world.user.account]["Mailbox"] != wanted:
                pass
        assert not any(isinstance(signal, Lost) for signal in listener.seen)


async def test_the_websocket_is_compressed(world: World) -> None:
    """The server compresses what is large, and we understand it: here an echo of our own."""
    from veredus.client.push.transport import Timing, Wanted
    from veredus.client.push.websocket import websocket

    session = await world.session()
    async with Connection(world.bearer) as connection:
        wanted = Wanted(None, 30, False, Timing())
        async with websocket(connection, session.websocket_url or "", wanted, None) as stream:
            assert stream._socket.compress
            call = ["Core/echo", {"text": "x" * 100_000}, "0"]
            request = {"@type": "Request", "using": ["urn:ietf:params:jmap:core"], "methodCalls": [call]}
            await stream._socket.send_json(request)
            assert (await stream._receive()).type == "Response"


@pytest.mark.parametrize("transport", ["auto", *PUSHED])
async def test_credentials_that_are_revoked_end_it(world: World, transport: Any) -> None:
    async with listening(lambda: asyncio.sleep(0, session), world.bearer, transport=transport) as listener:
        session = await world.session()
        await listener.expect(Connected)
        await world.app.accounts.revoke_token(world.credential)
        with pytest.raises(Unauthorized):
            await listener.until(Poll)


async def test_polling_says_look_and_asks_the_server_nothing(world: World) -> None:
    session = await world.session()
    async with listening(lambda: asyncio.sleep(0, session), transport="poll", poll_s=0.05) as listener:
        assert (await listener.expect(Connected)).transport == "poll"
        for _ in range(3):
            await listener.expect(Poll)


def _of(url: Callable[[], str]) -> Callable[[], Awaitable[Session]]:
    async def session() -> Session:
        return await fetched(url(), Basic(*ALICE))

    return session


@pytest.mark.parametrize("transport", PUSHED)
async def test_a_server_that_is_killed_is_found_again_and_nothing_is_missed(
    tmp_path: Path, transport: Any
) -> None:
    server = ServerProcess(tmp_path)

    async def create_mailbox() -> str:
        client = HttpJmap(server.url, ALICE, account)
        try:
            created = await client.call("Mailbox/set", create={"a": {"name": str(server.ports)}})
        finally:
            await client.close()
        return str(created["newState"])

    async with server:
        async with server.opened() as app:
            account = await app.add_account(*ALICE)
        await server.start()
        options: dict[str, Any] = {"transport": transport, "types": ["Mailbox"]}
        async with listening(_of(lambda: server.url), Basic(*ALICE), **options) as listener:
            await listener.expect(Connected)
            await create_mailbox()
            await listener.expect(Changed)
            await server.kill()
            await listener.expect(Lost)
            await server.start()
            wanted = await create_mailbox()
            await listener.until(Connected)
            while (await listener.until(Changed)).changed[account]["Mailbox"] != wanted:
                pass
