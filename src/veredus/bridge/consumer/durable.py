"""A durable consumer: made or found, and told that its messages are being worked on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from msgspec import Struct
from nats import errors as nats_errors
from nats.aio.msg import Msg

from veredus.bridge.consumer.api import NO_CONSUMER, Api
from veredus.bridge.consumer.errors import ApiError, ConsumerError, ConsumerMismatch, NoSuchStream
from veredus.bridge.consumer.held import Held
from veredus.bridge.consumer.pull import Pull, filters

_SECOND = 1_000_000_000
_GIVE_BACK_S = 5.0
_OURS = "veredus: "


class Durable(Struct, frozen=True, kw_only=True):
    """``wanted``: the subjects; ``subjects``: those of them that the server can tell apart, or none.

    ``prefetch``: messages that this process holds at once. ``in_order``: one after the other, so that what
    is delivered again comes before what is behind it."""

    stream: str
    name: str
    subjects: tuple[str, ...]
    wanted: tuple[str, ...]
    start: Mapping[str, object]
    ack_wait_s: float
    prefetch: int
    in_order: bool
    max_deliver: int
    dead_letter: str | None


async def deliver(api: Api, durable: Durable, wanted: Callable[[Msg], bool]) -> AsyncGenerator[Held, None]:
    """The messages, until it is closed; then what nobody has looked at is given back.

    Raises ConsumerMismatch, NoSuchStream, ConsumerGone, Disconnected.
    """
    config = await _open(api, durable)
    await _check_dead_letter(api, durable.dead_letter)
    at_work: WeakSet[Held] = WeakSet()
    batch = 1 if durable.in_order else durable.prefetch
    async with Pull(api, durable.stream, durable.name, batch=batch) as pull:
        interval_s = config.get("ack_wait", 30 * _SECOND) / _SECOND / 3
        beating = asyncio.create_task(_beat(pull, at_work, interval_s))
        try:
            while (message := await pull.next()) is not None:
                held = Held(
                    api.nc,
                    message,
                    settles=True,
                    dead_letter=durable.dead_letter,
                    most=durable.max_deliver,
                )
                if not wanted(message):
                    await held.ack(confirmed=False)
                elif held.was_delivered_too_often:
                    await held.reject(f"delivered {held.metadata.num_delivered} times, and never settled")
                else:
                    at_work.add(held)
                    yield held
                    del held
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            await _give_back(api, durable, pull)


async def _beat(pull: Pull, at_work: "WeakSet[Held]", interval_s: float) -> None:
    """Nothing is delivered again while it waits here or is worked on; whoever drops it lets it go."""
    while True:
        await asyncio.sleep(interval_s)
        with suppress(nats_errors.Error):
            for message in pull.waiting:
                await message.in_progress()
            for held in list(at_work):
                await held.in_progress()


async def _give_back(api: Api, durable: Durable, pull: Pull) -> None:
    """Another reader, or the next run, gets it at once; no more may come first, or it would come back."""
    await pull.close()
    if not (pull.waiting and api.nc.is_connected):
        return
    with suppress(nats_errors.Error, ConsumerError, TimeoutError):
        async with asyncio.timeout(_GIVE_BACK_S):
            # NATS 2.9 gives the first message to the request that nobody waits for any more, unless it was
            # made to look at its requests again.
            await api.call(f"CONSUMER.INFO.{durable.stream}.{durable.name}")
            for message in pull.waiting:
                await message.nak()


async def _open(api: Api, durable: Durable) -> dict[str, Any]:
    """The consumer's configuration. One that is there stays as it is: an administrator may have made it."""
    verb = f"{durable.stream}.{durable.name}"
    try:
        info = await api.call(f"CONSUMER.INFO.{verb}")
    except ApiError as error:
        if error.code != NO_CONSUMER:
            raise
        request = {"stream_name": durable.stream, "config": _config(durable)}
        info = await api.call(f"CONSUMER.DURABLE.CREATE.{verb}", request)
    config: dict[str, Any] = info["config"]
    _check(durable, config)
    return config


def _config(durable: Durable) -> dict[str, Any]:
    return {
        **durable.start,
        **filters(durable.subjects),
        "durable_name": durable.name,
        "description": _description(durable),
        "ack_policy": "explicit",
        "ack_wait": int(durable.ack_wait_s * _SECOND),
        "replay_policy": "instant",
        # The server would only stop delivering; we count, and write the dead letter.
        "max_deliver": -1,
        **({"max_ack_pending": 1} if durable.in_order else {}),
    }


def _check(durable: Durable, config: dict[str, Any]) -> None:
    """Raises ConsumerMismatch."""
    said = f"stream {durable.stream}: the consumer {durable.name!r}"
    if config.get("deliver_subject"):
        raise ConsumerMismatch(f"{said} pushes; this needs one that is pulled: choose another name")
    if config.get("ack_policy") != "explicit":
        raise ConsumerMismatch(f"{said} has ack_policy {config.get('ack_policy')}; explicit is needed")
    if durable.in_order and config.get("max_ack_pending") != 1:
        raise ConsumerMismatch(
            f"{said} has max_ack_pending {config.get('max_ack_pending')}; in_order needs 1"
        )
    one = config.get("filter_subject")
    there = [one] if one else sorted(config.get("filter_subjects") or ())
    by_us = config.get("description", "").startswith(_OURS) and not there
    has = config["description"].removeprefix(_OURS) if by_us else _listed(there)
    if has != _listed(durable.wanted if by_us else durable.subjects):
        wanted = _listed(durable.wanted)
        raise ConsumerMismatch(
            f"{said} is for {has}, and {wanted} are wanted: delete it, or choose another name"
        )


def _description(durable: Durable) -> str:
    """Where an old server cannot filter we do it, and must know later what for: what is not wanted is
    acknowledged, and does not come again."""
    return f"{_OURS}{_listed(durable.wanted)}"


def _listed(subjects: Iterable[str]) -> str:
    return ", ".join(sorted(subjects)) or "all subjects"


async def _check_dead_letter(api: Api, subject: str | None) -> None:
    """Raises NoSuchStream: a dead letter that no stream takes would be lost."""
    if subject is not None and not (await api.call("STREAM.NAMES", {"subject": subject})).get("streams"):
        raise NoSuchStream(f"no stream takes {subject!r}, the subject for dead letters: create one")
