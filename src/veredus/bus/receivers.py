"""Who gets the hints of which accounts: what every implementation of EventBus needs."""

from collections.abc import Awaitable, Callable

import structlog

from veredus.ports import Hint, HintSubscription, ReceiveHint
from veredus.wire.types import Id

log = structlog.get_logger("veredus.bus")


async def _nothing_to_settle() -> None:
    """For a bus that knows at once."""


def _nobody_cares(account: Id) -> None:
    """For a bus that hears of every account anyway."""


class Receivers:
    """The subscriptions of one process, by account."""

    def __init__(
        self,
        changed: Callable[[Id], None] = _nobody_cares,
        settled: Callable[[], Awaitable[None]] = _nothing_to_settle,
    ) -> None:
        """``changed``: an account has got its first receiver or lost its last. ``settled``: returns once
        the bus hears of every account that has one."""
        self._changed, self._settled = changed, settled
        self._of: dict[Id, dict[Subscription, None]] = {}

    def __contains__(self, account: Id) -> bool:
        return account in self._of

    def accounts(self) -> list[Id]:
        """Those that have a receiver."""
        return list(self._of)

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        return Subscription(self, receive)

    async def join(self, account: Id, subscription: "Subscription") -> None:
        if account not in self._of:
            self._of[account] = {}
            self._changed(account)
        self._of[account][subscription] = None
        await self._settled()

    def leave(self, account: Id, subscription: "Subscription") -> None:
        there = self._of.get(account, {})
        if there.pop(subscription, self) is None and not there:
            del self._of[account]
            self._changed(account)

    def clear(self) -> None:
        """Nobody gets anything any more."""
        self._of.clear()

    def tell(self, hint: Hint) -> None:
        """Pass a hint on to those who added its account."""
        for subscription in tuple(self._of.get(hint.account, ())):
            subscription.tell(hint)

    def tell_lost(self) -> None:
        """Tell everybody that hints may have been lost."""
        for subscription in {one: None for there in self._of.values() for one in there}:
            subscription.tell(None)


class Subscription:
    """HintSubscription (ports) of a bus."""

    def __init__(self, receivers: Receivers, receive: ReceiveHint) -> None:
        self._receivers, self._receive = receivers, receive
        self._accounts: set[Id] = set()

    async def add(self, account: Id) -> None:
        self._accounts.add(account)
        await self._receivers.join(account, self)

    def discard(self, account: Id) -> None:
        self._accounts.discard(account)
        self._receivers.leave(account, self)

    async def close(self) -> None:
        for account in tuple(self._accounts):
            self.discard(account)

    def tell(self, hint: Hint | None) -> None:
        """A receiver that fails must not keep the hint from the others."""
        try:
            self._receive(hint)
        except Exception:
            log.exception("receiver of hints failed")


_: type[HintSubscription] = Subscription
