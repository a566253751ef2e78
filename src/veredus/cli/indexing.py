"""Indexing the words of records that have come without (`db copy`), or of all anew."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from veredus.cli.transfer.progress import Progress, progress

if TYPE_CHECKING:
    from veredus.config import Config
    from veredus.engine.registry import Registry
    from veredus.ports import BlobStore
    from veredus.ports.moving import Moving
    from veredus.schema import DataType
    from veredus.wire.types import BlobId, Id, JsonObject

# Octets of blobs, and records, that are worked on at a time.
_OCTETS = 8 * 1024 * 1024
_RECORDS = 100
_ATTEMPTS = 5
# Fewer records are not worth the second that other processes take to start.
_IN_PROCESSES = 2000

Texts = Mapping[str, str]
TextInBlob = Callable[["JsonObject", bytes], Texts]


class Missing(Struct, frozen=True):
    """How many records of a type have no full text."""

    account: str
    type: str
    records: int


def types_with_texts(registry: "Registry") -> list["DataType"]:
    """The data types that have full text."""
    return [type for type in registry.types.values() if type.text_fields]


async def missing(store: "Moving", registry: "Registry") -> list[Missing]:
    """Reads the index of every record."""
    found = []
    for account in await store.accounts():
        for type in types_with_texts(registry):
            count = 0
            async with aclosing(store.unindexed(account, type.name)) as pages:
                async for page in pages:
                    count += len(page)
            if count:
                found.append(Missing(account, type.name, count))
    return found


async def rebuild(
    store: "Moving", blobs: "BlobStore", registry: "Registry", *, everything: bool = False
) -> tuple[int, float]:
    """Index what is missing, or everything. How many records, and in how many seconds."""
    began = time.monotonic()
    if everything:
        todo = await _all(store, registry)
    else:
        todo = await missing(store, registry)
    total = sum(one.records for one in todo)
    types = {type.name: type for type in types_with_texts(registry)}
    with progress(total, is_octets=False) as shown, _workers(total) as pool:
        for one in todo:
            if not (types[one.type].text_of or types[one.type].text_in_blob):
                shown.failure(one.type, "its plug-in says neither text_of nor text_in_blob: not indexed")
                continue
            work = _Indexing(store, blobs, types[one.type], one.account, pool, shown)
            await work.run(_pages(store, one, everything))
    return total, time.monotonic() - began


async def rebuild_with(
    config: "Config", store: "Moving", registry: "Registry", *, everything: bool = False
) -> tuple[int, float]:
    """The same with the blobs of these settings."""
    from veredus.app import open_blobs

    blobs = await open_blobs(config)
    try:
        return await rebuild(store, blobs, registry, everything=everything)
    finally:
        await blobs.close()


async def _all(store: "Moving", registry: "Registry") -> list[Missing]:
    found = []
    for account in await store.accounts():
        async with store.read(account) as snapshot:
            found += [
                Missing(account, type.name, count)
                for type in types_with_texts(registry)
                if (count := await snapshot.count(type.name))
            ]
    return found


async def _pages(store: "Moving", one: Missing, everything: bool) -> AsyncIterator[list["Id"]]:
    """Ids, newest first: people look for those."""
    if not everything:
        async with aclosing(store.unindexed(one.account, one.type)) as pages:
            async for page in pages:
                for start in range(0, len(page), _RECORDS):
                    yield page[start : start + _RECORDS]
        return
    async with store.read(one.account) as snapshot:
        ids = (await snapshot.select(one.type))[::-1]
    for start in range(0, len(ids), _RECORDS):
        yield ids[start : start + _RECORDS]


def _workers(total: int) -> Executor:
    """Who parses. All that is needed of them is pickled, so that they need no store."""
    import multiprocessing

    from veredus.cli.running import collect_less

    cores = os.cpu_count() or 1
    if total < _IN_PROCESSES or cores == 1:
        return ThreadPoolExecutor(1)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max(1, cores - 1), context, initializer=collect_less)


class _Indexing:
    """The full text of one type of one account."""

    def __init__(
        self,
        store: "Moving",
        blobs: "BlobStore",
        type: "DataType",
        account: "Id",
        pool: Executor,
        shown: Progress,
    ) -> None:
        self._store, self._blobs, self._type, self._account = store, blobs, type, account
        self._pool, self._shown = pool, shown
        self._done = 0

    async def run(self, pages: AsyncIterator[list["Id"]]) -> None:
        """Several at a time: while one page is stored, others are parsed, or stored by other connections."""
        at_once = (os.cpu_count() or 1) + 1
        under_way: set[asyncio.Task[None]] = set()
        try:
            async for page in pages:
                if len(under_way) == at_once:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                under_way.add(asyncio.create_task(self._page(page)))
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _page(self, page: list["Id"]) -> None:
        if self._type.text_in_blob is None:
            await self._derive(page)
            return
        # A record that changes meanwhile keeps its blob, so its text is right in any case.
        await self._store.index(self._account, self._type.name, await self._parsed(page))
        self._advance(len(page))

    def _advance(self, count: int) -> None:
        self._done += count
        self._shown.advance(count, {"indexed": self._done})

    async def _parsed(self, page: list["Id"]) -> dict["Id", Texts]:
        """Portions of a bounded size go to those who parse."""
        name, derive = self._type.text_blob, self._type.text_in_blob
        assert name is not None
        assert derive is not None
        async with self._store.read(self._account) as snapshot:
            records = await snapshot.get(self._type.name, page)
        loop = asyncio.get_running_loop()
        found: dict[Id, Texts] = {}
        portion: list[tuple[JsonObject, bytes]] = []
        octets = 0
        for number, record in enumerate(records, 1):
            data = await self._data(record, name)
            portion.append((record, data))
            octets += len(data)
            if octets >= _OCTETS or number == len(records):
                found |= await loop.run_in_executor(self._pool, derive_all, derive, portion)
                portion, octets = [], 0
        return found

    async def _data(self, record: "JsonObject", name: str) -> bytes:
        blob: BlobId | None = record.get(name)
        data = None if blob is None else await self._blobs.get(blob)
        if data is None and blob is not None:
            self._shown.failure(
                f"{self._type.name} {record['id']}", f"blob {blob} is missing: indexed without it"
            )
        return data or b""

    async def _derive(self, page: list["Id"]) -> None:
        """From the records alone; if one changed meanwhile, once more."""
        assert self._type.text_of is not None
        for _ in range(_ATTEMPTS):
            async with self._store.read(self._account) as snapshot:
                state = await snapshot.state(self._type.name)
                records = await snapshot.get(self._type.name, page)
            texts = {record["id"]: self._type.text_of(record) for record in records}
            if await self._store.index(self._account, self._type.name, texts, state):
                break
        self._advance(len(page))


def derive_all(derive: TextInBlob, portion: list[tuple["JsonObject", bytes]]) -> dict["Id", Texts]:
    """By id; where the work is done."""
    return {record["id"]: derive(record, data) for record, data in portion}
