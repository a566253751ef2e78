"""What reception asks of the rest of the server, and what it makes of the answers (RFC 5321 §6.1)."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from veredus.formats.smtp import (
    Envelope,
    Limits,
    MessageReceived,
    Reply,
    Role,
    submission_trace,
    trace_headers,
)
from veredus.ports.trouble import described

log = structlog.get_logger()

_FAILED = Reply(451, "4.3.0", "Temporary failure, try again later")


class Delivery(Protocol):
    """What reception asks of the rest. An exception of either method becomes 451 4.3.0 to the client."""

    async def recipient(self, address: str) -> Reply | None:
        """None: mail for this address is taken; else the 4xx or 5xx reply that refuses it (RFC 5321 §3.3)."""
        ...

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        """One reply per recipient, in order; to return a 2xx is to have it on disk (RFC 5321 §6.1).

        ``message`` begins with our Return-Path and Received; of a user who submits with Received alone. The
        call runs to its end even when the client goes away meanwhile; only ``Server.close`` cancels it.
        """
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Reception:
    """Who receives in which role, on what terms. ``tls``: None: STARTTLS is not offered."""

    role: Role
    delivery: Delivery
    hostname: str
    limits: Limits
    tls: ssl.SSLContext | None
    now: Callable[[], datetime]

    async def recipient(self, address: str) -> Reply | None:
        """``Delivery.recipient``, whatever goes wrong in it."""
        try:
            refusal = await self.delivery.recipient(address)
            if refusal and not refusal.is_refusal:
                raise ValueError("a reply that refuses nobody")
        except Exception as error:
            log.error("recipient lookup failed", **described(error))
            return _FAILED
        return refusal

    async def deliver(self, event: MessageReceived, id: str) -> Sequence[Reply]:
        """``Delivery.deliver`` with trace fields before the message, whatever goes wrong in it."""
        envelope = event.envelope
        message = self._trace(envelope, id) + event.text
        # A big message is not to be held twice.
        event.text.clear()
        try:
            replies = await self.delivery.deliver(envelope, message)
            if len(replies) != len(envelope.recipients) or not all(reply.is_final for reply in replies):
                raise ValueError("not one final reply per recipient")
        except Exception as error:
            log.error("delivery failed", **described(error))
            replies = [_FAILED] * len(envelope.recipients)
        refused = [reply.code for reply in replies if reply.is_refusal]
        log.info(
            "message received",
            protocol=envelope.protocol,
            client=envelope.client,
            octets=len(message),
            recipients=len(replies),
            refused=refused,
        )
        if self.role == "smtp" and refused and len(refused) < len(replies):
            # The client hears 250, since SMTP has one reply: these recipients are ours to tell of (§6.1).
            log.warning("recipients failed after acceptance", refused=refused)
        return replies

    def _trace(self, envelope: Envelope, id: str) -> bytes:
        if self.role == "submission":
            return submission_trace(envelope, self.hostname, id, self.now())
        only = envelope.recipients[0] if len(envelope.recipients) == 1 else None
        return trace_headers(envelope, self.hostname, id, self.now(), only)
