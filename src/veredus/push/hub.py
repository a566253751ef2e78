"""From hints to subscribers: what changed in which account, told to everybody who may see it.

A hint may be lost, so nothing depends on one. A hint that does not follow on from what is known, and a bus
that has lost some, send the hub to the store; and once a second it looks at the log itself, which shows it
the changes of processes that are on no bus at all.
"""

import asyncio

import structlog
from msgspec import Struct

from veredus.ports import Authenticator, Cursor, Directory, EventBus, Hint, Identity, Store, Unavailable
from veredus.push.position import Position
from veredus.push.view import AccountStates, End, Sink, Subscription, View, ViewKey
from veredus.wire.types import Id

# How often the log is looked at, and credentials and grants are checked.
INTERVAL_S = 1.0
_FEED_AT_ONCE = 1000
_UNKNOWN = -1

log = structlog.get_logger("veredus.push")


class NotAllowed(Exception):
    """The identity is no longer valid."""


class HubCounts(Struct):
    """For metrics. ``lost``: how often the bus had to be made up for by reading the store."""

    subscribers: int
    accounts: int
    told: int
    lost: int


class Hub:
    """The subscribers of one process. ``run`` belongs to one task."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        authenticator: Authenticator,
        directory: Directory,
        types: frozenset[str],
    ) -> None:
        """``types``: all that have a state; subscribers may name others, which are not kept."""
        self._types = types
        self._store, self._authenticator, self._directory = store, authenticator, directory
        self._hints = bus.subscribe(self._receive)
        self._accounts: dict[Id, AccountStates] = {}
        self._views: dict[ViewKey, View] = {}
        # Accounts whose states must be read again; a dict keeps them in order.
        self._stale: dict[Id, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._epoch = _UNKNOWN
        self._told = 0
        self._lost = 0

    # ------------------------------------------------------------ subscribers

    async def subscribe(
        self, identity: Identity, types: frozenset[str] | None, sink: Sink, since: Position | None = None
    ) -> Subscription:
        """Tell ``sink`` of changes to ``types`` (None: all) in all accounts of an identity.

        ``since``: where the subscriber stood before; what it has missed it gets when it says ``ready``.
        Raises NotAllowed, Unavailable.
        """
        epoch = await self._directory.fresh()
        if not await self._authenticator.is_valid(identity):
            raise NotAllowed
        # What else has a state is kept for the server's own use.
        types = self._types if types is None else types & self._types
        key = ViewKey(identity, await self._visible(identity), types)
        view = await self._view(key)
        if since is not None and await self._catch_up(since, key.accounts):
            view = await self._view(key)
        if epoch != self._epoch:
            self._epoch = _UNKNOWN  # something changed while this one was let in: it is checked, too
        return view.join(sink, since)

    async def _catch_up(self, since: Position, ids: frozenset[Id]) -> bool:
        """Another process may have told this subscriber more than is known here; whether that was so."""
        ahead = [id for id in ids if (known := self._accounts.get(id)) and since.get(id, -1) > known.modseq]
        for id in ahead:
            account = self._accounts.get(id)
            if account is not None:
                await self._read(account)
        return bool(ahead)

    async def _visible(self, identity: Identity) -> frozenset[Id]:
        return frozenset(info.id for info in await self._directory.accounts(identity.user))

    async def _view(self, key: ViewKey) -> View:
        while not all(id in self._accounts and self._accounts[id].loaded.done() for id in key.accounts):
            for id in key.accounts:
                await self._watch(id)
        if key not in self._views:
            self._views[key] = View(key, [self._accounts[id] for id in sorted(key.accounts)])
        return self._views[key]

    async def _watch(self, id: Id) -> None:
        """Know the states of an account, and hear of its changes. Raises Unavailable."""
        account = self._accounts.get(id)
        if account is None:
            account = self._accounts[id] = AccountStates(id)
            try:
                await self._hints.add(id)
            finally:  # also when this subscriber is gone by now: others may wait for the states
                self._read_again(id)
        await asyncio.shield(account.loaded)

    def counts(self) -> HubCounts:
        """What there is now, and what has been done."""
        views = self._views.values()
        subscribers = sum(len(view.subscriptions) for view in views)
        told = self._told + sum(view.told for view in views)
        return HubCounts(subscribers, len(self._accounts), told, self._lost)

    # ------------------------------------------------------------ changes

    def _receive(self, hint: Hint | None) -> None:
        if hint is None:
            self._lost += 1
            for id in self._accounts:
                self._read_again(id)
            return
        account = self._accounts.get(hint.account)
        if account is None or max(hint.states.values()) <= account.modseq:
            return
        if hint.after != account.modseq or not account.loaded.done():
            self._read_again(hint.account)
        else:
            account.learn(hint.states)

    def _read_again(self, id: Id) -> None:
        self._stale[id] = None
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_stale())

    async def _read_stale(self) -> None:
        """What cannot be read now is tried again with the next look at the log."""
        try:
            while self._stale:
                id = next(iter(self._stale))
                del self._stale[id]
                account = self._accounts.get(id)
                if account is None:
                    continue
                try:
                    await self._read(account)
                except Unavailable:
                    self._stale[id] = None
                    raise
        except Unavailable as error:
            log.warning("states not read", error=str(error))
        finally:
            self._reading = None

    async def _read(self, account: AccountStates) -> None:
        # One statement is never overtaken.
        async with self._store.read(account.id, optimistic=True) as snapshot:
            states = await snapshot.states()
        account.learn(states)
        if not account.loaded.done():
            account.loaded.set_result(None)

    # ------------------------------------------------------------ upkeep

    async def run(self, stop: asyncio.Event) -> None:
        """Look at the log, the credentials and the grants once a second until ``stop``."""
        cursor: Cursor | None = None
        while not stop.is_set():
            try:
                cursor = await self._follow(cursor)
                await self._recheck()
            except Unavailable as error:
                log.warning("push is not up to date", error=str(error))
            if self._stale and self._reading is None:
                self._reading = asyncio.create_task(self._read_stale())
            self._forget_unused()
            try:
                await asyncio.wait_for(stop.wait(), INTERVAL_S)
            except TimeoutError:
                continue

    async def _follow(self, cursor: Cursor | None) -> Cursor:
        """Find the changes of which no hint has told."""
        if cursor is None or not self._accounts:
            return await self._store.head()
        while True:
            changes, cursor = await self._store.feed(cursor, _FEED_AT_ONCE)
            for change in changes:
                account = self._accounts.get(change.account)
                if account is not None and change.modseq > account.modseq:
                    self._read_again(change.account)
            if len(changes) < _FEED_AT_ONCE:
                return cursor

    async def _recheck(self) -> None:
        """End what is no longer allowed; follow grants that were added."""
        epoch = await self._directory.fresh()
        if epoch == self._epoch:
            return
        # Before the others are looked at: whoever is let in meanwhile with older knowledge resets it.
        self._epoch = epoch
        try:
            await self._recheck_views()
        except Unavailable:
            self._epoch = _UNKNOWN
            raise

    async def _recheck_views(self) -> None:
        for view in list(self._views.values()):
            identity = view.key.identity
            if not await self._authenticator.is_valid(identity):
                _end(view, "credentials")
                continue
            accounts = await self._visible(identity)
            if not accounts >= view.key.accounts:
                _end(view, "access")
            elif accounts != view.key.accounts:
                wider = await self._view(ViewKey(identity, accounts, view.key.types))
                for subscription in list(view.subscriptions):
                    wider.move(subscription)

    def _forget_unused(self) -> None:
        for key in [key for key, view in self._views.items() if not view.subscriptions]:
            view = self._views.pop(key)
            self._told += view.told
            view.close()
        for id, account in list(self._accounts.items()):
            if not account.views and account.loaded.done():
                del self._accounts[id]
                self._hints.discard(id)

    async def close(self) -> None:
        """End every stream, so that clients connect elsewhere."""
        for view in self._views.values():
            _end(view, "shutdown")
        if self._reading is not None:
            self._reading.cancel()
        await self._hints.close()


def _end(view: View, why: End) -> None:
    for subscription in list(view.subscriptions):
        subscription.sink.end(why)
        view.leave(subscription)
