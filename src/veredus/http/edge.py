"""What the endpoints of one server share."""

from collections.abc import Awaitable, Callable

from veredus.engine.limits import InFlight
from veredus.http.api import Api
from veredus.http.origins import Addresses
from veredus.http.problems import Problem
from veredus.http.settings import HttpSettings
from veredus.ports import Authenticator, Identity

# Gives the identity that a one-time ticket stands for, and uses it up; None: it is no good (any more).
Redeem = Callable[[str], Awaitable[Identity | None]]


class Edge:
    """The engine, who may use it, and the counts that hold over all transports."""

    def __init__(
        self, api: Api, authenticator: Authenticator, settings: HttpSettings, redeem: Redeem | None = None
    ) -> None:
        """``redeem`` None: there are no tickets."""
        self.api, self.authenticator, self.settings, self.redeem = api, authenticator, settings, redeem
        self.addresses = Addresses(settings.public_url, settings.trusted_proxies)
        # By user, over HTTP and WebSocket together.
        self.requests = InFlight("maxConcurrentRequests", settings.max_concurrent_requests)
        # By user, over EventSource and WebSocket together.
        self.streams = InFlight("maxStreams", settings.max_streams)

    def unauthorized(self) -> Problem:
        """What to raise when the credentials are missing, or no good (any more)."""
        challenge = self.authenticator.challenge().encode("latin-1")
        return Problem(401, None, [(b"www-authenticate", challenge)])
