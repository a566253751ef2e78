"""A sign of life: to whoever listens (``jmap.hb.<instance>``), and in KV (``info.<instance>``)."""

import asyncio
from contextlib import aclosing, suppress
from datetime import UTC, datetime

import msgspec
import structlog

from veredus.bridge.nats.errors import Missing, NatsError
from veredus.bridge.nats.jetstream import call, purge, stream_info
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.link import Link
from veredus.bridge.settings import BridgeSettings, DlqSettings
from veredus.bridge.status import BridgeStatus, Mode, report
from veredus.bridge.streams import Streams, wanted
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.bridge")
INFO = "info"
# What a process that was killed has left behind is of no interest to anybody after this time.
_FORGOTTEN_S = 86_400.0
_TICK_S = 0.5


class Heartbeat:
    """Of one bridge on one link. ``verbose``: log each, too."""

    def __init__(
        self, settings: BridgeSettings, streams: Streams, status: BridgeStatus, *, verbose: bool = False
    ) -> None:
        self._settings, self._streams, self._status, self._verbose = settings, streams, status, verbose
        self._key = f"{INFO}.{status.instance}"

    async def run(self) -> None:
        """Raises NatsError."""
        await self._forget_the_dead()
        while True:
            await self.beat()
            told = self._in_short()
            for _ in range(max(1, round(self._settings.monitor.heartbeat_s / _TICK_S))):
                await asyncio.sleep(_TICK_S)
                if self._in_short() != told:  # who takes over tells it soon, and so who is in trouble
                    break

    def _in_short(self) -> tuple[Mode, bool]:
        return self._status.mode, bool(self._status.problems(self._settings.monitor.max_lag_s))

    async def beat(self) -> None:
        """One sign of life."""
        await self._look()
        body = msgspec.json.encode(report(self._status, self._settings.monitor.max_lag_s))
        self._streams.link.send(f"{self._settings.monitor.heartbeat_prefix}.{self._status.instance}", body)
        await self._streams.state.put(self._key, body)
        if self._verbose:
            log.info("heartbeat", bridge=self._status.name, lag_s=round(self._status.lag_s, 3))

    async def end(self) -> None:
        """Nobody shall wait for the next one."""
        if self._streams.link.failure is None:
            with suppress(NatsError):
                await self._forget(self._key)

    async def _look(self) -> None:
        """What only NATS knows. What somebody has deleted is made again on a new link."""
        link, settings = self._streams.link, self._settings
        try:
            for resource, _ in wanted(settings):
                await stream_info(link, resource.name)
        except Missing as error:
            link.fail(f"{error}: somebody has deleted it")
            raise
        self._status.parked = await parked_on(link, settings.dlq)
        self._status.object_octets = (await stream_info(link, f"OBJ_{settings.parts.bucket}")).octets

    async def _forget_the_dead(self) -> None:
        now = datetime.now(UTC)
        for instance, info in (await infos(self._streams.state)).items():
            if age_s(info, now) > _FORGOTTEN_S:
                await self._forget(f"{INFO}.{instance}")

    async def _forget(self, key: str) -> None:
        """Without a marker for what was deleted, or there would be one for each process that ever was."""
        kv = self._streams.state
        await purge(kv.link, kv.stream, f"$KV.{kv.bucket}.{key}")


async def parked_on(link: Link, dlq: DlqSettings) -> dict[Id, int]:
    """The number of dead letters by account. Raises NatsError."""
    request = {"subjects_filter": f"{dlq.subject_prefix}.>"}
    answer = await call(link, f"STREAM.INFO.{dlq.name}", request, f"stream {dlq.name}")
    found: dict[Id, int] = {}
    for subject, count in (answer["state"].get("subjects") or {}).items():
        account = subject.removeprefix(f"{dlq.subject_prefix}.").partition(".")[0]
        found[account] = found.get(account, 0) + count
    return found


async def infos(kv: KeyValue) -> dict[str, JsonObject]:
    """What each process last told of itself, by instance. Raises NatsError."""
    found: dict[str, JsonObject] = {}
    async with aclosing(kv.entries(INFO)) as entries:
        async for entry in entries:
            with suppress(msgspec.DecodeError):
                found[entry.key.removeprefix(f"{INFO}.")] = msgspec.json.decode(
                    entry.value or b"", type=dict[str, object]
                )
    return found


def age_s(info: JsonObject, now: datetime) -> float:
    """How long ago ``info`` was told; endless when it does not say so."""
    try:
        return (now - datetime.fromisoformat(info["at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return float("inf")
