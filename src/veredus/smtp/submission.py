"""Message submission (RFC 6409): users log in and send; the protocol itself is ``formats.smtp``."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from veredus.reception import Gate, Limits, Reception, Server, Submission, utc_now

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what users submit. ``tls``: None: only clients on this machine can log in. ``max_delay_s``: how long
    messages may be held (FUTURERELEASE), 0: not at all. ``delay_s``: before each wrong login is answered.
    """

    hostname: str
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    max_delay_s: int = 0
    now: Callable[[], datetime] = utc_now
    delay_s: float = 1.0


async def serve(
    listen: Sequence[str | socket.socket],
    tls_listen: Sequence[str | socket.socket],
    submission: Submission,
    terms: Terms,
) -> Server:
    """Take messages of users until the server is closed.

    ``listen``: where TLS begins with STARTTLS; ``tls_listen``: where it is on from the first octet. Raises
    ValueError: that needs a certificate.
    """
    if terms.tls is None:
        if tls_listen:
            raise ValueError("submission.tls_listen needs a certificate: tls.mode = files")
        log.warning("submission without TLS", remedy="set tls.mode; until then only over loopback")
    reception = Reception("submission", submission, terms.hostname, terms.limits, terms.tls, terms.now)
    gate = Gate(submission, time.monotonic, delay_s=terms.delay_s)
    return await Server(reception, gate, terms.max_delay_s).open(listen, tls_listen)
