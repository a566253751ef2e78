"""Upload and download of blobs (RFC 8620 §6)."""

from contextlib import aclosing
from urllib.parse import unquote

import msgspec

from veredus.engine.limits import InFlight
from veredus.http import fields
from veredus.http.api import Api, Download
from veredus.http.exchange import Exchange
from veredus.http.problems import Headers, Problem
from veredus.http.routes import Route
from veredus.http.settings import HttpSettings
from veredus.ports import TooLarge
from veredus.wire.errors import RequestError
from veredus.wire.types import is_id

_UPLOAD = b"/jmap/upload/"
_DOWNLOAD = b"/jmap/download/"
# What a blobId means never changes (§6.2 recommends exactly this).
_FOR_EVER = (b"cache-control", b"private, immutable, max-age=31536000")
# Blobs come from strangers: whatever type is asked for, a browser must not run them as a page of this origin.
_UNTRUSTED = (
    (b"accept-ranges", b"bytes"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)


class Blobs:
    """The two endpoints."""

    def __init__(self, api: Api, settings: HttpSettings) -> None:
        self._api = api
        self._max_size = settings.max_size_upload
        self._uploads = InFlight("maxConcurrentUpload", settings.max_concurrent_upload)

    def routes(self) -> dict[bytes, Route]:
        """The routes by prefix."""
        return {
            _UPLOAD: Route("/jmap/upload/{accountId}/", {"POST": self._upload}),
            _DOWNLOAD: Route("/jmap/download/{accountId}/{blobId}/{name}", {"GET": self._download}),
        }

    async def _upload(self, x: Exchange) -> None:
        """§6.1."""
        account, _, rest = _variables(x, _UPLOAD).partition("/")
        account = unquote(account)
        if rest or not is_id(account):
            raise Problem(404, "There is no such account.")
        content_type = x.headers.get(b"content-type", fields.OCTETS.encode()).decode("latin-1")
        # A type that is none is replaced, not refused: the octets are what the client cares for.
        type = fields.media_type(content_type) or fields.OCTETS
        try:
            x.check_declared_size(self._max_size)
            with self._uploads.one(x.identity.user):
                async with aclosing(x.chunks(self._max_size)) as chunks:
                    answer = await self._api.upload(x.identity, account, type, chunks)
        except TooLarge:
            detail = f"An upload may have {self._max_size} octets."
            raise RequestError.over_limit("maxSizeUpload", detail, status=413) from None
        await x.respond(201, [(b"content-type", b"application/json")], msgspec.json.encode(answer))

    async def _download(self, x: Exchange) -> None:
        """§6.2, with conditional and range requests (RFC 9110 §13, §14)."""
        account, _, rest = _variables(x, _DOWNLOAD).partition("/")
        blob_id, _, name = rest.partition("/")
        account, blob_id = unquote(account), unquote(blob_id)
        found = None
        if is_id(account) and is_id(blob_id):
            found = await self._api.download(x.identity, account, blob_id)
        if found is None:
            raise Problem(404, "There is no such account or blob.")
        etag = b'"%s"' % blob_id.encode("ascii")
        headers: Headers = [(b"etag", etag), _FOR_EVER]
        if fields.matches_etag(x.headers.get(b"if-none-match", b""), etag):
            await x.respond(304, headers)
            return
        status, start, end = 200, 0, found.size
        partial = _wanted_range(x, found.size, etag)
        if partial is not None:
            status, (start, end) = 206, partial
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, found.size)))
        headers += (
            (b"content-type", fields.asked_type(x.scope["query_string"]).encode("ascii")),
            (b"content-disposition", fields.disposition(name)),
            *_UNTRUSTED,
        )
        await _send(x, found, (start, end), status, headers)


async def _send(x: Exchange, found: Download, octets: tuple[int, int], status: int, headers: Headers) -> None:
    """Send these octets of a blob."""
    start, end = octets
    if found.data is not None:
        await x.respond(status, headers, found.data[start:end])
        return
    headers.append((b"content-length", b"%d" % (end - start)))
    await x.stream(status, headers, found.open(start, end))


def _wanted_range(x: Exchange, size: int, etag: bytes) -> tuple[int, int] | None:
    """The one range to send, or None for everything. Raises Problem (416)."""
    field = x.headers.get(b"range")
    # RFC 9110 §14.2: only GET has ranges; §13.1.5: only if the client's copy is of this representation.
    if field is None or x.method != "GET" or x.headers.get(b"if-range", etag) != etag:
        return None
    try:
        return fields.byte_range(field, size)
    except ValueError:
        raise Problem(416, None, [(b"content-range", b"bytes */%d" % size)]) from None


def _variables(x: Exchange, prefix: bytes) -> str:
    """What follows the prefix, not yet decoded: a name may hold %2F, and need not be UTF-8."""
    raw: bytes = x.scope["raw_path"]
    return raw[len(prefix) :].decode("ascii")
