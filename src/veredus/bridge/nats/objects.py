"""The object store of NATS (its ADR-20), octet for octet as nats.go and nats-py write it.

An object is a number of chunks, each a message of ``$O.<bucket>.C.<nuid>``, and one message about them,
``$O.<bucket>.M.<name in base64url>``. The latter is written last, and only if the name is free: of two who
store the same object at once one is first, and the other removes its chunks again.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from msgspec import Struct
from nats.nuid import NUID

from veredus.bridge.nats.errors import BucketFull, Conflict, Corrupt, Missing, NatsError, StreamFull, TimedOut
from veredus.bridge.nats.jetstream import last_message, purge
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import EXPECTED_SEQUENCE, ROLLUP, check_bucket, encoded_headers, folded
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.nats.window import Ack, Window

CHUNK = 128 * 1024
# Chunks under way at once, of all objects together.
_CHUNKS, _OCTETS = 256, 8 * 1024 * 1024
# Longer than this no object is on its way; what has no meta message then is never going to have one.
LONGEST_PUT_S = 1800.0
_DIGEST = "SHA-256="
_ATTEMPTS = 5


class About(Struct, frozen=True):
    """What is known of an object besides its octets; ``headers`` such as Content-Type."""

    headers: Mapping[str, str] = {}
    metadata: Mapping[str, str] = {}
    description: str = ""


NOTHING = About()


class ObjectOptions(Struct, frozen=True, omit_defaults=True):
    """``link``: the object is only a reference to another; we do not make those."""

    link: dict[str, str] | None = None
    max_chunk_size: int = 0


class ObjectInfo(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The meta message. ``digest``: ``SHA-256=`` and base64url; ``mtime``: RFC 3339."""

    name: str
    description: str = ""
    headers: dict[str, list[str] | str] = {}
    metadata: dict[str, str] = {}
    options: ObjectOptions | None = None
    bucket: str
    nuid: str
    size: int
    mtime: str = ""
    chunks: int
    digest: str = ""
    deleted: bool = False


class Put(Struct, frozen=True):
    """``stored`` False: an object of that name was there, and ``info`` is about that one."""

    info: ObjectInfo
    stored: bool


_decode = msgspec.json.Decoder(ObjectInfo).decode


class ObjectStore:
    """One bucket on one link."""

    def __init__(self, link: Link, bucket: str) -> None:
        """Raises BadName."""
        check_bucket(bucket)
        self.link = link
        self.bucket = bucket
        self.stream = f"OBJ_{bucket}"
        self._chunk_size = min(CHUNK, link.max_payload)
        self._window = Window(link, messages=_CHUNKS, octets=_OCTETS)
        self._nuid = NUID()

    async def put(
        self, name: str, data: bytes | AsyncIterable[bytes], about: About = NOTHING, replace: bool = False
    ) -> Put:
        """Store an object, if there is none of that name or ``replace``. On any failure nothing stays.

        Raises BucketFull, TimedOut after half an hour, what ``data`` raises, NatsError otherwise.
        """
        nuid = self._nuid.next().decode()
        sent: list[asyncio.Future[Ack]] = []
        metas: list[asyncio.Future[Ack]] = []
        deadline = asyncio.timeout(LONGEST_PUT_S)
        try:
            async with deadline:
                octets, digest = await self._send_chunks(self.chunks_of(nuid), data, sent)
                info = ObjectInfo(
                    name=name,
                    description=folded(about.description),
                    headers={header: [folded(value)] for header, value in about.headers.items()},
                    metadata=dict(about.metadata),
                    options=ObjectOptions(max_chunk_size=self._chunk_size),
                    bucket=self.bucket,
                    nuid=nuid,
                    size=octets,
                    mtime=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                    chunks=len(sent),
                    digest=_DIGEST + base64.urlsafe_b64encode(digest).decode(),
                )
                there = await self._put_meta(info, replace, metas)
        except BaseException as error:
            await self._remove_chunks(nuid, sent, metas)
            if isinstance(error, StreamFull):
                raise BucketFull(f"object store {self.bucket} is full: {error}") from None
            if deadline.expired():
                raise TimedOut(
                    f"object store {self.bucket}: {name!r} took over {LONGEST_PUT_S:g} s"
                ) from None
            raise
        if there is None:
            return Put(info, True)
        await self._remove_chunks(nuid, sent)
        return Put(there, False)

    async def _send_chunks(
        self, subject: str, data: bytes | AsyncIterable[bytes], sent: list["asyncio.Future[Ack]"]
    ) -> tuple[int, bytes]:
        """Size and digest, once all is acknowledged; ``sent`` gets a future for each chunk."""
        octets, digest, checked = 0, sha256(), 0
        async with aclosing(_chunks(data, self._chunk_size)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
                octets += len(chunk)
                sent.append(await self._window.send(subject, chunk))
                while checked < len(sent) and sent[checked].done():
                    sent[checked].result()
                    checked += 1
        for future in sent[checked:]:
            await asyncio.shield(future)
        return octets, digest.digest()

    async def _put_meta(
        self, info: ObjectInfo, replace: bool, metas: list["asyncio.Future[Ack]"]
    ) -> ObjectInfo | None:
        """None when it is written, else what was there before; what is marked as deleted is nothing.

        ``metas`` gets a future for each that is sent.
        """
        body = msgspec.json.encode(info)
        expected = 0
        before: ObjectInfo | None = None
        for _ in range(_ATTEMPTS):
            headers = encoded_headers({ROLLUP: "sub", EXPECTED_SEQUENCE: str(expected)})
            try:
                metas.append(await self._window.send(self.meta_of(info.name), body, headers))
                await asyncio.shield(metas[-1])
            except Conflict:
                found = await last_message(self.link, self.stream, self.meta_of(info.name))
                before = self._read(found.data) if found is not None else None
                if before is not None and not before.deleted and not replace:
                    return before
                expected = found.sequence if found is not None else 0
            else:
                if before is not None:
                    await purge(self.link, self.stream, self.chunks_of(before.nuid))
                return None
        raise Conflict(f"object store {self.bucket}: others write {info.name!r} all the time")

    async def _remove_chunks(
        self, nuid: str, sent: list["asyncio.Future[Ack]"], metas: Sequence["asyncio.Future[Ack]"] = ()
    ) -> None:
        """Also those that are still under way: a purge could overtake them.

        Who was stopped while the meta message was under way has stored the object all the same: they stay.
        """
        if not sent:
            return
        with suppress(NatsError):
            await asyncio.wait([*sent, *metas])
            if any(meta.exception() is None for meta in metas):
                return
            await purge(self.link, self.stream, self.chunks_of(nuid))

    async def info(self, name: str) -> ObjectInfo | None:
        """None: there is none, or it has been deleted."""
        found = await last_message(self.link, self.stream, self.meta_of(name))
        info = self._read(found.data) if found is not None else None
        return None if info is None or info.deleted else info

    async def get(self, name: str) -> bytes:
        """All of an object. Raises Missing and Corrupt."""
        return b"".join([chunk async for chunk in self.chunks(name)])

    async def chunks(self, name: str) -> AsyncGenerator[bytes, None]:
        """The octets as they come; only when the last has come it is known that they are right.

        Raises Missing, also when the object is replaced or evicted meanwhile, and Corrupt.
        """
        info = await self.info(name)
        if info is None or (info.options is not None and info.options.link is not None):
            raise Missing(f"object store {self.bucket} has no {name!r}")
        digest, count = sha256(), 0
        async with aclosing(self._stored_chunks(info)) as stored:
            async for chunk in stored:
                digest.update(chunk)
                count += 1
                yield chunk
        if count < info.chunks and await self.info(name) != info:
            raise Missing(f"object store {self.bucket}: {name!r} was removed while it was read")
        if _DIGEST + base64.urlsafe_b64encode(digest.digest()).decode() != info.digest:
            raise Corrupt(f"object store {self.bucket}: {name!r} does not fit its digest")

    async def _stored_chunks(self, info: ObjectInfo) -> AsyncGenerator[bytes, None]:
        subject = self.chunks_of(info.nuid)
        if info.chunks == 1:  # most are, and this takes no consumer
            found = await last_message(self.link, self.stream, subject)
            if found is not None:
                yield found.data
        elif info.chunks:
            reading = Reading(self.stream, subject, batch=_OCTETS // CHUNK)
            async with aclosing(read(self.link, reading)) as messages:
                async for message in messages:
                    if message is not None:
                        yield message.data

    async def delete(self, name: str) -> bool:
        """Whether there was one. What is left says that it has been deleted, as nats.go does it."""
        info = await self.info(name)
        if info is None:
            return False
        gone = msgspec.structs.replace(info, size=0, chunks=0, digest="", deleted=True)
        headers = encoded_headers({ROLLUP: "sub"})
        await (await self._window.send(self.meta_of(name), msgspec.json.encode(gone), headers))
        await purge(self.link, self.stream, self.chunks_of(info.nuid))
        return True

    def chunks_of(self, nuid: str) -> str:
        return f"$O.{self.bucket}.C.{nuid}"

    def meta_of(self, name: str) -> str:
        return f"$O.{self.bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    def _read(self, data: bytes) -> ObjectInfo:
        return read_info(data, self.bucket)


def read_info(data: bytes, bucket: str) -> ObjectInfo:
    """A meta message. Raises Corrupt."""
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise Corrupt(f"object store {bucket}: a meta message cannot be read: {error}") from None


async def _chunks(data: bytes | AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """``data`` in pieces of ``size``, the last one shorter."""
    if isinstance(data, bytes):
        for at in range(0, len(data), size):
            yield data[at : at + size]
        return
    rest = bytearray()
    async for piece in data:
        rest += piece
        while len(rest) >= size:
            yield bytes(rest[:size])
            del rest[:size]
    if rest:
        yield bytes(rest)
