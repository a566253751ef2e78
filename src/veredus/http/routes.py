"""Which path leads where."""

from collections.abc import Awaitable, Callable, Sequence

from veredus.http.exchange import Exchange
from veredus.http.problems import Problem

Handler = Callable[[Exchange], Awaitable[None]]


class Route:
    """A path, or the beginning of paths, and what it does with each method.

    ``template`` names it in the log and the metrics; ``public``: without authentication;
    ``tickets``: a one-time ticket in the URL will do, for what cannot set header fields.
    """

    __slots__ = ("allow", "handlers", "public", "template", "tickets")

    def __init__(
        self, template: str, handlers: dict[str, Handler], *, public: bool = False, tickets: bool = False
    ) -> None:
        self.template, self.public, self.tickets = template, public, tickets
        if "GET" in handlers:  # HEAD is GET; what the response would contain is not sent (RFC 9110 §9.3.2)
            handlers = {**handlers, "HEAD": handlers["GET"]}
        self.handlers = handlers
        self.allow = ", ".join((*handlers, "OPTIONS")).encode("ascii")


class Routes:
    """Exact paths, and prefixes for those with variables in them."""

    def __init__(self, exact: Sequence[Route], prefixes: dict[bytes, Route]) -> None:
        self._exact = {route.template: route for route in exact}
        self._prefixes = tuple(prefixes.items())

    def find(self, x: Exchange) -> Route:
        """The route of a request. Raises Problem (404)."""
        path = x.scope["path"]
        route = self._exact.get(path)
        if route is not None:
            return route
        # Not of the decoded path: the handler splits the raw one, because a name may hold %2F.
        raw_path = x.scope["raw_path"]
        for prefix, route in self._prefixes:
            if raw_path.startswith(prefix):
                return route
        raise Problem(404)
