"""What aiohttp says, in our words: exceptions of the network, and how long a server asks to wait."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from veredus.client.errors import ProtocolError, TransportError

_LONGEST_RETRY_AFTER_S = 3600.0


class NotUsable(TransportError):
    """A URL that no request can be sent to."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """aiohttp's exceptions become TransportErrors; ``sent`` is false where nothing can have arrived."""
    host = urlsplit(url).netloc or url
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise TransportError(host, f"cannot connect: {_reason(error)}", sent=False) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise TransportError(host, "cannot connect: no answer in time", sent=False) from error
    except TimeoutError as error:
        raise TransportError(host, "no answer in time") from error
    except aiohttp.ClientPayloadError as error:
        raise ProtocolError(host, "the answer was cut") from error
    except aiohttp.ServerDisconnectedError as error:
        raise TransportError(host, "the connection was cut") from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise NotUsable(host, f"not a URL that can be used: {url}", sent=False) from error
    except (aiohttp.ClientError, OSError) as error:
        raise TransportError(host, f"{type(error).__name__}: {error}") from error


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Without the address, which asyncio says instead of what the number means."""
    if type(error) is aiohttp.ClientConnectorError and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.os_error.strerror or str(error.os_error)


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
