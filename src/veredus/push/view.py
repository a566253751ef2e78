"""All subscribers who see the same: one identity, its accounts, a choice of types.

They stand at the same position nearly always, so a change is worked out and encoded once for all of them.
A subscriber who cannot take an event keeps its older position, and is told the difference when it can.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, TypeAlias

import structlog
from msgspec import Struct

from veredus.ports import Identity
from veredus.push.event import Event
from veredus.push.position import Position
from veredus.wire.push import StateChange
from veredus.wire.types import Id

# After an event, the next one waits so long, and takes all that happens meanwhile.
GAP_S = 0.1
# Timers may fire so much early.
_EARLY_S = 0.002
# Subscribers who are told in one turn of the event loop; then others have theirs.
_AT_ONCE = 50


# The credentials are no longer good; an account may no longer be seen; the server closes.
End: TypeAlias = Literal["credentials", "access", "shutdown"]

log = structlog.get_logger("veredus.push")


class Sink(Protocol):
    """The transport of one subscriber. Neither method waits or raises."""

    def take(self, event: Event) -> bool:
        """Send the event. False: not now; then it calls ``Subscription.ready`` when it can."""
        ...

    def end(self, why: End) -> None:
        """The stream must end."""
        ...


class AccountStates:
    """What the hub knows of an account that somebody watches."""

    __slots__ = ("id", "loaded", "modseq", "states", "views")

    def __init__(self, id: Id) -> None:
        self.id = id
        self.states: dict[str, int] = {}
        self.modseq = 0
        self.views: set[View] = set()
        # Done once the states were read for the first time.
        self.loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def learn(self, states: Mapping[str, int]) -> None:
        """Take over states, and let the views know if any is new."""
        newest = max(states.values(), default=0)
        if newest > self.modseq:
            self.states.update(states)
            self.modseq = newest
            for view in self.views:
                view.changed()


class ViewKey(Struct, frozen=True):
    """What makes subscribers see the same."""

    identity: Identity
    accounts: frozenset[Id]
    types: frozenset[str]


class Subscription:
    """One subscriber's place in a view. ``position``: the last one that its sink has taken.
    ``next_at``: when it may be told the next event, by the clock of the loop."""

    __slots__ = ("next_at", "position", "sink", "view")

    def __init__(self, view: "View", sink: Sink, position: Position) -> None:
        self.view, self.sink, self.position = view, sink, position
        self.next_at = 0.0

    def ready(self) -> None:
        """The sink can take an event: give it what it has missed."""
        self.view.catch_up(self)

    def close(self) -> None:
        """Tell the sink nothing any more. May be called twice."""
        self.view.leave(self)


class View:
    """Tells its subscribers of changes: the first at once, further ones at most every ``GAP_S``."""

    def __init__(self, key: ViewKey, accounts: Iterable[AccountStates]) -> None:
        self.key = key
        self.subscriptions: set[Subscription] = set()
        # How many events its sinks have taken.
        self.told = 0
        self._accounts = tuple(accounts)
        self._loop = asyncio.get_running_loop()
        self._next_at = 0.0
        self._telling: asyncio.Handle | None = None
        self._is_stale = False
        self._position: Position | None = None
        for account in self._accounts:
            account.views.add(self)

    @property
    def position(self) -> Position:
        """Where a subscriber stands who knows everything: one object as long as nothing changes, so that
        all who stand there are told the same event."""
        if self._position is None:
            self._position = {account.id: account.modseq for account in self._accounts}
        return self._position

    # ------------------------------------------------------------ subscribers

    def join(self, sink: Sink, since: Position | None) -> Subscription:
        """``since``: where the subscriber stood before; it must say ``ready`` to hear what it has missed.
        None: it begins now."""
        subscription = Subscription(self, sink, self.position if since is None else since)
        self.subscriptions.add(subscription)
        return subscription

    def move(self, subscription: Subscription) -> None:
        """Take over a subscriber of another view."""
        subscription.view.leave(subscription)
        subscription.view = self
        self.subscriptions.add(subscription)
        self.catch_up(subscription)

    def leave(self, subscription: Subscription) -> None:
        self.subscriptions.discard(subscription)

    def catch_up(self, subscription: Subscription) -> None:
        """Tell one subscriber what it does not know, or leave it to the next telling if it is too early."""
        if subscription not in self.subscriptions:
            return
        event = self.since(subscription.position)
        now = self._loop.time()
        if event is None:
            subscription.position = self.position  # the same object as that of the others
        elif now < subscription.next_at:
            self._tell_later()
        else:
            self._offer(subscription, event, now + GAP_S)

    def since(self, position: Position) -> Event | None:
        """All that has changed since a position; None when nothing has."""
        if position is self._position:
            return None
        changed: dict[Id, dict[str, str]] = {}
        wanted = self.key.types
        for account in self._accounts:
            known = position.get(account.id, -1)
            if known > account.modseq:  # the store was set back since: what it says is of no use
                known = -1
            new = {
                type: str(state) for type, state in account.states.items() if state > known and type in wanted
            }
            if new:
                changed[account.id] = new
        return Event(StateChange(changed), self.position) if changed else None

    def _offer(self, subscription: Subscription, event: Event, next_at: float) -> None:
        try:
            has_taken = subscription.sink.take(event)
        except Exception:  # a bug, and not one that may silence those who come after this subscriber
            log.exception("subscriber failed", user=self.key.identity.user)
            return
        if has_taken:
            self.told += 1
            subscription.position, subscription.next_at = event.position, next_at

    # ------------------------------------------------------------ changes

    def changed(self) -> None:
        """An account has new states. What else is learned until they are told goes with them."""
        self._position = None
        self._tell_later()

    def _tell_later(self) -> None:
        """As soon as the gap allows; at the end of the telling under way, if there is one."""
        self._is_stale = True
        if self._telling is None and self.subscriptions:
            delay = self._next_at - self._loop.time()
            if delay > 0:
                self._telling = self._loop.call_later(delay, self._tell)
            else:
                self._telling = self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        """From the next turn of the loop on: in this one the response goes out to who made the change."""
        self._next_at = self._loop.time() + GAP_S
        self._is_stale = False
        self._telling = self._loop.call_soon(self._tell_some, list(self.subscriptions), {}, 0)

    def _tell_some(self, everybody: list[Subscription], events: "Events", start: int) -> None:
        """Nearly all stand at one of very few positions, so the event of each is made once."""
        now, next_at = self._loop.time(), self._next_at
        for subscription in everybody[start : start + _AT_ONCE]:
            if subscription not in self.subscriptions:
                continue
            known = subscription.position
            if id(known) not in events:
                # Kept beside its event, so that no other object gets its id meanwhile.
                events[id(known)] = (known, self.since(known), self.position)
            _, event, current = events[id(known)]
            if event is None:
                subscription.position = current  # the same object as that of the others
            elif now + _EARLY_S < subscription.next_at:
                self._is_stale = True
            else:
                self._offer(subscription, event, next_at)
        if start + _AT_ONCE < len(everybody):
            self._telling = self._loop.call_soon(self._tell_some, everybody, events, start + _AT_ONCE)
            return
        self._telling = None
        if self._is_stale:
            self._tell_later()

    def close(self) -> None:
        """Forget the accounts; nobody is told anything any more."""
        if self._telling is not None:
            self._telling.cancel()
        for account in self._accounts:
            account.views.discard(self)


# By the identity of a position: that position, what it lacks, and where one stands who lacks nothing.
Events: TypeAlias = dict[int, tuple[Position, Event | None, Position]]
