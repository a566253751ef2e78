"""The parts of an Email go into the object store, before the message that names them is published."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

import structlog
from msgspec.structs import replace

from veredus.bridge.nats.errors import BucketFull
from veredus.bridge.nats.eviction import evict_oldest
from veredus.bridge.nats.objects import About, ObjectInfo, ObjectStore
from veredus.bridge.settings import PartsSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import TrackStatus
from veredus.bridge.tasks import all_of
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.parts import Outcome, PartPlan
from veredus.client.blobs import OCTETS
from veredus.wire.types import Id, JsonObject, is_id

log = structlog.get_logger("veredus.bridge")
Octets: TypeAlias = bytes | AsyncIterator[bytes]
RAW = "_raw.eml"
# An object that is older is written anew: it must not be gone long before the message that names it again.
_OLD = timedelta(days=1)
# Room that is made beyond what one part needs, so that not every part has to.
_SPARE = 1024 * 1024
_EVICTIONS = 3


class WrongSize(ValueError):
    """A download was not as long as its part: a proxy's page of error, perhaps, or half of the blob."""


class _Measured:
    """Counts what is downloaded. Not what the server said is a failure; at the ``last`` attempt only an error
    in the payload, since a server may count otherwise than it sends, and lose nothing by it."""

    def __init__(self, size: int, *, last: bool) -> None:
        self._size, self._last = size, last
        self.error = ""

    async def through(self, octets: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Raises WrongSize at the end."""
        seen = 0
        async for chunk in octets:
            seen += len(chunk)
            yield chunk
        if seen != self._size:
            wrong = f"download: {seen} octets where {self._size} were announced"
            if not self._last:
                raise WrongSize(wrong)
            self.error = wrong


class PartStore:
    """Stores parts, ``concurrency`` of the source at a time."""

    def __init__(
        self,
        source: AccountSource,
        objects: ObjectStore,
        settings: PartsSettings,
        generation: Generation,
        status: TrackStatus,
        *,
        strict: bool,
    ) -> None:
        """``strict``: nothing is stored that jmap2nats would not store."""
        self._source, self._objects, self._settings, self._strict = source, objects, settings, strict
        self._generation, self._status = generation, status
        self._slots = asyncio.Semaphore(source.concurrency)
        self._evicting, self._evictions = asyncio.Lock(), 0

    async def store(self, email: JsonObject, *, last: bool) -> dict[Id, Outcome]:
        """What became of each blob. Raises BucketFull, and what reading a blob raises.

        ``last``: it is not tried again, so what comes is kept even if its size is not what the server said.
        """
        plans = self._generation.parts_of(email, self._settings)
        work = [self._one(email["id"], plan, last=last) for plan in plans]
        raw = [self._raw(email)] if self._settings.raw else []
        evictions = self._evictions
        outcomes = await all_of([*work, *raw])
        if self._evictions != evictions:
            outcomes = await all_of(self._still_there(outcome) for outcome in outcomes)
        return {plan.blob_id: outcome for plan, outcome in zip(plans, outcomes, strict=False)}

    async def _one(self, email: Id, plan: PartPlan, *, last: bool) -> Outcome:
        if plan.outcome is not None and not (plan.action == "fail" and self._keeps(plan)):
            return plan.outcome
        key = self._generation.object_key(self._source.account, email, plan.blob_id)
        facts = {"Content-Type": plan.type, "Jmap-Charset": plan.charset, "Jmap-Filename": plan.name}
        about = About({name: value for name, value in facts.items() if value})
        async with self._slots:
            if plan.action == "text":
                return await self._put(key, lambda: plan.text, len(plan.text), about)
            measured = _Measured(plan.size, last=last)
            outcome = await self._put(key, lambda: measured.through(self._octets(plan)), plan.size, about)
        return replace(outcome, error=plan.error or measured.error or outcome.error)

    def _keeps(self, plan: PartPlan) -> bool:
        """Generation 1 has no object for a text that the server could not decode, and says so in ``error``.
        It still does, but the octets as they are lie beside it, unless all is to be as jmap2nats has it."""
        return not self._strict and is_id(plan.blob_id)

    def _octets(self, plan: PartPlan) -> AsyncIterator[bytes]:
        return self._source.blob(plan.blob_id, OCTETS, plan.name or "blob")

    async def _raw(self, email: JsonObject) -> Outcome:
        key = f"{self._generation.msg_id(self._source.account, email['id'])}/{RAW}"
        about = About({"Content-Type": "message/rfc822"})
        async with self._slots:
            octets = partial(self._source.blob, email["blobId"], "message/rfc822", "message.eml")
            return await self._put(key, octets, email.get("size") or 0, about)

    async def _put(self, key: str, octets: Callable[[], Octets], size: int, about: About) -> Outcome:
        """Store; make room in a full bucket if that is the policy. Raises BucketFull if it is ``park``."""
        for _ in range(_EVICTIONS):
            try:
                put = await self._objects.put(key, octets(), about)
                if not put.stored and _is_old(put.info):
                    put = await self._objects.put(key, octets(), about, replace=True)
            except BucketFull as error:
                outcome = await self._on_full(error, size)
                if outcome is not None:
                    return outcome
            else:
                self._status.counts["parts_stored" if put.stored else "parts_known"] += 1
                self._status.counts["part_octets"] += put.info.size if put.stored else 0
                return Outcome(object_key=key)
        raise BucketFull(
            f"object store {self._objects.bucket}: no room for {size} octets, whatever is evicted"
        )

    async def _still_there(self, outcome: Outcome) -> Outcome:
        """The parts of one Email may be more than the bucket takes."""
        if not outcome.object_key or await self._objects.info(outcome.object_key) is not None:
            return outcome
        return Outcome.failed("put", f"no room in object store {self._objects.bucket} beside the other parts")

    async def _on_full(self, error: BucketFull, size: int) -> Outcome | None:
        """What the payload says of it; None: there is room now."""
        self._status.counts["bucket_full"] += 1
        match self._settings.on_full:
            case "error":
                return Outcome.failed("put", str(error))
            case "skip":
                return Outcome(skipped=True)
            case "park":
                raise error
        # Of a small bucket the room beyond the part must not be more than there is.
        wanted = min(size + _SPARE, max(size, self._settings.max_bytes // 2))
        async with self._evicting:
            self._evictions += 1
            evicted = await evict_oldest(self._objects, wanted)
        self._status.counts["parts_evicted"] += evicted.objects
        log.warning(
            "parts_evicted", bucket=self._objects.bucket, objects=evicted.objects, octets=evicted.octets
        )
        return None


def _is_old(info: ObjectInfo) -> bool:
    try:
        return datetime.now(UTC) - datetime.fromisoformat(info.mtime) > _OLD
    except (ValueError, TypeError):  # none, or without a zone: not written by us
        return False
