"""Octets up and down as streams (RFC 8620 §6)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec

from veredus.client.errors import LimitError, ProtocolError
from veredus.client.http import Body, Connection, read
from veredus.client.network import translated
from veredus.client.results import Uploaded
from veredus.client.session import Session
from veredus.client.templates import download_url, upload_url
from veredus.wire.types import Id

_CHUNK = 256 * 1024
OCTETS = "application/octet-stream"
Data: TypeAlias = bytes | Path | AsyncIterator[bytes]


class Download:
    """A blob on its way. ``size``: in octets, None where the server does not say; ``type``: as it says."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response, self._url = response, url
        self.size = response.content_length
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
    async with connection.open("GET", url) as response:
        yield Download(response, url)


async def upload(connection: Connection, session: Session, account: Id, data: Data, type: str) -> Uploaded:
    """Store ``data`` (§6.1). Raises LimitError, TransportError, RequestError, OSError."""
    url = upload_url(session.upload_url, session.url, account_id=account)
    size, body = await _body(data)
    limit = session.limits.max_size_upload
    if size is not None and size > limit:
        raise LimitError(session.host, "maxSizeUpload", limit, size)
    headers = {"Content-Type": type} | ({} if size is None else {"Content-Length": str(size)})
    async with connection.open("POST", url, body, headers) as response:
        answer = await read(response, url)
    try:
        return msgspec.json.decode(answer, type=Uploaded)
    except msgspec.MsgspecError as error:
        raise ProtocolError(
            urlsplit(url).netloc, f"the answer to an upload is not what it must be: {error}"
        ) from None


async def _body(data: Data) -> tuple[int | None, Body]:
    """Size, if it is known, and what sends it."""
    if isinstance(data, bytes):
        return len(data), data
    if isinstance(data, Path):
        size = (await asyncio.to_thread(data.stat)).st_size
        return size, _chunks(data)
    return None, data


def _chunks(path: Path) -> Callable[[], AsyncIterator[bytes]]:
    async def read() -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
        finally:
            file.close()

    return read
