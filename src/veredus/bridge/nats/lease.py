"""Who is the one that reads an account: a key that is renewed for as long as its holder lives.

No two machines compare their clocks. The holder counts from before it asked for its last renewal, and gives
up after three quarters of the time; another takes over when it has itself watched the same revision for the
whole time. So the former has stopped before the latter begins, whatever their clocks say.

Two at once are possible all the same, when a holder is stopped (SIGSTOP) after it has looked at ``held``:
what it then writes must be harmless, which compare-and-swap on the cursor makes it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from veredus.bridge.nats.errors import Conflict, NatsError
from veredus.bridge.nats.kv import KeyValue

LEASE_S = 12.0
# Parts of the lease's time.
_RENEW, _GIVE_UP, _LOOK = 1 / 3, 3 / 4, 1 / 10


class Holder(Struct, frozen=True):
    """The value of the key. ``term``: drawn by each Lease, so that it knows its own value again."""

    instance: str
    since: str
    term: str


class Lease:
    """One key of one bucket, for one instance; lives as long as the process, over many connections."""

    def __init__(
        self,
        key: str,
        instance: str,
        ttl_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``instance``: for people; two may have the same."""
        self.key = key
        self.ttl_s = ttl_s
        self.lost = asyncio.Event()
        self.lost.set()
        self._instance = instance
        self._term = secrets.token_hex(8)
        self._clock = clock
        self._kv: KeyValue | None = None
        self._revision = 0
        self._since = ""
        # By our clock; nothing is held from then on.
        self._until = 0.0
        self._renewing: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether nobody else can hold it at this moment."""
        return not self.lost.is_set() and self._clock() < self._until

    async def acquire(self, kv: KeyValue) -> None:
        """Returns when we hold it; from then on it is renewed, until ``lost`` or ``release``.

        A lease that this object held over an earlier connection is taken again at once, if nobody else has
        it. Raises NatsLost and other NatsErrors; call it again then.
        """
        await self._stop_renewing()
        self._kv = kv
        seen: tuple[int, float] | None = None
        while True:
            asked = self._clock()
            found = await kv.get(self.key)
            if found is None:
                revision, wait = None, 0.0
            else:
                value, revision = found
                now = self._clock()
                if seen is None or seen[0] != revision:
                    seen = (revision, now)
                mine = _holder(value).term == self._term
                wait = 0.0 if mine else self.ttl_s - (now - seen[1])
            if wait <= 0 and await self._take(kv, revision, asked):
                break
            if wait > 0:
                await asyncio.sleep(min(wait, self.ttl_s * _LOOK))
        self.lost.clear()
        self._renewing = asyncio.create_task(self._renew(kv))

    async def _take(self, kv: KeyValue, revision: int | None, asked: float) -> bool:
        """False: someone was quicker."""
        self._since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        try:
            if revision is None:
                self._revision = await kv.create(self.key, self._value())
            else:
                self._revision = await kv.update(self.key, self._value(), revision)
        except Conflict:
            return False
        self._until = asked + self.ttl_s * _GIVE_UP
        return self._clock() < self._until

    async def _renew(self, kv: KeyValue) -> None:
        try:
            pause = self.ttl_s * _RENEW
            while await self._sleep(pause):
                try:
                    async with asyncio.timeout(max(self._until - self._clock(), 0.0)):
                        held = await self._renew_once(kv)
                except (NatsError, TimeoutError):
                    held = kv.link.failure is None  # perhaps the next attempt, while there is time
                    pause = self.ttl_s * _LOOK
                else:
                    pause = self.ttl_s * _RENEW
                if not held:
                    return
        finally:
            self.lost.set()

    async def _sleep(self, pause_s: float) -> bool:
        """False: our time is over. Also when this process was stopped meanwhile."""
        left = self._until - self._clock()
        await asyncio.sleep(max(min(pause_s, left), 0.0))
        return self._clock() < self._until

    async def _renew_once(self, kv: KeyValue) -> bool:
        """False: somebody else has it, or it was deleted."""
        asked = self._clock()
        try:
            self._revision = await kv.update(self.key, self._value(), self._revision)
        except Conflict:
            # Perhaps it is our own write, of which we have not heard.
            found = await kv.get(self.key)
            if found is None or _holder(found[0]).term != self._term:
                return False
            self._revision = await kv.update(self.key, self._value(), found[1])
        self._until = asked + self.ttl_s * _GIVE_UP
        return True

    async def release(self) -> None:
        """Give it back, so that another takes it at once. Does nothing when we do not hold it."""
        held = self.held
        await self._stop_renewing()
        if not held or self._kv is None or self._kv.link.failure is not None:
            return
        with suppress(NatsError):
            try:
                await self._kv.delete(self.key, self._revision)
            except Conflict:  # a renewal that was under way has come through
                found = await self._kv.get(self.key)
                if found is not None and _holder(found[0]).term == self._term:
                    await self._kv.delete(self.key, found[1])

    async def _stop_renewing(self) -> None:
        self.lost.set()
        task, self._renewing = self._renewing, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _value(self) -> bytes:
        return msgspec.json.encode(Holder(self._instance, self._since, self._term))


async def holder(kv: KeyValue, key: str) -> Holder | None:
    """Who had it last; None: it was given back, or nobody ever had it."""
    found = await kv.get(key)
    return None if found is None else _holder(found[0])


def _holder(value: bytes) -> Holder:
    try:
        return msgspec.json.decode(value, type=Holder)
    except msgspec.DecodeError:
        return Holder("unknown", "", "")
