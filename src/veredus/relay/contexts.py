"""TLS as a client of other hosts."""

import ssl
from functools import cache
from pathlib import Path

from veredus.relay.host import Level


class Contexts:
    """Made at first use: to read the authorities of the system takes tens of milliseconds."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._made = cache(self._make)

    def of(self, level: Level) -> ssl.SSLContext:
        return self._made(level == "verified")

    @property
    def verified(self) -> ssl.SSLContext:
        return self._made(True)

    def _make(self, is_verified: bool) -> ssl.SSLContext:
        if is_verified:
            context = ssl.create_default_context()
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            return context
        # Any certificate: RFC 7672 §3.1 looks at it in its own way, and opportunistic TLS at none, since the
        # alternative is to send in clear.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
