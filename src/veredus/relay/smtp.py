"""Mail to other hosts by SMTP: to a smart host, or to those that DNS names (RFC 5321 §5)."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from veredus.ports import BeforeText, Fate, Parcel, Unreachable
from veredus.relay.attempt import Attempt
from veredus.relay.commands import Refused, ascii_domain
from veredus.relay.contexts import Contexts
from veredus.relay.host import Host
from veredus.relay.mta_sts import Policies
from veredus.relay.opening import LogIn, Opener, Options
from veredus.relay.pool import Pool
from veredus.relay.reply import HostTrouble
from veredus.relay.routes import MxRoutes, Routes, SmartHost
from veredus.relay.session import Session
from veredus.resolver import Resolver


class SmtpRelay:
    """``url``: "mx", or a smart host as ``smtp://user:password@host:587`` or ``smtps://…``; user and password
    are percent-encoded. The resolver stays the caller's. Any number of messages may be sent at a time.
    """

    def __init__(self, url: str, resolver: Resolver, options: Options) -> None:
        contexts = Contexts(options.ca_file)
        self._hostname = options.hostname.lower()
        self._pool = Pool(options.connections, options.idle_s)
        self._policies = Policies(resolver, contexts, options.sts_port)
        self._smart_host: str | None = None
        if url == "mx":
            self._routes: Routes = MxRoutes(resolver, self._policies, options)
            self._opener = Opener(options, contexts, options.port, is_implicit=False, log_in=None)
            return
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("expected mx, smtp://host or smtps://host")
        is_implicit = parts.scheme == "smtps"
        port = parts.port or (465 if is_implicit else 587)
        log_in = LogIn(unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._smart_host = parts.hostname
        self._routes = SmartHost(parts.hostname, port, tls=options.tls, is_implicit=is_implicit)
        self._opener = Opener(options, contexts, port, is_implicit=is_implicit, log_in=log_in)

    def destination(self, address: str) -> str:
        """See ``ports.Relay``."""
        if self._smart_host is not None:
            return self._smart_host
        domain = address.rpartition("@")[2]
        try:
            return ascii_domain(domain).rstrip(".").lower()
        except Refused:  # looked up under its name it will not be found
            return domain.lower()

    async def send(
        self, destination: str, parcel: Parcel, before_text: BeforeText | None = None
    ) -> Mapping[str, Fate]:
        """See ``ports.Relay``. ``before_text`` is awaited before each text, of which there may be several:
        for a host that takes few recipients at a time, and for the next host after one that broke off.
        """
        attempt = Attempt(parcel, before_text)
        session = self._pool.take(destination)
        was_heard = False
        if session is not None:
            trouble = await attempt.run(session)
            was_heard = trouble is None or bool(attempt.fates)
            if trouble is None:
                self._pool.keep(destination, session)
        if attempt.undecided:
            await self._ask_hosts(destination, attempt, was_heard=was_heard)
        return attempt.fates

    async def _ask_hosts(self, destination: str, attempt: Attempt, *, was_heard: bool) -> None:
        """Connect to one host after the other, until everybody's fate is known. Raises Unreachable."""
        troubles: list[HostTrouble] = []
        try:
            hosts = await self._routes.hosts(destination)
        except Unreachable as unreachable:
            if not was_heard:
                raise
            hosts, troubles = [], [HostTrouble(str(unreachable))]
        for host in hosts:
            for address in host.addresses:
                try:
                    session = await self._open(host, address)
                except HostTrouble as trouble:
                    troubles.append(trouble)
                    continue
                was_heard = True
                ended = await attempt.run(session)
                if ended is None:
                    self._pool.keep(destination, session)
                else:
                    troubles.append(ended)
                if not attempt.undecided:
                    return
        if not was_heard:
            raise Unreachable(troubles[0].reply, is_final=all(it.is_final for it in troubles))
        attempt.put_off(troubles[-1])

    async def _open(self, host: Host, address: str) -> Session:
        """Raises HostTrouble."""
        session = await self._opener.open(host, address)
        # A name without a dot ("localhost") is what nobody has set, and many may have.
        own = self._hostname if "." in self._hostname else None
        if self._smart_host is None and session.calls_itself.lower() == own:
            await session.quit()
            raise HostTrouble(f"554 5.4.6 {address} is this host itself", is_final=True)
        return session

    async def close(self) -> None:
        """End the connections that were kept."""
        await self._pool.close()
        await self._policies.close()
