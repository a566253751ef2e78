"""What the push transports share: what they are asked for, what they hear, and how they fail."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from veredus.client.errors import ProtocolError, TransportError, Unauthorized
from veredus.client.push.signals import States

# Octets of one message: the states of some ten thousand accounts and types.
MAX_MESSAGE = 1024 * 1024
_LONGEST_RETRY_AFTER_S = 3600.0


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
    """The library's exceptions become ours."""
    host = urlsplit(url).netloc
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        raise refusal(url, error.status, error.headers or {}, error.message) from error
    except TimeoutError as error:
        raise TransportError(host, "no answer in time") from error
    except aiohttp.ClientConnectorError as error:
        raise TransportError(host, f"cannot connect: {_reason(error)}", sent=False) from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
        raise TransportError(host, "the connection was cut") from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise NotOffered(host, f"not a URL that can be used: {url}", sent=False) from error
    except (aiohttp.ClientError, OSError) as error:
        raise TransportError(host, f"{type(error).__name__}: {error}") from error


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Without the address, which asyncio says instead of what the number means."""
    if type(error) is aiohttp.ClientConnectorError and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.os_error.strerror or str(error.os_error)


def refusal(url: str, status: int, headers: Mapping[str, str], what: str = "") -> TransportError:
    """What an answer means that opens no stream."""
    parts = urlsplit(url)
    said = f"HTTP {status} for {parts.path}{': ' + what if what else ''}"
    if status == 401:
        return Unauthorized(
            parts.netloc, f"HTTP 401 for {parts.path}: the credentials are refused", status=401
        )
    if status in (408, 421, 425, 429) or (status >= 500 and status not in (501, 505)):
        wait_s = retry_after_s(headers)
        return TransportError(parts.netloc, said, status=status, retry_after_s=wait_s, sent=False)
    return NotOffered(parts.netloc, said, status=status, sent=False)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110 §10.2.3); a date counts from the server's own Date, our clock may be another."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and len(value) < 10:
        return min(float(value), _LONGEST_RETRY_AFTER_S)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return min(max(wait.total_seconds(), 0.0), _LONGEST_RETRY_AFTER_S)


def not_understood(url: str, what: str) -> ProtocolError:
    return ProtocolError(urlsplit(url).netloc, what)
