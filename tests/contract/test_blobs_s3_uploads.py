"""Uploads to S3 that are long, fail, or lose their caller."""

import asyncio
import gc
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from contract.blob_samples import MAX, opened_s3, put_times, sample, stream
from servers.s3 import S3Server, s3, s3_server
from veredus.blob.names import id_of
from veredus.blob.s3 import S3Blobs
from veredus.blob.s3_bucket import PART
from veredus.ports import Unavailable

# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]


@pytest.fixture
async def store(s3: S3Server) -> AsyncIterator[S3Blobs]:
    store = await S3Blobs.at(s3.settings())
    yield store
    await store.close()


async def test_an_upload_that_fails_half_way_leaves_no_parts(s3: S3Server, store: S3Blobs) -> None:
    with s3.refusing("400 Bad Request", lambda _, path: "partNumber=2" in path):
        for body in (sample(12_000_000), stream(sample(12_000_000))):
            with pytest.raises(Unavailable, match=r"s3://mail/a/prefix at http.*400 Bad Request"):
                await store.put(body, max_size=MAX)
    assert s3.bucket().multiparts == {}
    assert await put_times(store) == {}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_upload_leaves_no_parts(s3: S3Server, store: S3Blobs, streamed: bool) -> None:
    data = sample(12_000_000)
    with s3.gate(lambda _, path: "partNumber=2" in path) as gate:
        task = asyncio.create_task(store.put(stream(data) if streamed else data, max_size=MAX))
        await gate.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.opened.set()
        await store.close()
    assert s3.bucket().multiparts == {}
    async with opened_s3(s3.settings()) as again:
        assert await again.get(id_of(data)) == data


async def test_nobody_hears_of_an_upload_that_fails_behind_its_caller(s3: S3Server, store: S3Blobs) -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    with (
        s3.refusing("400 Bad Request", lambda _, path: "partNumber=2" in path),
        s3.gate(lambda _, path: "partNumber=1" in path) as gate,
    ):
        task = asyncio.create_task(store.put(stream(sample(12_000_000)), max_size=MAX))
        await gate.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.opened.set()
        while store._uploads:
            await asyncio.sleep(0.01)
    gc.collect()
    assert heard == []
    assert await put_times(store) == {}


async def test_a_cancelled_put_waits_for_the_thread_that_spools(
    store: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would write into a file that is closed, or make one that nobody closes."""
    begun, go_on = threading.Event(), threading.Event()
    files: list[IO[bytes]] = []
    make = tempfile.TemporaryFile

    def slow(**how: int) -> IO[bytes]:
        begun.set()
        go_on.wait(10)
        files.append(make(**how))
        return files[0]

    monkeypatch.setattr(tempfile, "TemporaryFile", slow)
    task = asyncio.create_task(store.put(stream(sample(PART + 1)), max_size=MAX))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [file.closed for file in files] == [True]


async def test_a_spool_that_cannot_be_written_is_unavailable(
    store: S3Blobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Unavailable, match="gone: No such file"):
        await store.put(stream(sample(PART + 1)), max_size=MAX)
    assert await put_times(store) == {}


# A process that puts and reads 80 MiB and prints how much its memory grew, in kB.
LARGE = """
import asyncio, json, resource, sys
from veredus.blob.s3 import S3Blobs
from veredus.blob.s3_bucket import S3Settings

async def long(size):
    for _ in range(size // 65_536):
        yield bytes(65_536)

async def work(store, size):
    blob = await store.put(long(size), max_size=size)
    assert sum([len(chunk) async for chunk in store.open(blob.id)]) == size
    await store.delete([blob.id])

async def main():
    store = await S3Blobs.at(S3Settings(**json.loads(sys.argv[1])))
    await work(store, 16 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await work(store, 80 * 2**20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await store.close()

asyncio.run(main())
"""


async def test_a_long_stream_takes_a_few_parts_of_memory(s3: S3Server) -> None:
    settings = msgspec.json.encode(s3.settings()).decode()
    command = [sys.executable, "-c", LARGE, settings]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40_000
