"""Messages on their way into JetStream: many at once, within bounds, each with its acknowledgement."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import dropwhile

import msgspec
from msgspec import Struct

from veredus.bridge.nats.errors import NatsError, NoStream, Refused, of_jetstream
from veredus.bridge.nats.link import ANSWER_S, NO_RESPONDERS, Link

MESSAGES, OCTETS = 256, 8 * 1024 * 1024
# What the system has not taken from us yet.
UNSENT = 1024 * 1024
# An acknowledgement may take so many times longer when others come meanwhile.
_LATE = 12


class Ack(Struct, frozen=True):
    """``sequence``: in the stream; ``duplicate``: the stream had this Nats-Msg-Id already."""

    stream: str
    sequence: int
    duplicate: bool = False


class _Failure(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Said(Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Failure | None = None


_decode = msgspec.json.Decoder(_Said).decode


class Window:
    """At most ``messages`` and ``octets`` unacknowledged on one link; order is that of ``send``.

    ``ordered``: the first failure is that of all later messages, too, and nothing more is sent: whoever
    wants order begins again with a new window. Earlier messages may still be acknowledged.

    When no acknowledgement comes for ``answer_s``, that is the end of the link: nobody knows any more what is
    stored, and later messages must not overtake. One that is late while others come, as on a slow line, is
    waited for longer.
    """

    def __init__(
        self,
        link: Link,
        *,
        ordered: bool = False,
        messages: int = MESSAGES,
        octets: int = OCTETS,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.link = link
        # The first failure; only of an ordered window.
        self.failure: NatsError | None = None
        self._ordered = ordered
        self._messages = messages
        self._octets = octets
        self._answer_s = answer_s
        self._loop = asyncio.get_running_loop()
        # Sent and not answered, oldest first; what is answered leaves when it is first.
        self._under_way: deque[_Waiting] = deque()
        self._count = 0
        self._size = 0
        self._sending = asyncio.Lock()  # first come, first served
        self._room: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = 0.0

    async def send(self, subject: str, body: bytes, headers: bytes = b"") -> "asyncio.Future[Ack]":
        """Returns when it is on its way, which waits for room. The future raises what ``of_jetstream`` makes,
        or NoStream, NotAllowed, NatsLost. Itself raises TooLarge or NatsLost, and nothing was sent then."""
        size = len(body) + len(headers)
        async with self._sending:
            await self._until(lambda: self._has_room(size))
            waiting = _Waiting(self, subject, size)
            self.link.send(subject, body, headers, waiting)
            self._count += 1
            self._size += size
            self._under_way.append(waiting)
        if self._watch is None:
            self._watch = self._loop.call_later(self._answer_s, self._check)
        return waiting.future

    async def drain(self) -> None:
        """Returns when everything is answered. Raises the failure of an ordered window."""
        async with self._sending:
            await self._until(lambda: self._count == 0)

    async def _until(self, true: Callable[[], bool]) -> None:
        """Only for who holds ``_sending``. Raises the failure of an ordered window."""
        while self.failure is None and not true():
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.failure is not None:
            raise self.failure

    def _has_room(self, size: int) -> bool:
        """A message that is larger than the whole window goes alone. What waits in this process is kept
        short, so that on a slow line a renewal of the lease does not stand behind megabytes."""
        return self._count == 0 or (
            self._count < self._messages and self._size + size <= self._octets and self.link.unsent < UNSENT
        )

    def answered(self, size: int) -> None:
        """One message less is under way."""
        self._count -= 1
        self._size -= size
        self._heard_at = self._loop.time()
        under_way = self._under_way
        while under_way and under_way[0].future.done():
            under_way.popleft()
        self._wake()

    def failed(self, waiting: "_Waiting", error: NatsError) -> None:
        """``waiting`` could not be stored."""
        if not self._ordered or self.failure is not None:
            return
        self.failure = error
        later = dropwhile(lambda one: one is not waiting, list(self._under_way))
        for one in later:
            one.give_up(error)
        self._wake()

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _check(self) -> None:
        self._watch = None
        if not self._under_way or self.link.failure is not None:
            return
        sent_at = self._under_way[0].sent_at
        until = min(max(sent_at, self._heard_at) + self._answer_s, sent_at + _LATE * self._answer_s)
        left = until - self._loop.time()
        if left <= 0:
            self.link.fail(f"no acknowledgement from JetStream in {self._answer_s:g} s")
        else:
            self._watch = self._loop.call_later(left, self._check)


class _Waiting:
    """One message; an Answer of ``Link``."""

    __slots__ = ("future", "sent_at", "size", "subject", "window")

    def __init__(self, window: Window, subject: str, size: int) -> None:
        loop = asyncio.get_running_loop()
        self.window = window
        self.subject = subject
        self.size = size
        self.future: asyncio.Future[Ack] = loop.create_future()
        self.sent_at = loop.time()

    def resolve(self, headers: bytes | None, data: bytes) -> None:
        if headers is not None and headers.startswith(NO_RESPONDERS) and not data:
            self.fail(NoStream(f"no stream takes messages for {self.subject!r}"))
            return
        try:
            said = _decode(data)
        except msgspec.DecodeError:
            self.fail(Refused(0, f"{self.subject}: what answered is no stream"))
            return
        if said.error is not None:
            error = said.error
            self.fail(of_jetstream(error.err_code, error.code, error.description, self.subject))
            return
        if not self.future.done():
            self.future.set_result(Ack(said.stream, said.seq, said.duplicate))
        self.window.answered(self.size)

    def fail(self, error: NatsError) -> None:
        self.give_up(error)
        self.window.failed(self, error)
        self.window.answered(self.size)

    def give_up(self, error: NatsError) -> None:
        """Its answer, should one come, is not waited for any more."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # so that nobody is told of it when nobody waits any more
