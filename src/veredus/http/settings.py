"""What the HTTP edge is told when it is built."""

from msgspec import Struct


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Limits of the core capability that HTTP enforces (RFC 8620 §2), and where the server is reached."""

    max_size_request: int
    max_size_upload: int
    max_concurrent_requests: int
    max_concurrent_upload: int
    # Of one user in one process, EventSource and WebSocket together.
    max_streams: int = 20_000
    # Of all session URLs, without a trailing slash. None: what each request's Host field says.
    public_url: str | None = None
    # Networks of the reverse proxies whose X-Forwarded-* fields are believed.
    trusted_proxies: tuple[str, ...] = ()
    # Origins as browsers send them; "*" is every origin; empty: no CORS at all.
    cors_origins: tuple[str, ...] = ()
    # Whether /metrics is served beside the API.
    metrics: bool = True


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a connection may make no progress, in seconds."""

    # From the opening of a connection, or the first octet of a request, to the end of its header section.
    header_s: float = 15
    # Without one octet of a body that is being read.
    body_s: float = 30
    # Without the client taking one octet of a response.
    write_s: float = 60
    # Between two requests. Longer than the 60 s for which nginx keeps its connections, so that it is nginx
    # that closes them, and never while it sends the next request.
    keep_alive_s: float = 75
    # For the requests in flight when the server is closed.
    shutdown_s: float = 10
    # When another process serves on the same sockets: for the next request of an idle connection, which is
    # answered and told that the connection ends; and for the requests in flight.
    linger_s: float = 5
    retire_s: float = 60
