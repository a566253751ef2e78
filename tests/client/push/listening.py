"""A caller of push, for tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from client.push.peer import Peer
from veredus.client.credentials import Credentials
from veredus.client.http import Connection
from veredus.client.push import Changed, Connected, Lost, Poll, Push, Signal, Timing
from veredus.client.session import Session

S = TypeVar("S", Connected, Changed, Lost, Poll)
# Quick, and generous where it is not the thing under test.
QUICK = {"first_backoff_s": 0.01, "longest_backoff_s": 0.05, "ping_floor_s": 0.0, "unpushed_poll_s": 600.0}


class Listener:
    """What was signalled so far, and what comes next."""

    def __init__(self, push: Push, signals: AsyncIterator[Signal]) -> None:
        self.push, self._signals = push, signals
        self.seen: list[Signal] = []

    async def next(self) -> Signal:
        async with asyncio.timeout(20):
            self.seen.append(await anext(self._signals))
        return self.seen[-1]

    async def until(self, kind: type[S]) -> S:
        """The next signal of this kind; others before it are in ``seen``."""
        while not isinstance(signal := await self.next(), kind):
            pass
        return signal

    async def expect(self, kind: type[S]) -> S:
        """The next signal, which must be of this kind."""
        signal = await self.next()
        assert isinstance(signal, kind), signal
        return signal


@asynccontextmanager
async def listening(
    session: Callable[[], Awaitable[Session]],
    credentials: Credentials | None = None,
    *,
    types: list[str] | None = None,
    timing: dict[str, Any] | None = None,
    closeafter: Any = "no",
    **options: Any,
) -> AsyncIterator[Listener]:
    """Signals from a server; afterwards nothing of them is left."""
    before = asyncio.all_tasks()
    async with Connection(credentials) as connection:
        push = Push(connection, session, timing=Timing(**{**QUICK, **(timing or {})}), closeafter=closeafter)
        async with aclosing(push.signals(types, **options)) as signals:
            yield Listener(push, signals)
        assert not push.alive
        assert {task for task in asyncio.all_tasks() - before if task.get_name() == "push"} == set()


def to(peer: Peer, scheme: str = "http") -> Callable[[], Awaitable[Session]]:
    """The session that a peer offers."""

    async def session() -> Session:
        return peer.session(scheme)

    return session
