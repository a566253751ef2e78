"""One live connection to NATS, and the next one when it is lost.

nats-py connects, authenticates, encrypts and parses; it never reconnects, since what it would buffer
meanwhile would be sent after what was lost, out of order. Requests and acknowledged messages are written
here, many in one system call, and their answers come back over one subscription.
"""

import asyncio
import itertools
import re
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct
from nats import errors as nats_errors

from veredus.bridge.nats.connection import Connection, Sink
from veredus.bridge.nats.errors import (
    CannotConnect,
    NatsError,
    NatsLost,
    NoStream,
    NotAllowed,
    TimedOut,
)
from veredus.bridge.nats.features import features
from veredus.bridge.nats.login import ReadSecret, login, needs_tls, tls_context
from veredus.bridge.nats.message import check_size
from veredus.bridge.settings import NatsSettings

NAME = "veredus-bridge"
ANSWER_S = 5.0
_CONNECT_S = 5.0
# A server that is silent is given up after three times this; a busy process of our own is not so quickly.
_PING_S = 2
_UNANSWERED_PINGS = 2
_FORBIDDEN = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
NO_RESPONDERS = b"NATS/1.0 503"


class Answer(Protocol):
    """Who waits for the answer to what was sent to ``subject``; exactly one of the two is called, once."""

    subject: str

    def resolve(self, headers: bytes | None, data: bytes) -> None: ...
    def fail(self, error: NatsError) -> None: ...


class Reply(Struct, frozen=True):
    """``headers``: the block as it came, or None."""

    headers: bytes | None
    data: bytes


class Link:
    """One connection. When it is lost, everything that waits for an answer fails with NatsLost."""

    def __init__(self, server: str, require_tls: bool) -> None:
        """Use ``open``."""
        self.server = server
        self.lost = asyncio.Event()
        self.failure: NatsLost | None = None
        self.max_payload = 0
        self.features = features("0")
        # For what speaks nats-py itself (its micro services). Its exceptions are not ours.
        self.client = Connection(self._closing, require_tls)
        self._waiting: dict[bytes, Answer] = {}
        self._numbers = itertools.count()
        self._inbox = self.client.new_inbox() + "."
        self._forbidden: str | None = None
        self._out: list[bytes] = []
        self._waiting_octets = 0  # of _out
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, url: str, settings: NatsSettings, read_secret: ReadSecret) -> "Link":
        """Connect once to one server. Raises CannotConnect, NotAllowed or Misconfigured."""
        server = url.rpartition("@")[2].rpartition("//")[2]
        link = cls(server, needs_tls(settings, url))
        options: dict[str, Any] = login(settings, read_secret)
        if needs_tls(settings, ""):  # else nats-py takes the authorities of the system
            options["tls"] = tls_context(settings)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await link._connect(url, options)
        except BaseException as error:
            cause = link.client.failure or link.client.last_error or error
            await link.close()
            if isinstance(error, NatsError) or not isinstance(error, Exception):
                raise
            if link.client.server_info.get("tls_verify") and settings.tls_cert is None:
                raise NotAllowed(f"NATS server {server}: it asks for a certificate; set tls_cert") from None
            raise _of_connecting(server, cause) from None
        return link

    async def _connect(self, url: str, options: dict[str, Any]) -> None:
        await self.client.connect(
            url,
            name=NAME,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=int(_CONNECT_S),
            ping_interval=_PING_S,
            max_outstanding_pings=_UNANSWERED_PINGS,
            error_cb=self._told,
            **options,
        )
        if not self.client.is_connected:  # nats-py does not tell an end of the stream from a PONG
            raise CannotConnect(f"NATS server {self.server}: it has closed the connection")
        self.max_payload = self.client.max_payload
        self.features = features(str(self.client.server_info.get("version", "0")))
        self.listen(self._inbox + "*", self._answered)
        await self.settle()
        if self._forbidden is not None:
            raise NotAllowed(f"NATS server {self.server}: not allowed to subscribe to {self._forbidden}")

    # ------------------------------------------------------------ sending

    def send(self, subject: str, body: bytes, headers: bytes = b"", answer: Answer | None = None) -> None:
        """Returns at once; what is sent in one turn of the loop is written together.

        ``headers``: an encoded block. Raises TooLarge, or NatsLost when the connection is gone. The subject
        is not checked, and nothing bounds how much is sent: that is for the caller.
        """
        if answer is None:
            self._put(subject, "", body, headers)
            return
        number = next(self._numbers)
        self._put(subject, f"{self._inbox}{number} ", body, headers)
        self._waiting[b"%d" % number] = answer

    def ask(self, subject: str, body: bytes, inbox: str) -> None:
        """Send with ``inbox`` as the subject for answers, of which there may be many; see ``listen``."""
        self._put(subject, inbox + " ", body, b"")

    def _put(self, subject: str, reply: str, body: bytes, headers: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        check_size(subject, headers, body, self.max_payload)
        if headers:
            line = f"HPUB {subject} {reply}{len(headers)} {len(headers) + len(body)}\r\n"
        else:
            line = f"PUB {subject} {reply}{len(body)}\r\n"
        self._write(line.encode() + headers, body, b"\r\n")

    async def request(
        self, subject: str, body: bytes = b"", headers: bytes = b"", timeout_s: float = ANSWER_S
    ) -> Reply:
        """Raises TimedOut, NatsLost, NotAllowed, NoStream (nobody is there to answer), TooLarge."""
        answer = _Request(subject, self._loop.create_future())
        self.send(subject, body, headers, answer)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer.future
        except TimeoutError:
            raise TimedOut(
                f"NATS server {self.server}: no answer from {subject} in {timeout_s:g} s"
            ) from None

    def listen(self, subject: str, sink: Sink) -> int:
        """Give each message for ``subject`` to ``sink``; the number is for ``ignore``."""
        if self.failure is not None:
            raise self.failure
        number = self.client.new_number()
        self.client.sinks[number] = sink
        self._write(f"SUB {subject} {number}\r\n".encode())
        return number

    def ignore(self, number: int) -> None:
        """End what ``listen`` began."""
        if self.client.sinks.pop(number, None) is not None and self.failure is None:
            self._write(b"UNSUB %d\r\n" % number)

    def inbox(self) -> str:
        """A subject that nobody else knows."""
        return self.client.new_inbox()

    @property
    def unsent(self) -> int:
        """Octets that the operating system has not yet taken."""
        return self._waiting_octets + self.client.buffered

    def _write(self, *parts: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.extend(parts)
        self._waiting_octets += sum(map(len, parts))

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._waiting_octets = 0
        if out and self.failure is None:
            self.client.write(b"".join(out))

    async def settle(self) -> None:
        """Returns once the server has taken everything sent so far. Raises NatsLost or TimedOut."""
        self._flush()
        pong = self._loop.create_future()
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            if self.failure is None:
                self.client.ping(pong)
                # nats-py cannot bear that this future is cancelled, so it is left alone.
                await asyncio.wait([pong, lost], timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        if self.failure is not None:
            raise self.failure
        if not pong.done():
            raise TimedOut(f"NATS server {self.server}: no answer in {ANSWER_S:g} s")

    # ------------------------------------------------------------ receiving

    def _answered(self, subject: bytes, reply: bytes, headers: bytes | None, data: bytes) -> None:
        answer = self._waiting.pop(subject[len(self._inbox) :], None)
        if answer is not None:
            answer.resolve(headers, data)

    async def _told(self, error: Exception) -> None:
        """nats-py tells here what the server complains about, in lower case, and why it will close."""
        forbidden = _FORBIDDEN.search(str(error))
        if forbidden is None:
            self.client.failure = error
            return
        what, subject = forbidden[1].lower(), forbidden[2]
        if what == "subscription":
            self._forbidden = self._forbidden or subject
            return
        for token, answer in list(self._waiting.items()):
            if answer.subject.lower() == subject.lower():
                del self._waiting[token]
                answer.fail(
                    NotAllowed(f"NATS server {self.server}: not allowed to publish to {answer.subject}")
                )

    # ------------------------------------------------------------ the end

    def fail(self, reason: str) -> None:
        """Give the connection up. The first reason counts."""
        if self.failure is not None:
            return
        self.failure = NatsLost(f"NATS server {self.server}: {reason}")
        self.lost.set()
        self._out.clear()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.fail(self.failure)
        self.client.abort()

    def _closing(self) -> None:
        cause = self.client.failure or self.client.last_error
        self.fail(f"connection lost: {_said(cause)}" if cause else "connection closed")

    async def close(self) -> None:
        """What was sent without waiting for an answer is written first, unless the connection is lost."""
        try:
            if self.failure is None and self.client.is_connected:
                with suppress(NatsError):
                    await self.settle()
        finally:
            self.fail("connection closed")
            if self.client.has_lived:
                with suppress(Exception):
                    async with asyncio.timeout(ANSWER_S):
                        await self.client.close()
            self.client.abort()


class _Request:
    def __init__(self, subject: str, future: "asyncio.Future[Reply]") -> None:
        self.subject = subject
        self.future = future

    def resolve(self, headers: bytes | None, data: bytes) -> None:
        if self.future.done():
            return
        if headers is not None and headers.startswith(NO_RESPONDERS) and not data:
            self.fail(NoStream(f"nobody answers on {self.subject}: is JetStream running?"))
        else:
            self.future.set_result(Reply(headers, data))

    def fail(self, error: NatsError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # so that nobody is told of it when nobody waits any more


def _said(error: BaseException) -> str:
    return str(error).removeprefix("nats: ").strip("'\" ") or type(error).__name__


def _of_connecting(server: str, cause: BaseException) -> NatsError:
    said = _said(cause)
    if isinstance(cause, TimeoutError):
        said = "no answer"
    refused = isinstance(cause, nats_errors.AuthorizationError) or "authorization violation" in said.lower()
    if refused or "authentication" in said.lower():
        return NotAllowed(f"NATS server {server}: wrong or missing credentials ({said})")
    return CannotConnect(f"NATS server {server}: {said}")
