"""All that a fault scenario needs: our server, a NATS, a proxy before each, and a bridge that knows only these.

    server <- proxy <- bridge -> tap -> NATS

The server is in the process of the test, the NATS and the bridge are processes of their own. What the test
itself does and looks up goes past the proxies.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from e2e.clients import HttpJmap
from faults import checks, replay
from faults.bridge import BridgeProcess, bridge_config
from faults.nats import NatsProcess
from faults.nats_tap import NatsTap
from faults.proxy import Proxy
from faults.replay import events_are_read, replay_gives_the_servers_state
from faults.seeding import seed
from faults.steps import Observer
from jmap import message
from veredus.app import App, open_app
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Blobs, Config, Http, Storage
from veredus.serving import Running, serve

USER = ("alice@example.com", "secret")
_PATIENCE_S = 60.0
# Of seeded mail: what a log must not say.
_CONTENT = ("Grüße", "plain ", "innocent", "zoe@", "mallory@", "Some words", "@seed")


class Arena:
    """``lmtp_port``: of the server; ``start``: the Email state before there was any mail."""

    def __init__(self, app: App, running: Running, nats: NatsProcess, proxy: Proxy, tap: NatsTap) -> None:
        self.app, self.nats, self.proxy, self.tap = app, nats, proxy, tap
        self.jmap = HttpJmap(f"http://{running.http.addresses[0]}", USER)
        assert running.lmtp is not None
        self.lmtp_port = int(running.lmtp.addresses[0].rpartition(":")[2])
        self.names = checks.Names()
        self.began = datetime.now(UTC)
        self.start = ""
        # Whether the settings have `replay.table`.
        self.events = False
        self.token_file: Path
        self.bridge: BridgeProcess
        self._inbox = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, directory: Path, *, more: str = "", jmap: str = "", max_payload: int | None = None
    ) -> AsyncIterator["Arena"]:
        """``more``: lines for the bridge's table of the configuration, ``jmap``: members of its ``jmap``.

        The bridge is not started yet.
        """
        config = Config(
            hostname="mail.example.com", data_dir=directory / "data",
            storage=Storage(url="memory"), blobs=Blobs(url="memory"),
            http=Http(listen=("127.0.0.1:0",)), lmtp=Lmtp(listen=("127.0.0.1:0",)),
        )  # fmt: skip
        async with AsyncExitStack() as stack:
            nats = await stack.enter_async_context(NatsProcess.started(directory, max_payload=max_payload))
            app = await stack.enter_async_context(open_app(config, types=[]))
            running = await stack.enter_async_context(serve(app))
            proxy = await stack.enter_async_context(Proxy.open(f"http://{running.http.addresses[0]}"))
            tap = await stack.enter_async_context(NatsTap.open(nats.port))
            arena = cls(app, running, nats, proxy, tap)
            arena.events = replay.table() in more
            stack.push_async_callback(arena.jmap.close)
            await arena._prepare(directory, more, jmap)
            stack.push_async_callback(arena.bridge.kill)
            yield arena

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: Path, more: str = "", *, jmap: str = "", max_payload: int | None = None
    ) -> AsyncIterator["Arena"]:
        """With a bridge that has read the empty account, and holds a lease of 1 s."""
        lease = f'lease = "1s"\n{more}'
        async with cls.open(directory, more=lease, jmap=jmap, max_payload=max_payload) as arena:
            await arena.bridge.start()
            await arena.until_settled()
            yield arena

    async def another(self, directory: Path, more: str = "") -> BridgeProcess:
        """One more bridge for the same account, not started; ``directory``: exists."""
        config = bridge_config(
            directory,
            session_url=self.proxy.session_url,
            nats_url=self.tap.url,
            token=await self.new_token(),
            more=more,
        )
        return BridgeProcess(config)

    async def free_lease(self) -> None:
        """As if its time were over: of a bridge that was killed."""
        async with self.connection() as connection:
            subject = f"$KV.JMAP_BRIDGE.lease.{self.jmap.account}"
            await connection.jetstream().purge_stream("KV_JMAP_BRIDGE", subject=subject)

    async def _prepare(self, directory: Path, more: str, jmap: str) -> None:
        await self.app.add_account(*USER)
        await self.jmap.session()
        self.start = (await self.jmap.call("Email/get", ids=[]))["state"]
        [self._inbox] = (await self.jmap.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
        config = bridge_config(
            directory,
            session_url=self.proxy.session_url,
            nats_url=self.tap.url,
            token=await self.new_token(),
            more=more,
            jmap=jmap,
        )
        self.token_file = directory / "jmap.token"
        self.bridge = BridgeProcess(config)

    async def new_token(self) -> str:
        """One more that is good for the account."""
        return (await self.app.accounts.create_token(USER[0], "faults", "write", self.app.clock.now()))[1]

    async def revoke_tokens(self) -> None:
        """None is good any more."""
        for token in await self.app.accounts.tokens(USER[0]):
            await self.app.accounts.revoke_token(token["id"])

    def observe(self, observer: Observer) -> None:
        """Let it see every step on both sides."""
        self.proxy.traffic.observers.append(observer)
        self.tap.observers.append(observer)

    # -------------------------------------------------------------- mail

    async def email(self, data: bytes | None = None, **properties: Any) -> str:
        """One message by import, with what Email/import may set; the Email's id."""
        blob = await self.jmap.upload(message() if data is None else data)
        emails = {"e": {"blobId": blob, "mailboxIds": {self._inbox: True}, **properties}}
        return str((await self.jmap.call("Email/import", emails=emails))["created"]["e"]["id"])

    async def seed(self, count: int, chance: random.Random, *, big: bool = False) -> int:
        """Varied mail, by import and LMTP; how many messages were taken."""
        return await seed(self.jmap, count, chance, lmtp_port=self.lmtp_port, to=USER[0], big=big)

    # -------------------------------------------------------------- the end

    async def ends_well(self, patience_s: float = _PATIENCE_S, **check: Any) -> list[checks.Published]:
        """All is read, nothing is missing (``check``), and the bridge has told nothing of any message."""
        await self.until_settled(patience_s)
        found = await self.check(**check)
        bugs = [line for line in self.bridge.errors if line.get("event") != "parked"]
        assert not bugs, bugs
        said = json.dumps(list(self.bridge.log), ensure_ascii=False)
        told = [text for text in _CONTENT if text in said]
        assert not told, f"the log tells of messages: {told}"
        if self.events:
            async with self.connection() as connection:
                await replay_gives_the_servers_state(self.jmap, connection)
        return found

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Client]:
        """To NATS itself."""
        connection = await self.nats.connect()
        try:
            yield connection
        finally:
            await connection.close()

    async def settled(self) -> bool:
        """Whether the cursor is where the account is; with ``events`` those of JMAP_EVENTS, too."""
        async with self.connection() as connection:
            found = await checks.cursor(connection, self.names, self.jmap.account)
            if found is None or found != (await self.jmap.call("Email/get", ids=[]))["state"]:
                return False
            return not self.events or await events_are_read(self.jmap, connection)

    async def until_settled(self, patience_s: float = _PATIENCE_S) -> None:
        """The bridge must be running, and stay so."""
        async with asyncio.timeout(patience_s):
            while not await self.settled():
                assert self.bridge.is_running, f"the bridge ended by itself: {list(self.bridge.log)[-5:]}"
                await asyncio.sleep(0.05)

    async def check(
        self,
        *,
        parked: Collection[str] = (),
        in_order: bool = True,
        parts_may_fail: bool = False,
        parts_of: int | None = None,
    ) -> list[checks.Published]:
        """`checks.every_email_is_in_stream`, for all mail since the beginning; orphans are those from before it."""
        expected = await checks.created_since(self.jmap, self.start)
        async with self.connection() as connection:
            return await checks.every_email_is_in_stream(
                self.jmap,
                connection,
                expected,
                self.names,
                parked=parked,
                in_order=in_order,
                parts_may_fail=parts_may_fail,
                parts_of=parts_of,
                orphans_before=self.began,
            )
