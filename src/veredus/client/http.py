"""HTTP as JMAP uses it (RFC 8620 §3, §6): one pool of connections, and retries where they are safe.

A request is sent again only when that cannot do anything twice: it never reached the server, the server says
that it did not act on it (429, 401), or it changes nothing.
"""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from veredus import __version__
from veredus.client.backoff import Backoff
from veredus.client.credentials import Credentials
from veredus.client.errors import (
    JMAPError,
    ProtocolError,
    RequestError,
    TransportError,
    Unauthorized,
)
from veredus.client.network import NoTLS, NotUsable, translated
from veredus.client.proxies import Proxies
from veredus.client.refusals import refusal

ATTEMPTS = 4
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
# A server that asks for more patience gets an error raised: the caller knows better how long it can wait.
_LONGEST_RETRY_AFTER_S = 60.0
# There are several attempts; whoever mistyped an address waits for all of them.
_LONGEST_CONNECT_S = 15.0
_REDIRECTS = 5
_LARGE = 2**16
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
# After these, a request that changes nothing may be sent again.
_PASSING = frozenset({408, 500, 502, 503, 504})
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
T = TypeVar("T")
# A function gives the octets anew for each attempt; an iterator only once.
Body = bytes | Callable[[], AsyncIterator[bytes]] | AsyncIterator[bytes] | None


class Connection:
    """To one server, as one user. ``timeout_s`` bounds an API call, and the silence within a transfer."""

    def __init__(
        self, credentials: Credentials | None, *, timeout_s: float = 60.0, tls_ca: Path | str | None = None
    ) -> None:
        self.credentials, self._timeout_s, self._tls_ca = credentials, timeout_s, tls_ca
        self._session: aiohttp.ClientSession | None = None
        if timeout_s <= 0:
            raise ValueError("timeout_s must be more than 0")

    async def __aenter__(self) -> "Connection":
        tls = True if self._tls_ca is None else await asyncio.to_thread(_tls, self._tls_ca)
        self._refreshing = asyncio.Lock()
        self._uploads = (0, asyncio.Semaphore(1))
        self.proxies = Proxies()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=100),
            headers={"User-Agent": f"veredus/{__version__}"},
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._timeout_s,
                sock_connect=min(self._timeout_s, _LONGEST_CONNECT_S),
                sock_read=self._timeout_s,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The pool; for the push transports, which hold a connection of their own."""
        if self._session is None:
            raise RuntimeError("the client is closed: use it inside `async with`")
        return self._session

    async def authorization(self) -> dict[str, str]:
        """The header fields that say who we are. Raises JMAPError when a secret cannot be read."""
        if self.credentials is None:
            return {}
        try:
            return {"Authorization": await self.credentials.authorization()}
        except (OSError, ValueError) as error:
            raise JMAPError(f"credentials: {error}") from error

    async def refresh_credentials(self, refused: Mapping[str, str] | None = None) -> bool:
        """After a 401: whether there are new credentials to try. Raises JMAPError.

        ``refused``: the header fields that were; of several requests with the same, only one asks for others.
        """
        if self.credentials is None:
            return False
        async with self._refreshing:
            if refused is not None and await self.authorization() != refused:
                return True
            try:
                return await self.credentials.refresh()
            except (OSError, ValueError) as error:
                raise JMAPError(f"credentials: {error}") from error

    def upload_slots(self, most: int) -> asyncio.Semaphore:
        """To be held during an upload: ``most`` at once (§2, maxConcurrentUpload)."""
        if self._uploads[0] != most:
            self._uploads = (most, asyncio.Semaphore(max(1, most)))
        return self._uploads[1]

    async def fetch(self, url: str) -> tuple[bytes, str]:
        """GET a small resource, and the URL where it was in the end: a session resource may redirect (§2.2).

        The credentials go along, to https only: the server that redirects has seen them already.
        """
        for _ in range(_REDIRECTS):
            async with self.open("GET", url, redirect=True) as response:
                if response.status not in _REDIRECTING:
                    return await read(response, url), url
                target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise TransportError(_host(url), f"redirects from https to {target}")
            url = target
        raise TransportError(_host(url), f"more than {_REDIRECTS} redirects")

    async def post(self, url: str, body: bytes, decode: Callable[[bytes], T], *, repeatable: bool) -> T:
        """POST JSON, and what ``decode`` makes of the answer; it may raise ProtocolError.

        ``repeatable``: to carry it out twice does no harm.
        """
        attempts = _Attempts(self, repeatable=repeatable)
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    fields = {**await attempts.authorization(), **_JSON}
                    response = await self._start("POST", url, body, fields, redirect=False)
                    try:
                        return decode(await read(response, url))
                    finally:
                        response.release()
            except TimeoutError:
                silent = TransportError(_host(url), f"no answer within {self._timeout_s:g} s")
                await attempts.another(silent)
            except (TransportError, RequestError) as error:
                await attempts.another(error)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        redirect: bool = False,
        repeatable: bool = True,
        anonymous: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body is still to be read, within ``network.translated``; tried again while nothing
        of it was given out. ``redirect``: one is given out, not followed. ``anonymous``: no credentials."""
        attempts = _Attempts(self, repeatable=repeatable)
        response: aiohttp.ClientResponse | None = None
        while response is None:
            try:
                who = {} if anonymous else await attempts.authorization()
                response = await self._start(method, url, body, {**who, **(headers or {})}, redirect=redirect)
            except (TransportError, RequestError) as error:
                if not (body is None or isinstance(body, bytes) or callable(body)):
                    raise
                await attempts.another(error)
        try:
            yield response
        finally:
            response.release()

    @asynccontextmanager
    async def follow(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET, where redirects lead: a server may keep its blobs elsewhere. Other origins get no credentials,
        since whoever can choose a blob's place may not be who we trust."""
        origin = URL(url, encoded=True).origin()
        for _ in range(_REDIRECTS):
            anonymous = URL(url, encoded=True).origin() != origin
            async with self.open("GET", url, redirect=True, anonymous=anonymous) as response:
                if response.status not in _REDIRECTING:
                    yield response
                    return
                target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise TransportError(_host(url), f"redirects from https to {target}")
            url = target
        raise TransportError(_host(url), f"more than {_REDIRECTS} redirects")

    async def _start(
        self, method: str, url: str, body: Body, headers: Mapping[str, str], *, redirect: bool
    ) -> aiohttp.ClientResponse:
        with translated(url):
            target = URL(url, encoded=True)
            response = await self.session.request(
                method,
                target,
                data=_payload(body),
                headers=headers,
                allow_redirects=False,
                **self.proxies.arguments(target),
            )
        if response.status < 300 or (redirect and response.status in _REDIRECTING):
            return response
        try:
            with translated(url):
                raise await refusal(response, url, has_credentials=self.credentials is not None)
        finally:
            response.release()


class _Attempts:
    """Of one request. ``repeatable``: to carry it out twice does no harm."""

    def __init__(self, connection: Connection, *, repeatable: bool) -> None:
        self._connection, self._repeatable = connection, repeatable
        self._left = ATTEMPTS
        self._backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._fields: Mapping[str, str] = {}
        self._has_refreshed = False

    async def authorization(self) -> Mapping[str, str]:
        """The header fields that say who we are, in the attempt that begins now. Raises JMAPError."""
        self._fields = await self._connection.authorization()
        return self._fields

    async def another(self, error: JMAPError) -> None:
        """Return when it is time for another attempt; otherwise raise ``error``."""
        self._left -= 1
        asked_s = error.retry_after_s if isinstance(error, TransportError) else None
        too_long = asked_s is not None and asked_s > _LONGEST_RETRY_AFTER_S
        if not self._left or too_long or not await self._may_repeat(error):
            raise error
        if not isinstance(error, Unauthorized):
            await asyncio.sleep(self._backoff.next_s(asked_s))

    async def _may_repeat(self, error: JMAPError) -> bool:
        match error:
            case Unauthorized(status=401) if not self._has_refreshed:
                self._has_refreshed = True
                return await self._connection.refresh_credentials(self._fields)
            case Unauthorized() | NotUsable() | NoTLS():
                return False
            case RequestError(limit="maxConcurrentRequests" | "maxConcurrentUpload"):
                return True
            case TransportError(status=429) | TransportError(sent=False):
                return True
            case ProtocolError():
                return self._repeatable
            case TransportError(status=status):
                return self._repeatable and (status is None or status in _PASSING)
        return False


def _payload(body: Body) -> Any:
    """What aiohttp sends; of a file object it sends a piece at a time, and lets others run in between."""
    if callable(body):
        return body()
    return io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE else body


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


async def read(response: aiohttp.ClientResponse, url: str) -> bytes:
    """The whole body. Raises TransportError."""
    with translated(url):
        return await response.read()


def _tls(ca: Path | str) -> ssl.SSLContext:
    """Raises JMAPError."""
    try:
        return ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError:
        raise JMAPError(f"{ca} holds no certificates in PEM") from None
    except OSError as error:
        raise JMAPError(f"{ca}: {error.strerror or error}") from None
