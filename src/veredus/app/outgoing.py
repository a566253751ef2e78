"""The outgoing queue of an app: where messages go, by the settings."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from veredus.app.building import App
from veredus.auth.tables import SYSTEM
from veredus.config.mail_settings import Outgoing
from veredus.formats.smtp import Envelope, Reply, trace_headers
from veredus.outgoing.attempt import BackOff
from veredus.outgoing.intake import Patience
from veredus.outgoing.queue import Place, Policy, Queue, Ways
from veredus.outgoing.records import LOCAL
from veredus.ports import BeforeText, Clock, Fate, Parcel, Relay, Unavailable
from veredus.reception import Delivery
from veredus.relay.opening import Options
from veredus.relay.smtp import SmtpRelay

log = structlog.get_logger("veredus.outgoing")

_NOT_HERE = Fate("failed", "550 5.7.1 This server sends no mail to other hosts")


class Here:
    """The mailboxes of this server, for the queue."""

    def __init__(self, delivery: Delivery, clock: Clock, hostname: str) -> None:
        self._delivery, self._clock, self._hostname = delivery, clock, hostname

    async def has(self, address: str) -> bool:
        """Whether mail for the address is taken here. Raises Unavailable: it cannot be told now."""
        refusal = await self._delivery.recipient(address)
        if refusal is not None and refusal.code < 500:
            raise Unavailable(refusal.text)
        return refusal is None

    async def deliver(self, parcel: Parcel) -> Mapping[str, Fate]:
        """Into the mailboxes of all recipients."""
        addresses = tuple(recipient.email for recipient in parcel.recipients)
        replies = await self._put(parcel.sender.email, addresses, parcel.data)
        return {address: _fate(reply) for address, reply in zip(addresses, replies, strict=True)}

    async def report(self, sender: str, message: bytes) -> bool:
        """A report to the sender of a message; False: that is nobody here, or cannot take it now, so that it
        must leave as any other message. Raises Unavailable."""
        if not await self.has(sender):
            return False
        (reply,) = await self._put("", (sender,), message)
        if reply.is_success:
            return True
        if reply.code >= 500:
            log.warning("a report was refused by its own reader's mailbox", reply=reply.code)
        return reply.code >= 500

    async def _put(self, sender: str, recipients: tuple[str, ...], message: bytes) -> Sequence[Reply]:
        envelope = Envelope(sender, recipients, client="", helo=self._hostname, protocol="LMTP")
        only = recipients[0] if len(recipients) == 1 else None
        trace = trace_headers(envelope, self._hostname, secrets.token_hex(8), self._clock.now(), only)
        return await self._delivery.deliver(envelope, trace + message)


def _fate(reply: Reply) -> Fate:
    text = " ".join(part for part in (str(reply.code), reply.enhanced, reply.text) if part)
    if reply.is_success:
        return Fate("relayed", text)
    return Fate("later" if reply.code < 500 else "failed", text)


class NoRelay:
    """Relay (ports) of a server that sends nothing to other hosts."""

    def destination(self, address: str) -> str:
        return address.rpartition("@")[2].lower()

    async def send(
        self, destination: str, parcel: Parcel, before_text: BeforeText | None = None
    ) -> Mapping[str, Fate]:
        return {recipient.email: _NOT_HERE for recipient in parcel.recipients}

    async def close(self) -> None:
        """There is nothing to end."""


def queue_of(app: App, delivery: Delivery) -> Queue:
    """``delivery``: into the mailboxes of this server."""
    config = app.config
    here = Here(delivery, app.clock, config.hostname)
    relay = _relay(app)

    async def route(address: str) -> str:
        # A domain of ours is nobody else's: who is nobody there is refused here, and not by way of others.
        if await here.has(address) or await app.domains.has(address.rpartition("@")[2]):
            return LOCAL
        return relay.destination(address)

    return Queue(
        Place(app.store, SYSTEM, app.blobs, app.bus, app.clock, config.hostname),
        Ways(relay, route, here.deliver, here.report, app.domains.sign),
        _policy(config.outgoing),
    )


def _relay(app: App) -> Relay:
    settings = app.config.outgoing
    if settings.url in ("local", "off"):
        return NoRelay()
    options = Options(
        hostname=app.config.hostname,
        tls=settings.tls,
        ca_file=settings.ca_file,
        port=settings.port,
        connections=settings.connections,
    )
    return SmtpRelay(settings.url, app.resolver, options)


def _policy(settings: Outgoing) -> Policy:
    warn_after = None if settings.warn_after is None else timedelta(seconds=settings.warn_after)
    return Policy(
        Patience(warn_after, timedelta(seconds=settings.give_up_after)),
        BackOff(timedelta(seconds=settings.retry_first), timedelta(seconds=settings.retry_longest)),
        settings.connections,
    )
