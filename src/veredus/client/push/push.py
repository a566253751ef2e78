"""Push as a caller sees it: signals that something changed (RFC 8620 §7, RFC 8887 §4.3.5)."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Literal

from veredus.client.errors import JMAPError
from veredus.client.http import Connection
from veredus.client.push.run import POLL, Choice, Run, SessionProvider
from veredus.client.push.signals import Pending, PushPosition, Signal, Transport
from veredus.client.push.transport import Timing, Wanted


class Push:
    """Signals that something changed. One stream of them at a time.

    ``session``: asked for the current session before each connection. ``closeafter``: "state" makes each
    response of an event stream end with its first change, for what lies between and holds back octets.
    """

    def __init__(
        self,
        connection: Connection,
        session: SessionProvider,
        *,
        timing: Timing | None = None,
        closeafter: Literal["no", "state"] = "no",
    ) -> None:
        self._connection, self._session, self._timing = connection, session, timing or Timing()
        self._closeafter = closeafter
        self._run: Run | None = None

    @property
    def transport(self) -> Transport | None:
        """What signals come by now; None: nothing, but those to look at everything."""
        return self._run.transport if self._run else None

    @property
    def alive(self) -> bool:
        """Whether all is as good as this server and this caller want it."""
        return self.transport is not None

    @property
    def position(self) -> PushPosition:
        """The newest that the server said; it may be ahead of the signals that the caller has seen."""
        return self._run.position if self._run else PushPosition()

    @property
    def refusals(self) -> Mapping[Transport, JMAPError]:
        """Why the transports that were tried are not used."""
        return dict(self._run.refusals) if self._run else {}

    def signals(
        self,
        types: Collection[str] | None = None,
        *,
        transport: Choice = "auto",
        ping_s: float = 30,
        poll_s: float = 600,
        resume: PushPosition | None = None,
    ) -> AsyncGenerator[Signal, None]:
        """Endless signals; ``types`` None: of all types.

        ``ping_s``: how often there must be a sign of life. ``poll_s``: the longest time without a signal to
        look at everything; shorter (``Timing.unpushed_poll_s``) while nothing pushes.

        Raises Unauthorized when the server refuses the credentials and there are no others, and NotSupported
        when it has not the ``transport`` that was named; all else it tries to get over. Leaving the loop ends
        it soon; with ``contextlib.aclosing`` it has ended when the block is left.
        """
        if types is not None and not types:
            raise ValueError("no types: None means all")
        if ping_s <= 0 or poll_s <= 0:
            raise ValueError("ping_s and poll_s must be more than 0: silence would never be noticed")
        names = None if types is None else tuple(sorted(types))
        wanted = Wanted(names, ping_s, self._closeafter == "state", self._timing)
        return self._signals(wanted, transport, poll_s, resume or PushPosition())

    async def _signals(
        self, wanted: Wanted, transport: Choice, poll_s: float, resume: PushPosition
    ) -> AsyncGenerator[Signal, None]:
        def interval_s() -> float:
            is_as_wanted = transport == POLL or run.transport not in (None, POLL)
            return poll_s if is_as_wanted else min(poll_s, self._timing.unpushed_poll_s)

        pending = Pending(interval_s)
        run = self._run = Run(self._connection, self._session, wanted, transport, pending)
        run.position = resume
        task = asyncio.create_task(run.run(), name="push")
        task.add_done_callback(lambda _: pending.wake())
        try:
            while True:
                yield await pending.next(task)
        finally:
            run.transport = None
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: it was raised, or the caller has left before
