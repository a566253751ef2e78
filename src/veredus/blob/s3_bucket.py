"""The few requests that blobs need of S3, through obstore; its exceptions end here."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from msgspec import Struct
from obstore.exceptions import BaseError
from obstore.store import S3Store

from veredus.blob.s3_errors import code_of, reason
from veredus.ports import Unavailable

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import S3Config

# The smallest that S3 takes as a part of a multipart upload; up to this an object is one request.
PART = 5 * 1024 * 1024
# Parts of one object that are on the way, and in memory, at once.
_PARTS_AT_ONCE = 2
# Beyond every object; S3 takes no larger number than 2^63 - 1 in a range.
_END = 2**60

_CONNECT = timedelta(seconds=5)
# Without an octet from the server; a part must be sent in that time, too.
_STALLED = timedelta(seconds=30)
# A whole transfer: slow clients may take their time with a download.
_TRANSFER = timedelta(hours=2)
# A request that fails again and again is over in half a minute, so that whoever waits is told.
_RETRIES = 4
_RETRY_TIME = timedelta(seconds=20)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=3)


class S3Settings(Struct, frozen=True):
    """Where the objects are. ``url``: ``s3://bucket/prefix``; without ``access_key`` the environment's
    credentials (``AWS_ACCESS_KEY_ID`` and others) or those of the machine's role."""

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None


class Entry(Struct, frozen=True):
    """An object; ``modified`` is the server's time, in whole seconds on most servers."""

    key: str
    size: int
    modified: datetime


class Found(Struct, frozen=True):
    """An object, or a part of it, that is about to be read."""

    result: "GetResult"
    is_whole: bool


class Bucket:
    """Keys are relative to the prefix of the URL. Every failure is Unavailable, with the bucket's name."""

    def __init__(self, settings: S3Settings) -> None:
        url = urlsplit(settings.url)
        where = settings.endpoint or f"Amazon, {settings.region}"
        self.name = f"s3://{url.netloc}{url.path.rstrip('/')} at {where}"
        with self._translated():
            self._store = S3Store(
                url.netloc,
                prefix=url.path.strip("/") or None,
                config=_config(settings),
                client_options={
                    "allow_http": (settings.endpoint or "").startswith("http:"),
                    "connect_timeout": _CONNECT,
                    "read_timeout": _STALLED,
                    "timeout": _TRANSFER,
                },
                retry_config={
                    "max_retries": _RETRIES,
                    "retry_timeout": _RETRY_TIME,
                    "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE, "base": 2},
                },
            )

    async def put(self, key: str, body: bytes) -> None:
        """One request up to PART, else several."""
        with self._translated():
            await obstore.put_async(self._store, key, body, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE)

    async def put_file(self, key: str, file: IO[bytes]) -> None:
        """A multipart upload. When it fails it is aborted; when it is cancelled, parts of it stay."""
        with self._translated():
            await obstore.put_async(
                self._store, key, file, use_multipart=True, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE
            )

    async def head(self, key: str) -> Entry | None:
        try:
            with self._translated(may_lack=True):
                meta = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return None
        return Entry(key, meta["size"], meta["last_modified"])

    async def get(self, key: str, start: int, end: int | None) -> Found | None:
        """What is in ``[start, end)``, which must not be empty. None: no such object.

        Raises EOFError when the object ends before ``start``.
        """
        options: GetOptions | None = None
        if start > 0 or end is not None:
            options = {"range": (min(start, _END), min(_END + 1 if end is None else end, _END + 1))}
        try:
            with self._translated(may_lack=True):
                result = await obstore.get_async(self._store, key, options=options)
        except FileNotFoundError:
            return None
        return Found(result, tuple(result.range) == (0, result.meta["size"]))

    async def read(self, found: Found) -> bytes:
        with self._translated():
            return bytes(await found.result.bytes_async())

    async def stream(self, found: Found, size: int) -> AsyncIterator[bytes]:
        """In chunks of at most ``size``."""
        pieces = found.result.stream(min_chunk_size=size)
        while True:
            with self._translated():
                piece = bytes(await anext(pieces, b""))
            if not piece:
                return
            for offset in range(0, len(piece), size):
                yield piece[offset : offset + size]

    async def copy(self, source: Entry, target: str) -> bool:
        """Inside the bucket; False: there is no ``source``. True only when ``target`` was seen afterwards,
        because S3 may say "200 OK" and put an error into the body."""
        try:
            with self._translated(may_lack=True):
                await obstore.copy_async(self._store, source.key, target)
        except FileNotFoundError:
            return False
        copied = await self.head(target)
        if copied is None or copied.size != source.size:
            raise Unavailable(f"{self.name}: {source.key} could not be copied to {target}")
        return True

    async def delete(self, keys: Collection[str]) -> None:
        """Those that are not there are ignored."""
        if keys:
            with self._translated():
                await obstore.delete_async(self._store, list(keys))

    async def pages(self, folder: str) -> AsyncIterator[list[Entry]]:
        """What is below ``folder``, in the order of keys, as many at a time as one request gives."""
        pages = aiter(obstore.list(self._store, f"{folder}/", chunk_size=1000))
        while True:
            with self._translated():
                page = await anext(pages, None)
            if page is None:
                return
            yield [Entry(meta["path"], meta["size"], meta["last_modified"]) for meta in page]

    @contextmanager
    def _translated(self, *, may_lack: bool = False) -> Iterator[None]:
        """``may_lack``: FileNotFoundError passes when an object is missing, and not the bucket."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            text = str(error)
            code = code_of(text)
            if may_lack and isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
                raise
            if code == "InvalidRange":
                raise EOFError from None
            raise Unavailable(f"{self.name}: {reason(text)}") from None


def _config(settings: S3Settings) -> "S3Config":
    """What is not set must not be there: then obstore looks into the environment."""
    config: S3Config = {"region": settings.region}
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.access_key is not None and settings.secret_key is not None:
        config["access_key_id"] = settings.access_key
        config["secret_access_key"] = settings.secret_key
    elif settings.access_key is not None or settings.secret_key is not None:
        raise Unavailable("blobs.access_key and blobs.secret_key: one is set, and the other is not")
    return config
