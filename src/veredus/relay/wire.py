"""The octets of a connection: commands out, replies in, whatever comes (RFC 5321, RFC 3207)."""

import asyncio
import os
import socket
import ssl
from collections import deque
from typing import cast

from veredus.relay.reply import LONGEST_LINE, MOST_LINES, NO_ANSWER, HostTrouble, Reply, parse_line

_NO_SMTP = "451 4.5.0 What the host sent is no SMTP"


class Wire(asyncio.Protocol):
    """A connection. Replies that nobody waits for yet are kept, so that commands may be pipelined.

    A protocol and not a pair of streams: a stream forgets what it has read when the connection breaks, and
    hosts say why they hang up just before they do.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._writable: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._texts: list[str] = []
        self._replies: deque[Reply] = deque()
        self._awaited = 1  # the greeting
        self._end: str | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and nothing came that was not asked for."""
        return self._end is None and not self._replies and not self._buffer and not self._texts

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        if self._transport is None:
            return None
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    async def reply(self, timeout_s: float) -> Reply:
        """The next reply. Raises HostTrouble when none comes, or what comes is no reply."""
        if not self._replies:
            await self._wait(timeout_s)
        if not self._replies:
            raise HostTrouble(self._end or _NO_SMTP)
        return self._replies.popleft()

    def last_words(self) -> Reply | None:
        """What a host said that does not listen any more."""
        return self._replies.popleft() if self._replies else None

    async def _wait(self, timeout_s: float) -> None:
        if self._end is not None:
            return
        self._waiter = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiter
        except TimeoutError:
            self.abort("451 4.4.2 The host did not answer in time")
        finally:
            self._waiter = None

    def write(self, data: bytes | memoryview, replies: int = 1) -> None:
        """Send what will be answered with so many replies. Raises HostTrouble when nothing can be sent."""
        if self._end is not None or self._transport is None:
            raise HostTrouble(self._end or "451 4.4.2 The connection is closed")
        if self._replies:  # to something that was not asked: 421, or an answer before the text's end
            raise HostTrouble(NO_ANSWER.format("nobody", self._replies[0].folded()))
        self._awaited += replies
        self._transport.write(data)

    async def drain(self, timeout_s: float) -> None:
        """Wait until the kernel has all that was written. Raises HostTrouble."""
        if self._writable is not None and self._end is None:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(self._writable)
            except TimeoutError:
                self.abort("451 4.4.2 The host stopped reading")
        if self._end is not None:
            raise HostTrouble(self._end)

    async def start_tls(self, context: ssl.SSLContext, name: str, timeout_s: float) -> None:
        """Raises HostTrouble: the handshake failed, or somebody put octets before it (RFC 3207 §5)."""
        if not self.is_quiet or self._transport is None:
            raise HostTrouble(self._end or "451 4.7.0 Octets before the TLS handshake")
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=name, ssl_handshake_timeout=timeout_s
            )
        except (OSError, ValueError) as error:  # ValueError: DNS may name hosts that TLS cannot
            self.abort(f"451 4.7.5 TLS failed: {reason(error)}")
            raise HostTrouble(self._end or "") from error
        if transport is None:
            raise HostTrouble(self._end or "451 4.4.2 The host closed the connection")
        self._transport = transport
        # Not 0: a TLS transport of asyncio would pause when it is empty, and not resume.
        self._transport.set_write_buffer_limits(high=1, low=0)

    async def close(self) -> None:
        """End the connection, and wait until it has ended."""
        self._finish("451 4.4.2 The connection is closed")
        if self._transport is not None:
            self._transport.close()
            try:
                async with asyncio.timeout(1):
                    await asyncio.shield(self._closed)
            except TimeoutError:  # a TLS peer that does not answer close_notify
                self._transport.abort()

    def abort(self, reason: str) -> None:
        """Break the connection at once: what was not sent will not be."""
        self._finish(reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is None:
            self._transport = cast(asyncio.Transport, transport)
            # drain() returns when the kernel has everything: what it has not, the host cannot have.
            self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        if self._end is not None:
            return
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            if not self._takes(bytes(self._buffer[start:end]).rstrip(b"\r")):
                self.abort(_NO_SMTP)
                return
            start = end + 1
        del self._buffer[:start]
        if len(self._buffer) > LONGEST_LINE:
            self.abort(_NO_SMTP)

    def _takes(self, line: bytes) -> bool:
        """False: no host that speaks SMTP would send this line now."""
        parsed = parse_line(line) if len(line) <= LONGEST_LINE else None
        if parsed is None:
            return False
        code, text, is_last = parsed
        self._texts.append(text)
        if not is_last:
            return len(self._texts) <= MOST_LINES
        self._replies.append(Reply(code, tuple(self._texts)))
        self._texts.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._awaited -= 1
        return self._awaited >= -1  # one may come unasked: 421

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def eof_received(self) -> bool:
        self._finish("451 4.4.2 The host closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(
            f"451 4.4.2 The connection broke: {reason(exc)}" if exc else "451 4.4.2 The host hung up"
        )
        if not self._closed.done():
            self._closed.set_result(None)

    def _finish(self, reason: str) -> None:
        """Let nobody wait any longer; the first reason counts."""
        self._end = self._end or reason
        for waiting in (self._waiter, self._writable):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)


def reason(error: BaseException) -> str:
    """Why the network failed, in a few words of one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "certificate verify failed"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # asyncio puts addresses into the text
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error) or type(error).__name__).split())[:200]
