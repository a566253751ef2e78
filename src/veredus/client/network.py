"""What aiohttp says, in our words: exceptions of the network, and how long a server asks to wait."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from veredus.client.errors import ProtocolError, TransportError

_LONGEST_RETRY_AFTER_S = 3600.0


class NotUsable(TransportError):
    """A URL that no request can be sent to."""


class NoTLS(TransportError):
    """No connection that could be trusted; another attempt would not find one."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """aiohttp's exceptions become TransportErrors; ``sent`` is false where nothing can have arrived."""
    host = urlsplit(url).netloc or url
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise _no_connection(host, error) from error
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
        failure = _failure(host, error)
        raise failure from (None if failure is error.__cause__ else error)


def _failure(host: str, error: Exception) -> Exception:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.filename is not None:
        return cause  # of the file that is sent, not of the network
    match error:
        case aiohttp.ClientHttpProxyError():
            what = f"the proxy does not connect: HTTP {error.status} {error.message}"
            return TransportError(host, what, sent=False)
        case aiohttp.ClientResponseError():
            return TransportError(host, "what answers there does not speak HTTP")
    return TransportError(host, f"{type(error).__name__}: {error}")


def _no_connection(host: str, error: aiohttp.ClientConnectorError) -> TransportError:
    match error:
        case aiohttp.ClientSSLError():
            return NoTLS(host, f"cannot connect: {_tls_reason(error)}", sent=False)
        case aiohttp.ClientProxyConnectionError():
            return TransportError(host, f"cannot connect to the proxy: {_reason(error)}", sent=False)
    return TransportError(host, f"cannot connect: {_reason(error)}", sent=False)


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Without the address, which asyncio says instead of what the number means."""
    has_number = type(error) in (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
    if has_number and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.os_error.strerror or str(error.os_error)


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = getattr(error, "certificate_error", None) or error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return f"its certificate is not trusted: {why} (tls_ca, or --ca, names others to trust)"
    if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS on this port: try http://, or another port"
    return str(cause)


def not_json(body: bytes, error: Exception) -> str:
    """What came instead of an object of JMAP's, in words for who mistyped an address."""
    start = body.lstrip()[:1]
    if not start:
        return "an empty answer"
    return "a page of HTML" if start == b"<" else f"something else ({error})"


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
