"""Delivery of push messages to the URLs of PushSubscriptions (RFC 8620 §7.2, RFC 8030 §5)."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from veredus import __version__
from veredus.formats.webpush import VapidKey, encrypt
from veredus.ports import Clock
from veredus.push.web.connector import guarded
from veredus.push.web.outcome import Bounds, Kind, Outcome, Target, Urgency
from veredus.push.web.target import Blocked, Guard
from veredus.push.web.vapid import Tokens

__all__ = ["Bounds", "Kind", "Outcome", "PushSender", "Target", "Urgency"]

# RFC 8030 §5.4
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MAX_REDIRECTS = 3
# Those that keep the method and the body (RFC 9110 §15.4).
_REDIRECTS: Final = (307, 308)
# So much of a response is read, and so long: it says nothing, but its end frees the connection.
_MAX_RESPONSE = 1024
_RESPONSE_TIMEOUT_S = 1
_MAX_RETRY_AFTER_S = 24 * 3600


class PushSender:
    """One per process; to be made in the event loop that uses it. ``close`` it."""

    def __init__(
        self,
        guard: Guard,
        subject: str,
        clock: Clock,
        *,
        ca_file: Path | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """``subject``: whom push services may turn to, a mailto: or https: URI (RFC 8292 §2.1).

        ``ca_file``: certification authorities to trust besides the system's (PEM). Raises OSError:
        it cannot be read, or is none.
        """
        self._guard, self._clock = guard, clock
        self._tokens = Tokens(subject, clock)
        self._counts: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
        self._bounds = bounds = bounds or Bounds()
        tls = ssl.create_default_context()
        if ca_file is not None:
            tls.load_verify_locations(ca_file)

        def session(plain: bool) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=guarded(
                    guard,
                    plain=plain,
                    tls=tls,
                    limit=bounds.connections,
                    limit_per_host=bounds.connections_per_host,
                ),
                # All of a delivery, redirects included, has one deadline: see `send`.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"Veredus/{__version__}", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )

        self._sessions = {"https": session(plain=False)}
        if guard.allows_plain:
            self._sessions["http"] = session(plain=True)

    async def send(
        self, target: Target, body: bytes, *, ttl: int, urgency: Urgency, topic: str | None = None
    ) -> Outcome:
        """Deliver ``body``, a JSON object. ``ttl``: seconds (RFC 8030 §5.2). ``topic``: at most 32 characters
        of base64url; a newer message replaces one of the same topic that still waits (§5.4).

        Raises ValueError: a topic of another form, a negative TTL, a body too large to be encrypted.
        """
        if ttl < 0:
            raise ValueError("TTL must not be negative")
        headers = {"TTL": str(ttl), "Urgency": urgency}
        if topic is not None:
            if not _TOPIC.fullmatch(topic):
                raise ValueError("Topic must have 1 to 32 characters of base64url")
            headers["Topic"] = topic
        if target.keys is None:
            headers["Content-Type"] = "application/json"
        else:
            body = encrypt(body, target.keys.p256dh, target.keys.auth)
            headers |= {"Content-Type": "application/octet-stream", "Content-Encoding": "aes128gcm"}
        outcome = await self._deliver(target, body, headers)
        self._counts[outcome.kind] += 1
        return outcome

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Outcomes since the start, for metrics."""
        return self._counts

    async def close(self) -> None:
        """Deliveries under way end in an Outcome to be tried again."""
        for session in self._sessions.values():
            await session.close()

    # ------------------------------------------------------------ one delivery

    async def _deliver(self, target: Target, body: bytes, headers: dict[str, str]) -> Outcome:
        host = "the push service"
        try:
            url = self._guard.check_url(target.url)
            host = url.raw_host or host
            async with asyncio.timeout(self._bounds.total_timeout_s):
                return await self._follow(url, target.vapid, body, headers)
        except Blocked as error:
            return Outcome("refused", None, None, str(error))
        except TimeoutError:
            return Outcome("retry", None, None, f"{host} took too long")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome("retry", None, None, _explained(error, host))

    async def _follow(self, url: URL, key: VapidKey, body: bytes, headers: dict[str, str]) -> Outcome:
        """POST, and again where the response redirects to. Each URL is checked like the first."""
        redirects = 0
        while True:
            response = await self._post(url, body, {**headers, "Authorization": self._token(url, key)})
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return self._judge(response, url)
            redirects += 1
            if redirects > _MAX_REDIRECTS:
                return Outcome("refused", response.status, None, f"more than {_MAX_REDIRECTS} redirects")
            following = self._guard.check_url(_joined(url, location))
            if following.scheme != "https" and url.scheme == "https":
                raise Blocked(f"{url.raw_host} redirects from https: to http:")
            url = following

    def _token(self, url: URL, key: VapidKey) -> str:
        return self._tokens.get(str(url.origin()), key)

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """A push service may close a kept connection just when it is used; the next one decides."""
        try:
            return await self._post_once(url, body, headers)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await self._post_once(url, body, headers)

    async def _post_once(self, url: URL, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """The response, its connection free again."""
        session = self._sessions[url.scheme]
        if session.closed:
            raise aiohttp.ClientConnectionError
        response = await session.post(url, data=body, headers=headers, allow_redirects=False)
        try:
            await _discard(response)
        finally:
            response.release()
        return response

    def _judge(self, response: aiohttp.ClientResponse, url: URL) -> Outcome:
        """What a status means (RFC 8030 §5, §7.3; RFC 8620 §7.2)."""
        status = response.status
        kind: Kind = "refused"
        if 200 <= status < 300:
            kind = "delivered"
        elif status in (404, 410):
            kind = "gone"
        elif status == 429:
            kind = "slow_down"
        elif status >= 500 or status == 408:
            kind = "retry"
        after = None if kind == "delivered" else self._retry_after(response.headers.get("Retry-After"))
        return Outcome(kind, status, after, f"{url.raw_host} answered {status}")

    def _retry_after(self, value: str | None) -> int | None:
        """Retry-After (RFC 9110 §10.2.3) in seconds; None: not there, or neither a number nor a date."""
        if value is None:
            return None
        try:
            seconds = int(value) if value.isascii() and value.isdigit() else self._seconds_until(value)
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(seconds, 0), _MAX_RETRY_AFTER_S)

    def _seconds_until(self, date: str) -> int:
        moment = parsedate_to_datetime(date)
        return round((moment - self._clock.now()).total_seconds())


def _joined(url: URL, location: str) -> str:
    try:
        return urljoin(str(url), location)
    except ValueError:
        raise Blocked("the URL is malformed") from None


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Read the little that is expected; of a longer or slower body, give up the connection instead."""
    left = _MAX_RESPONSE
    try:
        async with asyncio.timeout(_RESPONSE_TIMEOUT_S):
            while not response.content.at_eof():
                left -= len(await response.content.read(left))
                if left <= 0:
                    response.close()
                    return
    except (TimeoutError, aiohttp.ClientError):
        # The status has come and stands.
        response.close()


def _explained(error: Exception, host: str) -> str:
    """For people. The text of aiohttp's exceptions may hold the whole URL, so it is not used."""
    if isinstance(error, aiohttp.ClientConnectorError):
        host = error.host  # a redirect may have led there
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {host} is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no TLS connection to {host}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {host}: {error.os_error.strerror or 'refused'}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{host} does not speak HTTP"
    return f"the connection to {host} broke"
