"""The client of nats-py with subscriptions that are called directly, and an end that does not hang.

This is the one file that reaches into nats-py: it relies on names of 2.16 that begin with an underscore.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from nats import errors
from nats.aio.client import Client

# subject, reply, headers (None: none), data
Sink: TypeAlias = Callable[[bytes, bytes, bytes | None, bytes], None]


class Connection(Client):
    """One connection. ``failure``: what nats-py reported beside its exceptions."""

    def __init__(self, closing: Callable[[], None], require_tls: bool) -> None:
        super().__init__()
        self.sinks: dict[int, Sink] = {}
        self.failure: Exception | None = None
        self._closing = closing
        self._require_tls = require_tls
        self._inbox_prefix = bytearray(b"_INBOX")  # else it has none before it connects

    @property
    def server_info(self) -> dict[str, Any]:
        return self._server_info

    @property
    def has_lived(self) -> bool:
        """Else there is nothing but a socket to close, and nobody tells when a failed TLS one is closed."""
        return self._reading_task is not None

    def new_number(self) -> int:
        """Of a subscription; nats-py's own counter, so that its own have others."""
        self._sid += 1
        return self._sid

    def write(self, octets: bytes) -> None:
        if self._transport:
            self._transport.write(octets)

    @property
    def buffered(self) -> int:
        """Octets written that the operating system has not taken."""
        writer = getattr(self._transport, "_io_writer", None)
        return 0 if writer is None else writer.transport.get_write_buffer_size()

    def ping(self, pong: "asyncio.Future[Any]") -> None:
        self._pongs.append(pong)
        self.write(b"PING\r\n")

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self._pings_outstanding = 0  # whoever speaks is alive, even if its PONG stands behind much else
        sink = self.sinks.get(sid)
        if sink is not None:
            sink(subject, reply, headers, data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    def _connect_command(self) -> bytes:
        """nats-py encrypts when the server offers it, and would else tell the password to anybody."""
        if self._require_tls and not self._server_info.get("tls_required"):
            self.failure = errors.Error("the server does not offer TLS")
            raise self.failure
        command: bytes = super()._connect_command()
        return command

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Nothing that waits is sent any more: nobody will wait for its answer."""
        self._pending, self._pending_data_size = [], 0
        self._closing()
        with suppress(OSError):
            await super()._close(status, do_cbs)

    def abort(self) -> None:
        """Close the socket now, also when the peer does not read."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
