"""The messages of one pull consumer, asked for a few at a time; and streams read without one to keep."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Struct
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from veredus.bridge.consumer.api import NO_CONSUMER, Api
from veredus.bridge.consumer.errors import ApiError, ConsumerError, ConsumerGone, Disconnected

_SECOND = 1_000_000_000
# The server says every so often that it is still there; when it does not, the request is made again.
_HEARTBEAT_S = 5
_EXPIRES_S = 30
_LOOK_S, _LOOKS = 1.0, 13
_PAUSE_S = 1.0
_HEARTBEAT, _NO_RESPONDERS = "100", "503"


class Pull:
    """``wait`` False: ``next`` gives None when nothing is left, instead of waiting for more."""

    def __init__(self, api: Api, stream: str, consumer: str, *, batch: int, wait: bool = True) -> None:
        self._api, self._stream, self._consumer = api, stream, consumer
        self._next = api.subject(f"CONSUMER.MSG.NEXT.{stream}.{consumer}")
        self._batch, self._wait, self._left = batch, wait, 0
        # The number of the connection that the request was made on.
        self._asked_in = 0
        self._inbox = api.nc.new_inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None
        how: dict[str, object] = {"no_wait": True}
        if wait:
            how = {"expires": _EXPIRES_S * _SECOND, "idle_heartbeat": _HEARTBEAT_S * _SECOND}
        self._request = msgspec.json.encode({"batch": batch, **how})

    async def __aenter__(self) -> "Pull":
        self._subscription = await self._api.nc.subscribe(self._inbox, cb=self._arrived.put)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Nothing comes any more; what has come stays in ``waiting``."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(nats_errors.Error):
                await subscription.unsubscribe()

    @property
    def waiting(self) -> list[Msg]:
        """What has come and has not been asked for yet."""
        # asyncio gives no public look into a queue; this one has a single reader, so it may be turned over.
        messages = [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
        for message in messages:
            self._arrived.put_nowait(message)
        return [message for message in messages if not _status(message)]

    async def next(self) -> Msg | None:
        """Raises ConsumerGone and Disconnected."""
        while True:
            if self._left <= 0 and self._arrived.empty():
                await self._ask()
            message = await self._wait_for_one()
            if message is None:
                self._left = 0
                await self._require()  # NATS 2.9 says nothing at all when the consumer is gone
                continue
            status = _status(message)
            if not status:
                self._left -= 1
                return message
            if status != _HEARTBEAT:
                self._left = 0
                if not await self._goes_on(status, message.headers or {}):
                    return None

    async def _wait_for_one(self) -> Msg | None:
        """None: the server does not know of our request any more."""
        nc = self._api.nc
        for _ in range(_LOOKS):
            try:
                async with asyncio.timeout(_LOOK_S):
                    return await self._arrived.get()
            except TimeoutError:
                if nc.is_closed or (nc.is_connected and nc.stats["reconnects"] != self._asked_in):
                    return None
        return None

    async def _ask(self) -> None:
        self._left, self._asked_in = self._batch, self._api.nc.stats["reconnects"]
        try:
            await self._api.nc.publish(self._next, self._request, self._inbox)
        except (nats_errors.ConnectionClosedError, nats_errors.ConnectionDrainingError):
            raise Disconnected("the connection to NATS is closed") from None

    async def _goes_on(self, status: str, headers: Mapping[str, str]) -> bool:
        """False: there are no more messages, and none are waited for."""
        said = headers.get("Description", "")
        if status == _NO_RESPONDERS or "deleted" in said.lower():
            await self._require()
            await asyncio.sleep(_PAUSE_S)
        elif status in ("404", "408"):
            return self._wait
        else:  # a new leader, a server that shuts down, too many requests
            await asyncio.sleep(_PAUSE_S)
        return True

    async def _require(self) -> None:
        try:
            await self._api.call(f"CONSUMER.INFO.{self._stream}.{self._consumer}")
        except ApiError as error:
            if error.code != NO_CONSUMER:
                raise
            raise ConsumerGone(f"stream {self._stream}: the consumer {self._consumer!r} is gone") from None


def _status(message: Msg) -> str:
    """What the server says about the request itself; empty: a message of the stream."""
    return "" if message.data or message.headers is None else message.headers.get("Status", "")


class Reading(Struct, frozen=True):
    """``start``: the deliver policy, as JSON; ``follow``: wait for more at the end."""

    stream: str
    subjects: tuple[str, ...]
    start: Mapping[str, object]
    follow: bool = True
    batch: int = 64


async def replay(api: Api, reading: Reading) -> AsyncGenerator[Msg, None]:
    """The messages in their order, each once, whatever happens to connection and server meanwhile.

    Close it (``aclosing``). Raises NoSuchStream and Disconnected.
    """
    last = 0
    while True:
        start = {"deliver_policy": "by_start_sequence", "opt_start_seq": last + 1} if last else reading.start
        try:
            async with aclosing(_once(api, reading, start)) as messages:
                async for message in messages:
                    last = message.metadata.sequence.stream
                    yield message
        except ConsumerGone:
            await asyncio.sleep(_PAUSE_S)
        else:
            return


async def _once(api: Api, reading: Reading, start: Mapping[str, object]) -> AsyncGenerator[Msg, None]:
    """Until the end; raises ConsumerGone also when a message was lost on the way."""
    made = await api.call(f"CONSUMER.CREATE.{reading.stream}", _ephemeral(reading, start))
    name, expected = str(made["name"]), 1
    try:
        if not (reading.follow or made.get("num_pending")):
            return
        async with Pull(api, reading.stream, name, batch=reading.batch, wait=reading.follow) as pull:
            while (message := await pull.next()) is not None:
                if message.metadata.sequence.consumer != expected:
                    raise ConsumerGone(f"stream {reading.stream}: a message was lost on the way")
                expected += 1
                yield message
                if not (reading.follow or message.metadata.num_pending):
                    return
    finally:
        with suppress(ConsumerError, nats_errors.Error):
            await api.nc.publish(api.subject(f"CONSUMER.DELETE.{reading.stream}.{name}"))


def _ephemeral(reading: Reading, start: Mapping[str, object]) -> dict[str, Any]:
    config = {
        **start,
        **filters(reading.subjects),
        "ack_policy": "none",
        "replay_policy": "instant",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 60 * _SECOND,
    }
    return {"stream_name": reading.stream, "config": config}


def filters(subjects: tuple[str, ...]) -> dict[str, Any]:
    """How a consumer says which subjects it wants; several need NATS 2.10."""
    if len(subjects) == 1:
        return {"filter_subject": subjects[0]}
    return {"filter_subjects": list(subjects)} if subjects else {}
