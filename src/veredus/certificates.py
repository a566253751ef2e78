"""The certificate that a server shows, renewed without a restart."""

import asyncio
import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

# How often files are looked at, in seconds.
CHECK_S: Final = 60

log = structlog.get_logger("veredus.tls")


class Certificate:
    """A TLS context that takes up a renewed certificate.

    ``certificate``, ``key``: PEM files of the chain and of its key. ``alpn``: protocols (RFC 7301), if any.
    Raises OSError, which names the files.
    """

    def __init__(self, certificate: str, key: str, alpn: Sequence[str] = ()) -> None:
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        try:
            self.context.load_cert_chain(certificate, key)
        except OSError as error:  # ssl.SSLError is one; it names neither file
            problem = error.strerror or str(error)
            raise OSError(error.errno, problem, f"tls.cert {certificate}, tls.key {key}") from error
        self._seen = self._times()

    def reload_if_changed(self) -> None:
        """New connections use the new certificate; one that cannot be read leaves the old one in use."""
        try:
            times = self._times()
            if times != self._seen:
                self.context.load_cert_chain(*self._files)
                self._seen = times
                log.info("certificate reloaded", file=self._files[0])
        except OSError as error:  # ssl.SSLError is one
            log.error("certificate not reloaded", file=self._files[0], error=str(error))

    async def follow(self, stop: asyncio.Event) -> None:
        """Look at the files each minute, until ``stop``."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await stop.wait()
            self.reload_if_changed()

    def _times(self) -> list[int]:
        return [os.stat(file).st_mtime_ns for file in self._files]
