"""Hints within one process."""

from veredus.bus.receivers import Receivers
from veredus.ports import BusCounts, EventBus, Hint, HintSubscription, ReceiveHint


class LocalBus:
    """Receivers are called in ``publish``; nothing is ever lost."""

    def __init__(self) -> None:
        self._receivers = Receivers()
        self._counts = BusCounts(connected=True)

    def publish(self, hint: Hint) -> None:
        if self._counts.connected:
            self._counts.published += 1
            self._receivers.tell(hint)

    def subscribe(self, receive: ReceiveHint) -> HintSubscription:
        return self._receivers.subscribe(receive)

    def trouble(self) -> str | None:
        return None

    def counts(self) -> BusCounts:
        return self._counts

    async def close(self) -> None:
        self._counts.connected = False
        self._receivers.clear()


_: type[EventBus] = LocalBus
