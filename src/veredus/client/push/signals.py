"""What a caller of push is told, and where it waits until the caller has time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from veredus.client.errors import JMAPError
from veredus.wire.types import Id

Transport: TypeAlias = Literal["websocket", "eventsource", "poll"]
States: TypeAlias = Mapping[Id, Mapping[str, str]]
# Pairs of account and type that wait for a slow caller; with more, it is told to look at everything.
_MOST_STATES = 10_000


class PushPosition(Struct, frozen=True):
    """Where the server last said that we stand: opaque, one for each transport, and worth storing.

    It resumes push only; what a caller has processed it knows by the states of /changes.
    """

    push_state: str | None = None
    last_event_id: str | None = None


class Connected(Struct, frozen=True):
    """From here on changes are told. Those before may not have been: look at /changes of every type."""

    transport: Transport
    position: PushPosition


class Changed(Struct, frozen=True):
    """New states by type by account (RFC 8620 §7.1); of several in a row, the newest of each.

    ``position`` is to be stored when the caller has looked.
    """

    changed: States
    position: PushPosition


class Poll(Struct, frozen=True):
    """Nothing was told for a while: look at /changes of every type all the same."""


class Lost(Struct, frozen=True):
    """The connection is gone, or none was possible. ``retry_in_s`` 0: the next transport is tried at once."""

    transport: Transport | None
    error: JMAPError
    retry_in_s: float


Signal: TypeAlias = Connected | Changed | Poll | Lost


class Pending:
    """At most one signal of each kind, in the order of the newest of each: a slow caller costs no more."""

    def __init__(self, poll_s: Callable[[], float]) -> None:
        """``poll_s``: asked again and again, how long may pass without a look at everything."""
        self._poll_s = poll_s
        self._signals: dict[type[Signal], Signal] = {}
        self._changed = asyncio.Event()
        self._looked_at = asyncio.get_running_loop().time()

    def put(self, signal: Signal) -> None:
        before = self._signals.pop(type(signal), None)
        if isinstance(signal, Changed) and isinstance(before, Changed):
            signal = _merged(before, signal)
        self._signals[type(signal)] = signal
        self.wake()

    def wake(self) -> None:
        """Let ``next`` see what is new."""
        self._changed.set()

    async def next(self, producer: asyncio.Task[Any]) -> Signal:
        """The oldest signal, or a Poll when one is due. Raises what ended ``producer``."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            due_at = self._looked_at + self._poll_s()
            if due_at <= loop.time() and Connected not in self._signals:
                self._signals.pop(Poll, None)
                return self._given(Poll())
            if self._signals:
                return self._given(self._signals.pop(next(iter(self._signals))))
            if producer.done():
                producer.result()
            timer = loop.call_at(due_at, self.wake)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()

    def _given(self, signal: Signal) -> Signal:
        if isinstance(signal, (Connected, Poll)):
            self._looked_at = asyncio.get_running_loop().time()
        return signal


def _merged(before: Changed, after: Changed) -> Signal:
    changed = {account: dict(states) for account, states in before.changed.items()}
    for account, states in after.changed.items():
        changed.setdefault(account, {}).update(states)
    if sum(map(len, changed.values())) > _MOST_STATES:
        return Poll()
    return Changed(changed, after.position)
