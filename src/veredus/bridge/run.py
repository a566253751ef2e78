"""Runs bridges: a link to NATS, a client for JMAP, a reader for each account, and push that wakes them."""

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from veredus.bridge.account import AccountReader
from veredus.bridge.config.secret import read as read_secret
from veredus.bridge.credentials import credentials
from veredus.bridge.emails.select import rules
from veredus.bridge.nats.connect import connect_forever
from veredus.bridge.nats.errors import NatsError, NatsLost
from veredus.bridge.nats.lease import Lease
from veredus.bridge.nats.link import Link
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import AccountStatus, BridgeStatus
from veredus.bridge.streams import open_streams
from veredus.bridge.tasks import stop
from veredus.client.backoff import Backoff
from veredus.client.client import Client
from veredus.client.errors import JMAPError, TransportError, Unauthorized
from veredus.client.push.push import Push
from veredus.client.push.signals import Changed, Connected, Lost, Poll
from veredus.client.session import MAIL

log = structlog.get_logger("veredus.bridge")


async def run(bridges: Sequence[BridgeSettings], *, verbose: bool = False) -> int:
    """All of them, until this is cancelled. Raises what only a person can put right."""
    del verbose
    instance = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    await asyncio.gather(*(Bridge(settings, instance).run() for settings in bridges))
    return 0


class NoAccount(JMAPError):
    """The session does not have an account that the settings name."""


class Bridge:
    """One server read into one NATS."""

    def __init__(self, settings: BridgeSettings, instance: str) -> None:
        self.settings = settings
        self.status = BridgeStatus(settings.name, instance)
        self._rules = rules(settings.filter, settings.routes)
        self._readers: dict[str, AccountReader] = {}

    async def run(self) -> None:
        """Until it is cancelled, or something is wrong that only a person can put right."""
        client = self._client()
        await self._connect(client)
        try:
            self.status.server = client.host
            self._readers = {id: self._reader(client, id) for id in self._accounts(client)}
            pushing = asyncio.create_task(self._follow_push(client))
            try:
                await self._serve(pushing)
            finally:
                await stop([pushing])
        finally:
            await client.__aexit__(None, None, None)

    def _client(self) -> Client:
        jmap = self.settings.jmap
        return Client.connect(
            jmap.url, credentials=credentials(jmap), timeout_s=jmap.timeout_s, tls_ca=jmap.tls_ca
        )

    async def _connect(self, client: Client) -> None:
        """Wait for a server that is down; one that refuses us is for a person. Raises JMAPError."""
        backoff = Backoff()
        while True:
            try:
                await client.__aenter__()
            except TransportError as error:
                if isinstance(error, Unauthorized):
                    raise
                wait_s = backoff.next_s(error.retry_after_s)
                log.warning("jmap_unreachable", error=str(error), seconds=round(wait_s, 1))
                await asyncio.sleep(wait_s)
            else:
                self.status.jmap_connected = True
                return

    def _accounts(self, client: Client) -> list[str]:
        """Raises NoAccount, NotSupported."""
        session, named = client.session, self.settings.jmap.accounts
        if not named:
            return [session.account_for(MAIL)]
        if "*" in named:
            return [id for id, account in session.accounts.items() if MAIL in account.account_capabilities]
        for id in named:
            if id not in session.accounts:
                known = ", ".join(session.accounts) or "none"
                raise NoAccount(f"{client.host}: no account {id!r} in this session; there are: {known}")
        return list(named)

    def _reader(self, client: Client, account: str) -> AccountReader:
        name = client.session.accounts[account].name
        status = self.status.accounts[account] = AccountStatus(account, name)
        lease = Lease(f"lease.{account}", self.status.instance, self.settings.lease_s)
        source = AccountSource(client, account, self.settings.concurrency)
        return AccountReader(self.settings, self._rules, source, lease, status)

    async def _serve(self, pushing: "asyncio.Task[None]") -> None:
        """One link after the other. Raises what ``pushing`` raises."""

        def trouble(error: NatsError) -> None:
            self.status.error = str(error)
            log.warning("nats_unreachable", error=str(error))

        links = connect_forever(self.settings.nats, asyncio.Event(), read_secret, trouble)
        async with aclosing(links):
            async for link in links:
                self.status.nats, self.status.nats_connected = link.server, True
                try:
                    await self._with_link(link, pushing)
                except NatsLost as error:
                    log.warning("nats_lost", error=str(error))
                finally:
                    self.status.nats_connected = False

    async def _with_link(self, link: Link, pushing: "asyncio.Task[None]") -> None:
        streams = await open_streams(link, self.settings)
        transport = self.status.transport or "poll"
        reading = [asyncio.create_task(reader.run(streams, transport)) for reader in self._readers.values()]
        try:
            done, _ = await asyncio.wait([pushing, *reading], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await stop(reading)
            for reader in self._readers.values():
                await reader.close()

    async def _follow_push(self, client: Client) -> None:
        """Wakes the readers. Push only says that it is time to look; what changed they ask for themselves."""
        push = Push(client.connection, client.refresh_session)
        types = ["Email", "Mailbox"]
        async with aclosing(push.signals(types, poll_s=self.settings.poll_s)) as signals:
            async for signal in signals:
                self.status.transport = push.transport
                match signal:
                    case Connected() | Poll():
                        for reader in self._readers.values():
                            reader.look(None)
                    case Changed(changed):
                        for account, states in changed.items():
                            if account in self._readers:
                                self._readers[account].look(states)
                    case Lost(transport, error, retry_in_s):
                        log.warning("push_lost", transport=transport, error=str(error), seconds=retry_in_s)
