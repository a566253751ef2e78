"""Octets up and down as streams (RFC 8620 §6)."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec

from veredus.client.errors import LimitError, ProtocolError
from veredus.client.http import Body, Connection, read
from veredus.client.network import not_json, translated
from veredus.client.results import Uploaded
from veredus.client.session import Session
from veredus.client.templates import download_url, upload_url
from veredus.wire.types import Id

_CHUNK = 256 * 1024
OCTETS = "application/octet-stream"
Data: TypeAlias = bytes | bytearray | memoryview | Path | AsyncIterator[bytes]
NO_DATA = "what is uploaded is bytes, a Path, or an iterator of bytes"


class Download:
    """A blob on its way. ``size``: in octets, None where the server does not say; ``type``: as it says."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response, self._url = response, url
        # Of what is compressed on its way the length says nothing of the blob's.
        self.size = None if "Content-Encoding" in response.headers else response.content_length
        self.type = response.headers.get("Content-Type", OCTETS)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._response.content.iter_chunked(_CHUNK))
        while True:
            with translated(self._url):  # not around the yield: what the caller raises is the caller's
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk

    async def read(self) -> bytes:
        """All of it, in memory."""
        return await read(self._response, self._url)


@asynccontextmanager
async def download(
    connection: Connection, session: Session, account: Id, blob_id: Id, *, name: str, type: str
) -> AsyncIterator[Download]:
    """A blob (§6.2); ``name`` and ``type`` are what the answer is to say of it. Raises TransportError."""
    url = download_url(
        session.download_url, session.url, account_id=account, blob_id=blob_id, name=name, type=type
    )
    async with connection.follow(url) as response:
        yield Download(response, url)


async def upload(connection: Connection, session: Session, account: Id, data: Data, type: str) -> Uploaded:
    """Store ``data`` (§6.1). Raises LimitError, TransportError, RequestError, OSError."""
    url = upload_url(session.upload_url, session.url, account_id=account)
    size, body = await _body(data)
    limit = session.limits.max_size_upload
    if size is not None and size > limit:
        raise LimitError(session.host, "maxSizeUpload", limit, size)
    headers = {"Content-Type": type} | ({} if size is None else {"Content-Length": str(size)})
    async with (
        connection.upload_slots(session.limits.max_concurrent_upload),
        connection.open("POST", url, body, headers) as response,
    ):
        answer = await read(response, url)
    try:
        return msgspec.json.decode(answer, type=Uploaded)
    except msgspec.MsgspecError as error:
        what = f"an upload is answered with {not_json(answer, error)}, not as RFC 8620 §6.1 says"
        raise ProtocolError(urlsplit(url).netloc, what) from None


async def _body(data: Data) -> tuple[int | None, Body]:
    """Size, if it is known, and what sends it."""
    if isinstance(data, bytes | bytearray | memoryview):
        return len(octets := bytes(data)), octets
    if isinstance(data, Path):
        size = (await asyncio.to_thread(data.stat)).st_size
        return size, _chunks(data, size)
    if not isinstance(data, AsyncIterator):
        raise ValueError(f"{NO_DATA}, not {data.__class__.__name__}")
    return None, data


def _chunks(path: Path, size: int) -> Callable[[], AsyncIterator[bytes]]:
    async def read() -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(path.open, "rb")
        try:
            left = size
            while chunk := await asyncio.to_thread(file.read, min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk
            if left:
                raise OSError(errno.EIO, "the file became shorter while it was sent", str(path))
        finally:
            file.close()

    return read
