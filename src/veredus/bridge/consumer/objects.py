"""Objects of one bucket (ADR-20 of NATS), read piece by piece and checked against their digest."""

import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import Struct

from veredus.bridge.consumer.api import NO_MESSAGE, Api
from veredus.bridge.consumer.errors import ApiError, DigestMismatch, NoSuchStream, PartMissing
from veredus.bridge.consumer.pull import Reading, replay

_ALGORITHM = "SHA-256="
_CHUNKS = 32


class ObjectInfo(Struct, frozen=True):
    """What the bucket knows of an object."""

    name: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False
    headers: dict[str, list[str]] = {}


class Objects:
    """The bucket of parts."""

    def __init__(self, api: Api, bucket: str) -> None:
        self._api, self.bucket = api, bucket

    async def info(self, name: str) -> ObjectInfo:
        """Raises PartMissing."""
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        request = {"last_by_subj": f"$O.{self.bucket}.M.{encoded}"}
        try:
            answer = await self._api.call(f"STREAM.MSG.GET.OBJ_{self.bucket}", request)
        except NoSuchStream:
            raise PartMissing(f"there is no object store {self.bucket!r}: is `bucket` right?") from None
        except ApiError as error:
            if error.code != NO_MESSAGE:
                raise
            raise self._missing(name) from None
        info = msgspec.json.decode(base64.b64decode(answer["message"].get("data") or ""), type=ObjectInfo)
        if info.deleted:
            raise self._missing(name)
        return info

    async def chunks(self, name: str) -> AsyncGenerator[bytes, None]:
        """The octets as they come. Only at the end is it known that they are right: DigestMismatch."""
        info = await self.info(name)
        digest, size, count = hashlib.sha256(), 0, 0
        reading = Reading(
            f"OBJ_{self.bucket}",
            (f"$O.{self.bucket}.C.{info.nuid}",),
            {"deliver_policy": "all"},
            follow=False,
            batch=_CHUNKS,
        )
        if info.chunks:
            async with aclosing(replay(self._api, reading)) as messages:
                async for message in messages:
                    digest.update(message.data)
                    size += len(message.data)
                    count += 1
                    yield message.data
        if count < info.chunks:
            raise self._missing(name)
        found = _ALGORITHM + base64.urlsafe_b64encode(digest.digest()).decode()
        if size != info.size or (info.digest and found.rstrip("=") != info.digest.rstrip("=")):
            raise DigestMismatch(f"object store {self.bucket}: {name!r} is not what was put there")

    async def read(self, name: str) -> bytes:
        """All of it, checked. Raises PartMissing and DigestMismatch."""
        return b"".join([chunk async for chunk in self.chunks(name)])

    def _missing(self, name: str) -> PartMissing:
        return PartMissing(f"object store {self.bucket}: {name!r} is gone: evicted, expired or deleted")
