"""SMTP reception (RFC 5321): mail from other hosts; the protocol itself is ``formats.smtp``."""

import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime

from veredus.reception import Delivery, Limits, Reception, Server, utc_now


async def serve(
    listen: Sequence[str | socket.socket],
    delivery: Delivery,
    *,
    hostname: str,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Server:
    """Receive for ``delivery`` on each "host:port" or "unix:/path" until the server is closed.

    ``hostname``: what we are called in replies and Received fields. ``tls``: None: no STARTTLS.
    """
    return await Server.start(Reception("smtp", delivery, hostname, limits or Limits(), tls, now), listen)
