"""One client's socket: ``formats.smtp`` decides what is said, this module when and how fast."""

import asyncio
import secrets
from typing import Protocol

import structlog

from veredus.formats.smtp import (
    Closed,
    Event,
    LoginOffered,
    MessageReceived,
    RecipientOffered,
    Reply,
    SenderOffered,
    Session,
    TlsRequested,
)
from veredus.ports.trouble import described
from veredus.reception.delivery import Reception
from veredus.reception.gate import Gate

log = structlog.get_logger()

# What may be read ahead while an answer is awaited. To stop reading for every answer would cost four
# calls of the kernel for each message.
_READ_AHEAD = 64 * 1024


class Registry(Protocol):
    """The server, as a connection sees it."""

    @property
    def reception(self) -> Reception: ...

    @property
    def gate(self) -> Gate | None:
        """None: nobody logs in here."""
        ...

    def session(self, client: str, tls: bool) -> Session:
        """A new session with this peer; ``tls``: from the first octet."""
        ...

    def admit(self, connection: "Connection") -> Reply | None:
        """None: it may stay; else the reply that sends it away (RFC 5321 §3.1)."""
        ...

    def forget(self, connection: "Connection") -> None:
        """It has neither a socket nor a delivery any more. May be called twice."""
        ...


class Connection(asyncio.Protocol):
    """One client's socket. Its task exists only while an answer is awaited."""

    def __init__(self, server: Registry, *, tls: bool) -> None:
        self._server, self._tls = server, tls
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False
        self._is_in_handshake = False
        self._is_ended = False
        self._is_read_paused = False
        self._is_write_paused = False
        # Where the clocks of idleness and of the transaction started; None: no transaction.
        self._heard = self._loop.time()
        self._transaction_began: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, so no isinstance here.
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        # A local socket has no peer address.
        self.client: str = peer[0] if isinstance(peer, tuple) else ""
        self._session = self._server.session(self.client, self._tls)
        if refusal := self._server.admit(self):
            self._session.close("limit")
            self._transport.write(refusal.encode())
            self._transport.close()
        else:
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)
        if self._session.is_receiving_text:
            self._heard = self._loop.time()
        if self._task is None:
            self._advance()
        elif self._session.octets_waiting > _READ_AHEAD:
            self._pause_reading()

    def eof_received(self) -> bool:
        """The client will say no more. True: keep the way to it open for the answer that is awaited."""
        self._is_ended = True
        return self._task is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if self._task is None:
            self._forget()

    def pause_writing(self) -> None:
        # Who does not read replies is not heard either.
        self._is_write_paused = True
        self._pause_reading()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._task is None:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused and not self._is_write_paused and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()

    # ------------------------------------------------------------ for the server

    def shut_down(self) -> None:
        self._session.shut_down()
        if self._task is None:
            self._advance()

    def abort(self) -> None:
        if self._task:
            self._task.cancel()
        self._transport.abort()

    def check_time(self, now: float) -> None:
        """Close a connection that is idle, or at its transaction, for too long (RFC 5321 §4.5.3.2)."""
        limits = self._server.reception.limits
        if self._transport.is_closing():
            self._transport.abort()
        if self._task or self._is_lost:
            return
        began = self._transaction_began
        if now - self._heard > limits.idle_timeout_s or (
            began is not None and now - began > limits.transaction_timeout_s
        ):
            self._close(self._session.close("timeout", Reply(421, "4.4.2", "Timed out, closing")))

    # ------------------------------------------------------------ the dialogue

    def _advance(self) -> None:
        event = self._session.next_event()
        if isinstance(event, Closed):
            self._close(event)
        elif event:
            self._task = self._loop.create_task(self._attend(event))
        else:
            self._flush()

    async def _attend(self, event: Event | None) -> None:
        """Answer ``event`` and all that follow from what was received already."""
        try:
            while event and not isinstance(event, Closed):
                await self._answer(event)
                event = self._session.next_event()
        except Exception as error:
            log.error("reception failed", client=self.client, **described(error))
            self._transport.abort()
        finally:
            self._task = None
            # Nobody calls connection_lost of a protocol whose handshake failed or was broken off.
            if self._is_lost or self._is_in_handshake:
                self._forget()
        if isinstance(event, Closed):
            self._close(event)
        elif not self._transport.is_closing():
            self._flush()
            self._resume_reading()
            if self._is_ended:
                self._transport.close()

    async def _answer(self, event: Event) -> None:
        match event:
            case RecipientOffered(address):
                self._session.answer_recipient(await self._server.reception.recipient(address))
            case MessageReceived():
                # The replies to RCPT are due (RFC 2920 §3.2), and delivery may take its time.
                self._flush()
                id = secrets.token_hex(8)
                with structlog.contextvars.bound_contextvars(transaction=id):
                    replies = await self._server.reception.deliver(event, id)
                self._transaction_began = None
                self._session.answer_message(replies)
            case LoginOffered():
                gate = self._server.gate
                assert gate
                self._flush()
                self._session.answer_login(await gate.log_in(event, self.client))
            case SenderOffered():
                gate = self._server.gate
                assert gate
                self._session.answer_sender(await gate.sender(event))
            case TlsRequested():
                self._flush()
                await self._start_tls()

    async def _start_tls(self) -> None:
        """RFC 3207 §4. From here on reads reach us through TLS alone."""
        context = self._server.reception.tls
        assert context
        # No read comes between this and the TLS layer's taking over the transport.
        self._session.discard_received()
        self._is_in_handshake = True
        patience_s = self._server.reception.limits.idle_timeout_s
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=patience_s
            )
        except OSError as error:
            log.info("tls failed", client=self.client, error=type(error).__name__)
            transport = None
        if transport:
            self._is_in_handshake = False
            self._transport = transport
            self._session.tls_started()
        else:
            self._transport.abort()

    def _flush(self) -> None:
        """Send what is to be said. Replies start the clock of idleness anew, a dribble of octets does not."""
        output = self._session.output()
        if not output:
            return
        self._heard = self._loop.time()
        if not self._session.in_transaction:
            self._transaction_began = None
        elif self._transaction_began is None:
            self._transaction_began = self._heard
        if not self._transport.is_closing():
            self._transport.write(output)

    def _close(self, closed: Closed) -> None:
        self._flush()
        if closed.reason != "quit":
            log.info("connection closed", client=self.client, reason=closed.reason)
        self._transport.close()

    def _forget(self) -> None:
        self._session.close("lost")
        self._server.forget(self)
