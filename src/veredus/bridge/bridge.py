"""One bridge: a server read into one NATS, for as long as the process runs."""

import asyncio
from contextlib import aclosing

import structlog

from veredus.bridge.account import AccountReader
from veredus.bridge.accounts import ALL, accounts_of
from veredus.bridge.config.secret import read as read_secret
from veredus.bridge.credentials import credentials
from veredus.bridge.emails.select import rules
from veredus.bridge.monitor.desk import Desk
from veredus.bridge.nats.connect import connect_forever
from veredus.bridge.nats.errors import (
    BadName,
    Misconfigured,
    NatsError,
    NatsLost,
    NotAllowed,
    Refused,
)
from veredus.bridge.nats.lease import Lease
from veredus.bridge.nats.link import Link
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import AccountStatus, BridgeStatus
from veredus.bridge.streams import Streams, open_streams
from veredus.bridge.tasks import check_cancelled, stop
from veredus.client.backoff import Backoff
from veredus.client.client import Client
from veredus.client.errors import JMAPError, TransportError, Unauthorized
from veredus.client.push.push import Push
from veredus.client.push.signals import Changed, Connected, Lost, Poll, Signal, Transport
from veredus.wire.types import Id

log = structlog.get_logger("veredus.bridge")
_POLL: Transport = "poll"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
# How often it is asked which accounts there are, when all are to be read and nothing is pushed of them.
_SESSION_S = 15.0
# At the start these need a person; later it may be one who puts them right that caused them.
_FOR_A_PERSON = (NotAllowed, Misconfigured, BadName, Refused)


class Bridge:
    """One server read into one NATS. ``instance`` names this process for people."""

    def __init__(self, settings: BridgeSettings, instance: str, *, verbose: bool = False) -> None:
        self.settings = settings
        self.status = BridgeStatus(settings.name, instance)
        self._verbose = verbose
        self._rules = rules(settings.filter, settings.routes)
        self._readers: dict[Id, AccountReader] = {}
        self._changed = asyncio.Event()
        # Whether everything was once as it must be; what fails afterwards is waited for.
        self._has_worked = False
        # What was last said to push, in the log; None: nothing, or it is lost.
        self._pushing: Transport | None = None
        self._log = log.bind(bridge=settings.name)

    async def run(self) -> None:
        """Until it is cancelled. Raises what only a person can put right, at the start."""
        client = connection(self.settings)
        await self._connect(client)
        try:
            self._take_accounts(client)
            tasks = [
                asyncio.create_task(work)
                for work in (self._follow_push(client), self._follow_session(client), self._serve(client))
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await stop(tasks)
        finally:
            await client.__aexit__(None, None, None)

    # ------------------------------------------------------------ JMAP

    async def _connect(self, client: Client) -> None:
        """Wait for a server that is down; one that refuses us is for a person. Raises JMAPError."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            try:
                await client.__aenter__()
            except TransportError as error:
                if isinstance(error, Unauthorized):
                    raise
                wait_s = backoff.next_s(error.retry_after_s)
                self.status.jmap_error = str(error)
                self._log.warning("jmap_unreachable", error=str(error), seconds=round(wait_s, 1))
                await asyncio.sleep(wait_s)
            else:
                self._jmap_answers()
                self.status.server = client.host
                self._log.info("authenticated", server=client.host)
                return

    def _jmap_answers(self) -> None:
        self.status.jmap_connected, self.status.jmap_error = True, None

    def _take_accounts(self, client: Client) -> None:
        """Readers for what is to be read by now. Raises NoAccount, NotSupported."""
        ids = accounts_of(client.session, self.settings.jmap)
        for id in [id for id in self._readers if id not in ids]:
            del self._readers[id], self.status.accounts[id]
            self._log.warning("account_gone", account=id)
            self._changed.set()
        for id in [id for id in ids if id not in self._readers]:
            self._readers[id] = self._reader(client, id)
            self._log.info("account", account=id)
            self._changed.set()
        if not ids:
            self._log.warning("no_account", server=client.host)

    def _reader(self, client: Client, account: Id) -> AccountReader:
        name = client.session.accounts[account].name
        status = self.status.accounts[account] = AccountStatus(account, name)
        lease = Lease(f"lease.{account}", self.status.instance, self.settings.lease_s)
        source = AccountSource(client, account, self.settings.concurrency)
        return AccountReader(self.settings, self._rules, source, lease, status)

    async def _follow_session(self, client: Client) -> None:
        """Accounts come and go, where all are to be read. Never returns."""
        while True:
            await asyncio.sleep(_SESSION_S)
            if ALL in self.settings.jmap.accounts:
                await self._look_for_accounts(client)

    async def _look_for_accounts(self, client: Client) -> None:
        try:
            await client.refresh_session()
            self._take_accounts(client)
        except JMAPError as error:  # push tells how the server is
            self._log.warning("session_unreadable", error=str(error))

    async def _follow_push(self, client: Client) -> None:
        """Wakes the readers. Push only says that it is time to look; what changed they ask for themselves.

        Never returns: without push there are the polls of the readers.
        """
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            try:
                await self._take_signals(client, backoff)
            except JMAPError as error:
                wait_s = backoff.next_s()
                self.status.transport = self._pushing = None
                self._jmap_is_silent(error)
                self._log.warning("push_refused", error=str(error), seconds=round(wait_s, 1))
                await asyncio.sleep(wait_s)

    async def _take_signals(self, client: Client, backoff: Backoff) -> None:
        """Raises Unauthorized, when the server refuses us and there are no other credentials."""
        push = Push(client.connection, client.refresh_session)
        async with aclosing(push.signals(self._types(), poll_s=self.settings.poll_s)) as signals:
            async for signal in signals:
                self.status.transport = push.transport
                if not isinstance(signal, Lost | Poll):
                    self._jmap_answers()
                    backoff.reset()
                await self._take(client, signal)

    def _say_what_pushes(self, transport: Transport) -> None:
        """Once: some servers end each connection after some minutes, and it is made anew."""
        if transport == self._pushing:
            return
        self._pushing = transport
        if transport == _POLL:
            self._log.warning("nothing_pushes", remedy="`veredus bridge check` says why; until then we ask")
        else:
            self._log.info("push_connected", transport=transport)

    def _jmap_is_silent(self, error: JMAPError) -> None:
        self.status.jmap_connected, self.status.jmap_error = False, str(error)

    def _types(self) -> list[str] | None:
        """What push is to tell of; None: all types."""
        events = self.settings.events
        if events.enabled and not events.types:
            return None
        return sorted({"Email", "Mailbox", *(events.types if events.enabled else ())})

    async def _take(self, client: Client, signal: Signal) -> None:
        match signal:
            case Connected() | Poll():
                if isinstance(signal, Connected):
                    self._say_what_pushes(signal.transport)
                for reader in self._readers.values():
                    reader.look(None)
            case Changed(changed):
                if ALL in self.settings.jmap.accounts and not changed.keys() <= self._readers.keys():
                    await self._look_for_accounts(client)
                for account in changed.keys() & self._readers.keys():
                    self._readers[account].look(changed[account])
            case Lost(transport, error, retry_in_s):
                if self._pushing != _POLL:
                    self._pushing = None
                if transport is None:  # not even the session could be fetched
                    self._jmap_is_silent(error)
                else:
                    self._jmap_answers()
                self._log.warning(
                    "push_lost", transport=transport, error=str(error), seconds=round(retry_in_s, 1)
                )

    # ------------------------------------------------------------ NATS

    async def _serve(self, client: Client) -> None:
        """One link after the other. Never returns; raises what is for a person, at the start."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        links = connect_forever(self.settings.nats, asyncio.Event(), read_secret, self._trouble)
        async with aclosing(links):
            async for link in links:
                check_cancelled()
                self.status.nats, self.status.nats_error = link.server, None
                self._log.info("nats_connected", server=link.server)
                try:
                    await self._with_link(client, link)
                except NatsError as error:
                    self._trouble(error)
                    if not isinstance(error, NatsLost):
                        await asyncio.sleep(backoff.next_s())
                finally:
                    self.status.nats_connected = False

    def _trouble(self, error: NatsError) -> None:
        """Raises it, if it is for a person."""
        if not self._has_worked and isinstance(error, _FOR_A_PERSON):
            raise error
        self.status.nats_error = str(error)
        event = "nats_lost" if isinstance(error, NatsLost) else "nats_unreachable"
        self._log.warning(event, error=str(error))

    async def _with_link(self, client: Client, link: Link) -> None:
        """Read on one link. Raises NatsError."""
        streams = await open_streams(link, self.settings)
        desk = Desk(self.settings, client, streams, self.status, verbose=self._verbose)
        self._has_worked = self.status.nats_connected = True
        beside = [asyncio.create_task(work) for work in desk.work(self._readers)]
        try:
            await self._read(streams, desk, beside)
        finally:
            await stop(beside)
            await desk.close()

    async def _read(self, streams: Streams, desk: Desk, beside: list["asyncio.Task[None]"]) -> None:
        """All accounts, whichever there are. Raises what ends a reader, or the work beside it."""
        reading: dict[AccountReader, asyncio.Task[None]] = {}
        try:
            while True:
                self._changed.clear()
                wanted = set(self._readers.values())
                gone = {reader: task for reader, task in reading.items() if reader not in wanted}
                await _end(gone)
                reading = {reader: task for reader, task in reading.items() if reader in wanted}
                await desk.welcome(self._readers)
                for reader in wanted - reading.keys():
                    transport = self.status.transport or "poll"
                    reading[reader] = asyncio.create_task(reader.run(streams, transport))
                changed = asyncio.create_task(self._changed.wait())
                try:
                    await _first(changed, *beside, *reading.values())
                finally:
                    await stop([changed])
        finally:
            await _end(reading)


def connection(settings: BridgeSettings) -> Client:
    """A client, not yet connected."""
    jmap = settings.jmap
    return Client.connect(
        jmap.url, credentials=credentials(jmap), timeout_s=jmap.timeout_s, tls_ca=jmap.tls_ca
    )


async def _first(*tasks: "asyncio.Task[object]") -> None:
    """Returns when one of them has ended. Raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _end(reading: dict[AccountReader, "asyncio.Task[None]"]) -> None:
    """Stop them, and let others take over at once."""
    await stop(reading.values())
    await asyncio.gather(*(reader.close() for reader in reading), return_exceptions=True)
