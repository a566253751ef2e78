"""Connections that are kept for a moment, since the next message for the same hosts often comes at once."""

import asyncio

from veredus.relay.session import Session

# A host may move, and its policy may change.
_OLDEST_S = 300
_MOST = 200


class Pool:
    """At most ``each`` idle sessions of a destination, for ``idle_s`` seconds, and 200 in all."""

    def __init__(self, each: int, idle_s: float) -> None:
        self._each = each
        self._idle_s = idle_s
        self._kept: dict[str, list[tuple[Session, asyncio.TimerHandle]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def take(self, destination: str) -> Session | None:
        """One that was open the last time anybody looked."""
        kept = self._kept.get(destination, [])
        while kept:
            session, timer = kept.pop()
            timer.cancel()
            if not kept:
                del self._kept[destination]
            if session.wire.is_quiet:
                return session
            self._leave(session)
        return None

    def keep(self, destination: str, session: Session) -> None:
        """Called when no transaction is open in it."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(destination, [])
        is_full = len(kept) >= self._each or sum(map(len, self._kept.values())) >= _MOST
        is_usable = session.wire.is_quiet and loop.time() - session.opened_at < _OLDEST_S
        if is_full or self._is_closed or not is_usable:
            self._leave(session)
            return
        timer = loop.call_later(self._idle_s, self._expire, destination, session)
        self._kept.setdefault(destination, []).append((session, timer))

    def _expire(self, destination: str, session: Session) -> None:
        left = [it for it in self._kept.get(destination, []) if it[0] is not session]
        if left:
            self._kept[destination] = left
        else:
            self._kept.pop(destination, None)
        self._leave(session)

    def _leave(self, session: Session) -> None:
        task = asyncio.get_running_loop().create_task(session.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """End all of them; what is given back later is ended at once."""
        self._is_closed = True
        for kept in self._kept.values():
            for session, timer in kept:
                timer.cancel()
                self._leave(session)
        self._kept.clear()
        while self._leaving:
            await asyncio.gather(*self._leaving)
