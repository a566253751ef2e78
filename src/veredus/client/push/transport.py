"""What the push transports share: what they are asked for, what they hear, and how they fail."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from veredus.client import network
from veredus.client.errors import ProtocolError, TransportError, Unauthorized
from veredus.client.push.signals import States

# Octets of one message: the states of some ten thousand accounts and types.
MAX_MESSAGE = 1024 * 1024


class Timing(Struct, frozen=True):
    """In seconds. ``connect_s``: until a connection stands; ``better_s``: until a transport that failed is
    tried again while a worse one works; ``unpushed_poll_s``: between two looks while nothing pushes.

    ``ping_floor_s``: what a server may raise the interval of its pings to without saying so before the
    first (RFC 8620 §7.3). ``silence``: so many intervals without an octet, and an event stream is dead; on a
    WebSocket we ping ourselves, and half an interval without an answer is enough.
    """

    connect_s: float = 20.0
    healthy_s: float = 60.0
    first_backoff_s: float = 0.5
    longest_backoff_s: float = 60.0
    better_s: float = 900.0
    unpushed_poll_s: float = 60.0
    ping_floor_s: float = 30.0
    silence: float = 2.5


class Wanted(Struct, frozen=True):
    """``types`` None: all. ``closes_after_state``: an event stream ends with its first change."""

    types: tuple[str, ...] | None
    ping_s: float
    closes_after_state: bool
    timing: Timing


class Heard(Struct, frozen=True):
    """``changed`` None: a sign of life. ``is_event``: more than octets. ``position``: None: as before."""

    changed: States | None = None
    is_event: bool = True
    position: str | None = None


class Stream(Protocol):
    """A connection on which changes are told; ``works``: it has proved that. An open socket does not."""

    works: bool

    async def next(self) -> Heard | None:
        """None: it has ended as agreed. Raises TransportError."""
        ...


class NotOffered(TransportError):
    """The server does not speak this here: to try again soon is pointless."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """As in ``network``; and what a WebSocket's handshake can come to."""
    try:
        with network.translated(url):
            yield
    except network.NotUsable as error:
        raise NotOffered(error.host, f"not a URL that can be used: {url}", sent=False) from error
    except TransportError as error:
        if isinstance(error.__cause__, aiohttp.WSServerHandshakeError):
            cause = error.__cause__
            raise refusal(url, cause.status, cause.headers or {}, cause.message) from cause
        raise


def refusal(url: str, status: int, headers: Mapping[str, str], what: str = "") -> TransportError:
    """What an answer means that opens no stream."""
    parts = urlsplit(url)
    said = f"HTTP {status} for {parts.path}{': ' + what if what else ''}"
    if status == 401:
        return Unauthorized(
            parts.netloc, f"HTTP 401 for {parts.path}: the credentials are refused", status=401
        )
    if status in (408, 421, 425, 429) or (status >= 500 and status not in (501, 505)):
        wait_s = network.retry_after_s(headers)
        return TransportError(parts.netloc, said, status=status, retry_after_s=wait_s, sent=False)
    return NotOffered(parts.netloc, said, status=status, sent=False)


def not_understood(url: str, what: str) -> ProtocolError:
    return ProtocolError(urlsplit(url).netloc, what)
