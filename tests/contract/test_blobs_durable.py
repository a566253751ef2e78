"""What a BlobStore that survives its process promises besides: crashes, backups, full disks."""

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from contract.blob_samples import MAX, SIZES, opened, opened_s3, put_times, sample, stream, temporary_files
from servers.s3 import S3Server, s3, s3_server
from veredus.blob.file import SMALL, FileBlobs
from veredus.blob.names import id_of
from veredus.ports import Blob, BlobStore, Unavailable

# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]
Open = Callable[[], AbstractAsyncContextManager[BlobStore]]


@pytest.fixture(params=["file", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def open_again(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the store of this test, each time as another process would."""
    if kind == "file":
        return partial(opened, tmp_path / "a" / "b")
    server: S3Server = request.getfixturevalue("s3")
    return partial(opened_s3, server.settings())


async def test_a_store_is_found_again(open_again: Open) -> None:
    data = [sample(size) for size in SIZES]
    async with open_again() as store:
        blobs = [await store.put(one, max_size=MAX) for one in data]
        times = await put_times(store)
    async with open_again() as store:
        assert [await store.get(blob.id) for blob in blobs] == data
        assert await put_times(store) == times


async def test_strays_of_a_crash_are_removed_but_not_those_of_a_living_process(tmp_path: Path) -> None:
    gate, data = asyncio.Event(), sample(3_000_000)

    async def halting() -> AsyncIterator[bytes]:
        yield data[:2_000_000]
        await gate.wait()
        yield data[2_000_000:]

    async with opened(tmp_path) as store:
        stray = tmp_path / "tmp" / "0123456789abcdef"
        stray.write_bytes(b"half a bl")
        task = asyncio.create_task(store.put(halting(), max_size=MAX))
        while len(temporary_files(tmp_path)) < 2:
            await asyncio.sleep(0.001)
        async with opened(tmp_path) as second:
            assert not stray.exists()
            gate.set()
            assert await second.get((await task).id) == data
    assert temporary_files(tmp_path) == []


async def test_a_long_stream_takes_little_memory(tmp_path: Path) -> None:
    async def long() -> AsyncIterator[bytes]:
        for _ in range(512):
            yield bytes(65_536)

    async with opened(tmp_path) as store:
        tracemalloc.start()
        try:
            blob = await store.put(long(), max_size=MAX)
            read = sum([len(chunk) async for chunk in store.open(blob.id)])
            assert read == blob.size == 32 * 2**20
            assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
        finally:
            tracemalloc.stop()


async def test_a_backup_is_a_store_as_of_its_beginning(open_again: Open, kind: str, tmp_path: Path) -> None:
    data = [sample(size) for size in SIZES]
    async with open_again() as store:
        blobs = [await store.put(one, max_size=MAX) for one in data]
        times = await put_times(store)
        copying = asyncio.create_task(store.backup(str(tmp_path / "copy")))
        while not copying.done():
            await store.put(os.urandom(1000), max_size=MAX)
            await asyncio.sleep(0.002)
        await copying
        await store.delete([blob.id for blob in blobs])
    async with opened(tmp_path / "copy") as copy:
        assert [await copy.get(blob.id) for blob in blobs] == data
        if kind == "file":  # what is copied over the network is as old as the copy
            assert (await put_times(copy)).items() >= times.items()


async def test_a_backup_into_the_same_place_brings_it_up_to_date(
    open_again: Open, kind: str, tmp_path: Path
) -> None:
    async with open_again() as store:
        for size in (10, 100_000):
            await store.put(sample(size), max_size=MAX)
        await store.backup(str(tmp_path / "copy"))
        for size in (11, 100_001):
            await store.put(sample(size), max_size=MAX)
        await store.backup(str(tmp_path / "copy"))
        times = await put_times(store)
    async with opened(tmp_path / "copy") as copy:
        copied = await put_times(copy)
        assert copied == times if kind == "file" else set(copied) == set(times)


async def test_a_full_disk_is_unavailable_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        kept = await store.put(sample(100), max_size=MAX)
        # No file may grow beyond this: what the system answers is what it answers on a full disk, nearly.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        try:
            for data in (sample(3_000_000), stream(sample(3_000_000))):
                with pytest.raises(Unavailable):
                    await store.put(data, max_size=MAX)
            results = await asyncio.gather(
                *(store.put(sample(60_000 + n), max_size=MAX) for n in range(100)), return_exceptions=True
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        stored = [result for result in results if isinstance(result, Blob)]
        assert all(isinstance(result, Blob | Unavailable) for result in results)
        assert len(stored) < 100
        assert set(await put_times(store)) == {kept.id, *(blob.id for blob in stored)}
        assert temporary_files(tmp_path) == []
        blob = await store.put(sample(50_000), max_size=MAX)
        assert await store.get(blob.id) == sample(50_000)


async def test_a_closed_store_is_unavailable(open_again: Open) -> None:
    async with open_again() as store:
        id = (await store.put(b"x", max_size=1)).id
    for call in (store.put(b"y", max_size=1), store.put(bytes(SMALL + 1), max_size=MAX), store.get(id)):
        with pytest.raises(Unavailable):
            await call
    await store.close()


async def test_a_directory_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        await FileBlobs.at(tmp_path / "file")
    (tmp_path / "small.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable):
        await FileBlobs.at(tmp_path)


async def test_mail_is_readable_by_nobody_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "blobs") as store:
        await store.put(sample(100_000), max_size=MAX)
    assert (tmp_path / "blobs").stat().st_mode & 0o077 == 0


# A process that stores blobs and prints the name of each when it is stored, until it is killed.
WRITER = """
import asyncio, itertools, json, os, sys

async def opened(kind, place):
    if kind == "file":
        from veredus.blob.file import FileBlobs
        return await FileBlobs.at(json.loads(place))
    from veredus.blob.s3 import S3Blobs
    from veredus.blob.s3_bucket import S3Settings
    return await S3Blobs.at(S3Settings(**json.loads(place)))

async def main():
    store = await opened(*sys.argv[1:])
    async def client(*sizes):
        for size in itertools.cycle(sizes):
            blob = await store.put(os.urandom(size), max_size=size)
            os.write(1, f"{blob.id} {blob.size}\\n".encode())
    await asyncio.gather(*(client(10_000, 65_536) for _ in range(4)), client(100_000), client(1_500_000))

asyncio.run(main())
"""


async def test_a_kill_loses_nothing_that_was_acknowledged(
    open_again: Open, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place: object = str(tmp_path / "a" / "b")
    if kind == "s3":
        place = msgspec.structs.asdict(request.getfixturevalue("s3").settings())
    acknowledged: dict[str, int] = {}
    for round in range(10 if kind == "file" else 3):
        command = [sys.executable, "-c", WRITER, kind, json.dumps(place)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout
        acknowledged.update(_entry(child.stdout.readline()))
        time.sleep(random.Random(round).random() * 0.15)
        child.kill()
        for line in child.communicate()[0].splitlines():
            acknowledged.update(_entry(line))
        async with open_again() as store:
            if kind == "file":
                assert temporary_files(tmp_path / "a" / "b") == []
            assert set(await put_times(store)) >= set(acknowledged)
    assert len(acknowledged) >= 10
    async with open_again() as store:
        for id, _ in [entry async for entry in store.ids()]:
            data = await store.get(id)
            assert data is not None
            assert id_of(data) == id
            assert acknowledged.get(id, len(data)) == len(data)


def _entry(line: str) -> dict[str, int]:
    id, size = line.split()
    return {id: int(size)}
