"""What the tests of blob stores share."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from veredus.blob.file import SMALL, FileBlobs
from veredus.blob.names import CHUNK
from veredus.blob.s3 import S3Blobs
from veredus.blob.s3_bucket import S3Settings
from veredus.ports import BlobStore

MAX = 64 * 1024 * 1024
# Around every border: small and large, one chunk and two, one piece of a stream and two.
SIZES = [0, 1, 10_000, SMALL - 1, SMALL, SMALL + 1, CHUNK, CHUNK + 1, 2**20 + SMALL + 1, 3_000_000]


def sample(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def stream(data: bytes, step: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        await asyncio.sleep(0)
        yield data[start : start + step]


async def chunks(store: BlobStore, id: str, start: int = 0, end: int | None = None) -> list[bytes]:
    return [chunk async for chunk in store.open(id, start, end)]


async def put_times(store: BlobStore) -> dict[str, datetime]:
    found = [entry async for entry in store.ids()]
    assert len(found) == len(dict(found))
    return dict(found)


def temporary_files(directory: Path) -> list[Path]:
    return list((directory / "tmp").iterdir()) + list(directory.rglob("*.part"))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[FileBlobs]:
    store = await FileBlobs.at(directory)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_s3(settings: S3Settings) -> AsyncIterator[S3Blobs]:
    store = await S3Blobs.at(settings)
    try:
        yield store
    finally:
        await store.close()
