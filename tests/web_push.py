"""A server that pushes, a push service that it pushes to, and clients that read there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jmap import Jmap, open_server
from veredus.app import App
from veredus.config.settings import Push
from veredus.formats.webpush import decrypt, encode_base64url, new_keys
from veredus.push import hub
from veredus.push.web import pace, pusher
from waiting import until

EMAIL_PUSH = "urn:ietf:params:jmap:emailpush"
# A machine under load; nothing here waits so long when all is well.
PATIENCE_S = 15


class Pushed:
    """One request that the push service got."""

    def __init__(self, path: str, headers: Any, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body

    @property
    def object(self) -> Any:
        return json.loads(self.body)


class PushService:
    """Answers 201, or what ``answers`` says by path, and keeps what came."""

    def __init__(self) -> None:
        self.got: list[Pushed] = []
        self.url = ""
        # By path: a status, and further header fields.
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.delay_s = 0.0
        self._came = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        pushed = Pushed(request.path, request.headers, await request.read())
        status, headers = self.answers.get(request.path, (201, {}))
        delay_s = self.delay_s
        async with self._came:
            self.got.append(pushed)
            self._came.notify_all()
        await asyncio.sleep(delay_s)
        return web.Response(status=status, headers=headers)

    def at(self, path: str) -> list[Pushed]:
        return [pushed for pushed in self.got if pushed.path == path]

    async def wait(self, path: str, count: int = 1) -> Pushed:
        """The ``count``-th request to a path."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(self.at(path)) >= count)
        return self.at(path)[count - 1]


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    service = PushService()
    application = web.Application()
    application.router.add_post("/{path:.*}", service.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


def push_app(store: str, directory: Path, **push: Any) -> AbstractAsyncContextManager[App]:
    """A server without sockets that may push to this machine; ``pushing`` makes it do so."""
    return open_server(store, directory, push=Push(**{"allow": ("127.0.0.0/8",), **push}))


@asynccontextmanager
async def pushing(app: App, *, alone: bool = True) -> AsyncIterator[None]:
    """What a serving process does besides its sockets. ``alone``: no other process pushes."""
    stop = asyncio.Event()
    app.web_push.pusher = None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.hub.run(stop))
        tasks.create_task(app.web_push.run(stop))
        # A subscription that is older than the one who pushes begins with a message about everything.
        if alone:
            await until(lambda: app.web_push.pusher is not None and app.web_push.pusher._state is not None)
        try:
            yield
        finally:
            stop.set()


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server wait for shorter times than in real life; their order stays."""
    monkeypatch.setattr(hub, "INTERVAL_S", 0.2)
    monkeypatch.setattr(pusher, "INTERVAL_S", 0.2)
    monkeypatch.setattr(pusher, "TAKE_OVER_S", 0.3)
    monkeypatch.setattr(pusher, "SURE_AFTER_S", 0.4)
    monkeypatch.setattr(pusher, "LAST_MOMENT_S", 0.5)
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.2)
    monkeypatch.setattr(pace, "FIRST_GAP_S", 0.6)


class Client(Jmap):
    """One user's program with a token of its own."""

    token_id = ""

    @classmethod
    async def of(cls, app: App, address: str = "alice@example.com", scope: Any = "write") -> "Client":
        async with app.store.read("system") as snapshot:
            is_known = bool(await snapshot.get("User", [address]))
        if not is_known:
            await app.add_account(address, None)
        account = (await app.directory.accounts(address))[0].id
        id, secret = await app.accounts.create_token(address, "test", scope, app.clock.now())
        identity = await app.authenticator.authenticate(f"Bearer {secret}")
        assert identity is not None
        client = cls(app, address, account)
        client.identity, client.token_id = identity, id
        client.using.append(EMAIL_PUSH)
        return client

    async def responses(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Without accountId where the method takes none."""
        filled = [
            [name, args if name.startswith("PushSubscription/") else {"accountId": self.account, **args}, "0"]
            for name, args in calls
        ]
        return (await self.request(*filled))["methodResponses"]

    async def listed(self, **args: Any) -> list[Any]:
        """All subscriptions of these credentials."""
        return (await self.call("PushSubscription/get", ids=None, **args))["list"]

    async def register(self, url: str, **more: Any) -> str:
        """The id of a new subscription, not verified."""
        return (await self.create("PushSubscription", deviceClientId="device", url=url, **more))["id"]

    async def verify(self, id: str, code: str) -> None:
        await self.update("PushSubscription", id, verificationCode=code)

    async def subscribe(self, service: PushService, path: str = "/a", **more: Any) -> str:
        """The same with the whole handshake."""
        id = await self.register(service.url + path, **more)
        await self.verify(id, (await service.wait(path)).object["verificationCode"])
        return id

    async def mailboxes(self, *names: str) -> None:
        """Change something."""
        for name in names:
            await self.create("Mailbox", name=name)


class Keys:
    """A user agent's keys (RFC 8291)."""

    def __init__(self) -> None:
        self._private, self._public = new_keys()
        self.given = {
            "p256dh": encode_base64url(self._public.p256dh),
            "auth": encode_base64url(self._public.auth),
        }

    def read(self, pushed: Pushed) -> Any:
        """The object in an encrypted push."""
        return json.loads(decrypt(pushed.body, self._private, self._public.auth))


async def progress(app: App, name: str) -> object:
    """A property of the PushProgress of the only subscription."""
    async with app.store.read("system") as snapshot:
        found = await snapshot.get("PushProgress", None)
    return found and found[0][name]
