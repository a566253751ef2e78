"""Hints over core NATS: one subject for each account, at most once, nothing is kept.

What cannot be carried is dropped. Whoever may have missed a hint is told so, and asks the store: each node
when its connection is back, and all others by a message on the subject ``{prefix}.lost``.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from veredus.bus.receivers import Receivers
from veredus.ports import BusCounts, EventBus, Hint, HintSubscription, ReceiveHint
from veredus.wire.types import Id

# A peer that does not answer is given up after twice this time.
_PING_S = 2
_ANSWER_S = 2
# Between attempts to connect, with up to as much again at random, so that not all nodes come at once.
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 2.0
# Accounts whose hints wait to be written; when there are more, all nodes are told that some are lost.
_WAITING = 10_000
# Octets that nats-py holds for a slow connection before hints are merged instead.
_UNSENT = 256 * 1024
# Nodes that come back together tell one another so together: that is read from the store once.
_LOST_WITHIN_S = 0.25

log = structlog.get_logger("veredus.bus")

# What stands in a message; its account is in the subject.
_Body = tuple[int, dict[str, int]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


class NatsBus:
    """EventBus (ports) over a NATS server. One task owns the connection; nothing else writes to it."""

    def __init__(self, url: str, prefix: str) -> None:
        """Begins to connect at once, and never gives up. Needs a running event loop."""
        self._url = urlsplit(url)
        self._changes, self._losses = f"{prefix}.changed.", f"{prefix}.lost"
        self._receivers = Receivers(self._account_changed, self._settled)
        self._counts = BusCounts(connected=False)
        self._waiting: dict[Id, Hint] = {}
        # Accounts that have got a receiver or lost the last, since the server was told.
        self._altered: dict[Id, None] = {}
        self._unsettled: list[asyncio.Future[None]] = []
        self._work = asyncio.Event()
        self._tried = asyncio.Event()
        # Other nodes may lack hints of this one.
        self._others_lack = False
        self._losing: asyncio.TimerHandle | None = None
        self._trouble: str | None = "not connected yet"
        self._running = asyncio.create_task(self._run())

    @classmethod
    async def open(cls, url: str, prefix: str) -> "NatsBus":
        """Returns once the first attempt to connect has succeeded or failed; others follow then."""
        bus = cls(url, prefix)
        await bus._tried.wait()
        return bus

    # ------------------------------------------------------------ the port

    def publish(self, hint: Hint) -> None:
        if self._running.done():
            return
        self._counts.published += 1
        self._receivers.tell(hint)
        earlier = self._waiting.get(hint.account)
        if not self._counts.connected or (earlier is None and len(self._waiting) >= _WAITING):
            self._counts.dropped += 1
            self._others_lack = True
        else:
            self._waiting[hint.account] = hint if earlier is None else merged(earlier, hint)
        self._work.set()

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        return self._receivers.subscribe(receive)

    def trouble(self) -> str | None:
        return self._trouble

    def counts(self) -> BusCounts:
        return self._counts

    async def close(self) -> None:
        """What was published is sent, if there is a connection."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled(), _ANSWER_S)
        while not self._running.done():
            self._running.cancel()  # again, since nats-py swallows cancellations at some places
            await asyncio.wait([self._running], timeout=0.1)
        if self._losing is not None:
            self._losing.cancel()
        self._receivers.clear()

    # ------------------------------------------------------------ connections

    async def _run(self) -> None:
        delay = _FIRST_DELAY_S
        while True:
            client = _Client(self._url.scheme == "tls")
            try:
                await self._connect(client)
                delay = _FIRST_DELAY_S
                await self._use(client)
            except Exception as error:  # nats-py lets many kinds pass; none may end the bus
                self._disconnected(error, client)
            finally:
                self._counts.connected = False
                self._settle()
                self._tried.set()
                await client.dispose()
            await asyncio.sleep(delay * (1 + random.random()))  # noqa: S311 - no secret
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def _connect(self, client: "_Client") -> None:
        """Connect once; nats-py would come back on its own, but with hints that are long out of date."""
        url = self._url

        async def closed() -> None:
            self._work.set()

        async def failed(error: Exception) -> None:
            client.failure = error
            if isinstance(error, errors.SlowConsumerError):
                self._lost_soon()

        login: dict[str, Any] = {}
        if url.password is not None:
            login = {"user": unquote(url.username or ""), "password": unquote(url.password)}
        elif url.username is not None:
            login = {"token": unquote(url.username)}
        await client.connect(
            f"{url.scheme}://{_host(url.hostname or '')}:{url.port or 4222}",
            name="veredus",
            no_echo=True,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_ANSWER_S,
            ping_interval=_PING_S,
            max_outstanding_pings=1,
            flush_timeout=_ANSWER_S,
            error_cb=failed,
            closed_cb=closed,
            **login,
        )

    async def _use(self, client: "_Client") -> None:
        """Carry hints until the connection is lost, which raises."""
        subscriptions: dict[Id, Subscription] = {}
        await client.subscribe(self._losses, cb=self._receive_loss)
        self._altered = dict.fromkeys(self._receivers.accounts())
        while self._altered:
            await self._follow(client, subscriptions)
            await client.settle()
        self._connected()
        while client.is_connected:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), _PING_S)
            self._work.clear()
            unsettled, self._unsettled = self._unsettled, []
            try:
                await self._follow(client, subscriptions)
                await self._write(client)
                if unsettled:
                    await client.settle()
            finally:
                _finish(unsettled)
        raise ConnectionError("the connection was closed")

    async def _follow(self, client: "_Client", subscriptions: dict[Id, Subscription]) -> None:
        """Tell the server whose hints are wanted."""
        altered, self._altered = self._altered, {}
        for account in altered:
            if account not in self._receivers:
                there = subscriptions.pop(account, None)
                if there is not None:
                    await there.unsubscribe()
            elif account not in subscriptions:
                subscriptions[account] = await client.subscribe(
                    self._changes + account, cb=self._receive_hint
                )

    async def _write(self, client: "_Client") -> None:
        while self._waiting and client.pending_data_size < _UNSENT:
            account = next(iter(self._waiting))
            hint = self._waiting.pop(account)
            await client.publish(self._changes + account, _encode((hint.after, hint.states)))
        if self._waiting:
            await client.settle()
            self._work.set()
        elif self._others_lack:
            self._others_lack = False
            await client.publish(self._losses)

    def _connected(self) -> None:
        self._counts.connected = True
        self._trouble = None
        self._tried.set()
        self._work.set()
        log.info("bus connected", server=self._server)
        self._lost()

    def _disconnected(self, error: Exception, client: "_Client") -> None:
        """What nats-py told on the side is mostly the cause of ``error``."""
        cause = client.failure or client.last_error or error
        said = str(cause) or "no answer"  # a TimeoutError says nothing
        trouble = f"NATS server {self._server}: {said}"
        if trouble != self._trouble:
            log.warning("bus not connected", server=self._server, error=said)
        self._trouble = trouble
        # What was written last may not have arrived.
        self._others_lack = self._others_lack or self._counts.connected
        self._counts.dropped += len(self._waiting)
        self._waiting.clear()

    @property
    def _server(self) -> str:
        """The address without the credentials."""
        return f"{_host(self._url.hostname or '')}:{self._url.port or 4222}"

    # ------------------------------------------------------------ receivers

    def _account_changed(self, account: Id) -> None:
        self._altered[account] = None
        self._work.set()

    async def _settled(self) -> None:
        """Returns at once when there is no connection: once there is one, receivers are told of a loss."""
        if self._counts.connected:
            settled = asyncio.get_running_loop().create_future()
            self._unsettled.append(settled)
            self._work.set()
            await settled

    def _settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, []
        _finish(unsettled)

    async def _receive_hint(self, message: Msg) -> None:
        account = message.subject.removeprefix(self._changes)
        try:
            after, states = _decode(message.data)
        except msgspec.DecodeError:
            after, states = 0, {}
        if not states:
            self._counts.dropped += 1
            return
        self._counts.received += 1
        self._receivers.tell(Hint(account, after, states))

    async def _receive_loss(self, message: Msg) -> None:
        self._lost_soon()

    def _lost_soon(self) -> None:
        if self._losing is None:
            delay = _LOST_WITHIN_S * random.random()  # noqa: S311 - no secret
            self._losing = asyncio.get_running_loop().call_later(delay, self._lost)

    def _lost(self) -> None:
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None
        self._counts.lost += 1
        self._receivers.tell_lost()


class _Client(Client):
    """One connection. ``failure``: the last error that nats-py reported beside its exceptions."""

    def __init__(self, needs_tls: bool) -> None:
        super().__init__()
        self.needs_tls = needs_tls
        self.failure: Exception | None = None

    def _connect_command(self) -> bytes:
        """nats-py encrypts when the server offers it, and would else tell the password to anybody."""
        if self.needs_tls and not self._server_info.get("tls_required"):
            self.failure = errors.Error("the server does not offer TLS")
            raise self.failure
        command: bytes = super()._connect_command()
        return command

    async def settle(self) -> None:
        """Returns once the server has done all that it was told. ``flush`` alone does not do: its PING may
        overtake what nats-py has not yet written."""
        await self._flush_pending(force_flush=True)
        await self.flush(_ANSWER_S)

    async def dispose(self) -> None:
        """Close, also after a failure in the midst of which nats-py leaves its socket open."""
        try:
            with suppress(Exception):
                await asyncio.wait_for(self.close(), _ANSWER_S)
        finally:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]


def merged(earlier: Hint, later: Hint) -> Hint:
    """Two hints of one account as one.

    If a hint of another process lies between them, ``after`` is the later one's: only who has heard of
    that one, too, may go on from there.
    """
    follows = later.after == max(earlier.states.values())
    return Hint(later.account, earlier.after if follows else later.after, {**earlier.states, **later.states})


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name


_: Callable[[str, str], EventBus] = NatsBus
