"""Web push of one process: what sends it, and what people ask of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from veredus.ports import Clock, EventBus, Store
from veredus.push.hub import Hub
from veredus.push.web.email_push import NewEmails
from veredus.push.web.outcome import PushCounts
from veredus.push.web.records import destroy_all
from veredus.push.web.vapid import Vapid
from veredus.wire.types import Id

# What sends is imported where it is used: most commands do not, and its HTTP client takes 0.1 s.
if TYPE_CHECKING:
    from veredus.push.web.pusher import Pusher
    from veredus.push.web.sender import PushSender


class Sending(Struct, frozen=True):
    """How messages are sent. ``allow``: as of `target.Guard`; ``contact``, ``ca_file``: of `PushSender`."""

    allow: Sequence[str]
    contact: str
    ca_file: Path | None


class WebPush(Struct):
    """``run`` belongs to one task; the rest may be asked at any time.

    ``account``: the server's own. ``pusher``: made by ``run``.
    """

    store: Store
    account: Id
    bus: EventBus
    hub: Hub
    vapid: Vapid
    emails: NewEmails
    clock: Clock
    sending: Sending
    pusher: "Pusher | None" = None

    async def run(self, stop: asyncio.Event) -> None:
        """Push until ``stop``, as soon as no other process does."""
        from veredus.push.web.device import Tools  # noqa: PLC0415 - see above
        from veredus.push.web.pusher import Pusher  # noqa: PLC0415

        async with self._sender() as sender:
            tools = Tools(self.hub, sender, self.vapid, self.emails, self.clock)
            self.pusher = Pusher(self.store, self.account, self.bus, tools)
            await self.pusher.run(stop)

    @asynccontextmanager
    async def _sender(self) -> AsyncIterator["PushSender"]:
        from veredus.push.web.sender import PushSender  # noqa: PLC0415
        from veredus.push.web.target import Guard  # noqa: PLC0415

        sending = self.sending
        guard = Guard(sending.allow)
        sender = PushSender(guard, sending.contact, self.clock, ca_file=sending.ca_file)
        try:
            yield sender
        finally:
            await sender.close()
            guard.close()

    def counts(self) -> PushCounts:
        """Of this process."""
        return PushCounts() if self.pusher is None else self.pusher.counts()

    async def subscriptions(self, user: str | None) -> list[dict[str, Any]]:
        """See ``diagnostics.listing``."""
        from veredus.push.web import diagnostics  # noqa: PLC0415

        return await diagnostics.listing(self.store, self.account, user)

    async def test(self, user: str) -> list[tuple[dict[str, Any], str | None, bool]]:
        """See ``diagnostics.test``."""
        from veredus.push.web import diagnostics  # noqa: PLC0415

        async with self._sender() as sender:
            return await diagnostics.test(
                self.store, self.account, sender, self.vapid, user, self.clock.now()
            )

    async def destroy_subscriptions(self) -> None:
        """All of them, with their URLs and keys."""
        async with self.store.write(self.account) as tx:
            await destroy_all(tx)
