"""Connections to hosts: TLS as it must be, greetings, log-in (RFC 5321 §3.1, RFC 3207, RFC 8314 §3)."""

import asyncio
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct

from veredus.relay import dane
from veredus.relay.contexts import Contexts
from veredus.relay.host import Host
from veredus.relay.reply import HostTrouble
from veredus.relay.session import Session, Timeouts
from veredus.relay.wire import Wire, reason

log = structlog.get_logger()


class Options(Struct, frozen=True, kw_only=True):
    """``hostname``: what we call ourselves. ``port`` and ``sts_port``: of hosts that DNS names, and of their
    MTA-STS policies; others than 25 and 443 are for tests. ``source``: the address to connect from.
    ``connections``: kept for one destination. ``ca_file``: authorities besides the system's.
    """

    hostname: str
    tls: Literal["opportunistic", "required"] = "opportunistic"
    ca_file: Path | None = None
    port: int = 25
    sts_port: int = 443
    source: str | None = None
    connections: int = 5
    idle_s: float = 10
    timeouts: Timeouts = Timeouts()


class LogIn(Struct, frozen=True):
    """Who we are to a smart host."""

    user: str
    password: str


class Opener:
    """``is_implicit``: TLS from the first octet. ``log_in``: None: without."""

    def __init__(
        self, options: Options, contexts: Contexts, port: int, *, is_implicit: bool, log_in: LogIn | None
    ) -> None:
        self._options = options
        self._contexts = contexts
        self._port = port
        self._is_implicit = is_implicit
        self._log_in = log_in

    async def open(self, host: Host, address: str) -> Session:
        """A session that may be used. Raises HostTrouble."""
        session = await self._greeted(host, address)
        try:
            if not self._is_implicit and not await self._encrypt(session, host):
                await session.quit()
                session = await self._greeted(host, address)
            if self._log_in is not None:
                await session.log_in(self._log_in.user, self._log_in.password)
        except BaseException:
            session.wire.abort("451 4.3.0 Given up")
            raise
        session.opened_at = asyncio.get_running_loop().time()
        return session

    async def _greeted(self, host: Host, address: str) -> Session:
        session = Session(await self._connect(address), host.name, self._options.timeouts)
        try:
            if self._is_implicit:
                await self._handshake(session, host)
            session.calls_itself = await session.greet(self._options.hostname)
        except BaseException:
            session.wire.abort("451 4.3.0 Given up")
            raise
        return session

    async def _connect(self, address: str) -> Wire:
        source = self._options.source
        try:
            async with asyncio.timeout(self._options.timeouts.connect):
                _, wire = await asyncio.get_running_loop().create_connection(
                    Wire, address, self._port, local_addr=(source, 0) if source else None
                )
        except TimeoutError:
            raise HostTrouble(f"451 4.4.1 {address} port {self._port} does not answer") from None
        except OSError as error:
            raise HostTrouble(f"451 4.4.1 {address} port {self._port}: {reason(error)}") from error
        return wire

    async def _encrypt(self, session: Session, host: Host) -> bool:
        """STARTTLS, if the host offers it. False: it failed, and is to be done without.

        Raises HostTrouble.
        """
        is_needed = host.level != "opportunistic"
        if not session.offers("STARTTLS"):
            if is_needed:
                raise HostTrouble("451 4.7.4 The host offers no TLS, which is required", host.name)
            return True
        reply = await session.command("STARTTLS")
        if reply.code != 220:
            if is_needed:
                raise HostTrouble.said(reply, host.name)
            return True
        try:
            await self._handshake(session, host)
        except HostTrouble as trouble:
            if is_needed:
                raise
            log.info("TLS failed, sending without", host=host.name, reason=trouble.reply)
            return False
        await session.hello(self._options.hostname)
        return True

    async def _handshake(self, session: Session, host: Host) -> None:
        timeout_s = self._options.timeouts.handshake
        await session.wire.start_tls(self._contexts.of(host.level), host.name, timeout_s)
        if host.level == "dane" and not dane.matches(host.records, session.wire.ssl_object, host.name):
            raise HostTrouble(
                "451 4.7.5 No certificate of the host is one that its TLSA records name", host.name
            )
        session.is_encrypted = True
