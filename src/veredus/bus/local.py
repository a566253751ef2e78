"""Hints within one process."""

from collections import defaultdict

from veredus.ports import EventBus, Hint, HintSubscription, ReceiveHint
from veredus.wire.types import Id


class LocalBus:
    """Receivers are called in ``publish``; nothing is ever lost."""

    def __init__(self) -> None:
        self._receivers: defaultdict[Id, list[ReceiveHint]] = defaultdict(list)

    def publish(self, hint: Hint) -> None:
        for receive in tuple(self._receivers.get(hint.account, ())):
            receive(hint)

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        return _Subscription(self._receivers, receive)

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        self._receivers.clear()


class _Subscription:
    def __init__(self, receivers: defaultdict[Id, list[ReceiveHint]], receive: ReceiveHint) -> None:
        self._receivers, self._receive = receivers, receive
        self._accounts: set[Id] = set()

    async def add(self, account: Id) -> None:
        if account not in self._accounts:
            self._accounts.add(account)
            self._receivers[account].append(self._receive)

    def discard(self, account: Id) -> None:
        if account in self._accounts:
            self._accounts.remove(account)
            self._receivers[account].remove(self._receive)
            if not self._receivers[account]:
                del self._receivers[account]

    async def close(self) -> None:
        for account in tuple(self._accounts):
            self.discard(account)


_: type[EventBus] = LocalBus
