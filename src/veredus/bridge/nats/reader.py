"""What a stream holds for a subject, read in batches by a short-lived consumer of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Literal

import msgspec
from msgspec import Struct

from veredus.bridge.nats.errors import NatsError, TimedOut, Unavailable
from veredus.bridge.nats.jetstream import Stored, call
from veredus.bridge.nats.link import ANSWER_S, Link
from veredus.bridge.nats.message import decoded_headers

_SECOND = 1_000_000_000
# The server forgets the consumer when nobody has asked for so long.
_FORGOTTEN_S = 30


class Reading(Struct, frozen=True):
    """``start``: everything, or the newest of each subject. ``follow``: go on with what comes later.
    ``batch``: messages that may be on their way at once, so a bound for memory."""

    stream: str
    subject: str
    start: Literal["all", "last_per_subject"] = "all"
    follow: bool = False
    headers_only: bool = False
    batch: int = 256
    # Earlier messages are not given.
    from_sequence: int = 0


_Item = tuple[bytes, bytes, bytes | None, bytes]


async def read(link: Link, reading: Reading) -> AsyncGenerator[Stored | None, None]:
    """The messages, oldest first; None once, when all that was there at the start has been given.

    Ends there, unless ``follow``. Raises NatsLost, Unavailable or TimedOut. Close it (``aclosing``).
    """
    consumer, pending = await _create(link, reading)
    inbox, arrived = link.inbox(), asyncio.Queue[_Item]()
    number = link.listen(inbox, lambda *item: arrived.put_nowait(item))
    lost = asyncio.ensure_future(link.lost.wait())
    pull = _Pull(link, f"$JS.API.CONSUMER.MSG.NEXT.{reading.stream}.{consumer}", inbox, reading)
    started = False
    try:
        while True:
            if pending == 0 and not started:
                started = True
                yield None
                if not reading.follow:
                    return
            pull.ask()
            item = await _next(link, arrived, lost, reading)
            if pull.is_status(item):
                if pull.found_nothing:  # what was there has been deleted since
                    pending = 0
                continue
            stored, pending = _stored(item)
            yield stored
    finally:
        lost.cancel()
        link.ignore(number)
        if link.failure is None:
            with suppress(NatsError):
                link.send(f"$JS.API.CONSUMER.DELETE.{reading.stream}.{consumer}", b"")


class _Pull:
    """Asks for the next batch when the one before has come or has ended."""

    def __init__(self, link: Link, subject: str, inbox: str, reading: Reading) -> None:
        self._link = link
        self._subject = subject
        self._inbox = inbox
        self._batch = reading.batch
        self._left = 0
        self.found_nothing = False
        # Without `follow` all is there, unless it has been deleted since: then this is how long that takes.
        expires_s = ANSWER_S if reading.follow else 1.0
        self._request = msgspec.json.encode({"batch": reading.batch, "expires": int(expires_s * _SECOND)})

    def ask(self) -> None:
        if self._left <= 0:
            self._left = self._batch
            self._link.ask(self._subject, self._request, self._inbox)

    def is_status(self, item: _Item) -> bool:
        """A message of the server about the pull itself. Raises Unavailable when the consumer is gone."""
        _, reply, headers, data = item
        if reply or data or headers is None:
            self._left -= 1
            return False
        said = decoded_headers(headers)
        status, description = said.get("Status", ""), said.get("Description", "")
        if status == "503" or "deleted" in description.lower():
            raise Unavailable(f"{self._subject}: {description or 'the consumer is gone'}")
        self.found_nothing = self._left == self._batch
        self._left = 0
        return True


async def _next(
    link: Link, arrived: "asyncio.Queue[_Item]", lost: "asyncio.Future[Any]", reading: Reading
) -> _Item:
    """A pull ends with a status when it has found nothing, so silence is a fault."""
    if not arrived.empty():
        return arrived.get_nowait()
    getting = asyncio.ensure_future(arrived.get())
    try:
        both: list[asyncio.Future[Any]] = [getting, lost]
        await asyncio.wait(both, timeout=2 * ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
    finally:
        getting.cancel()
    if link.failure is not None:
        raise link.failure
    raise TimedOut(f"stream {reading.stream}: no messages in {2 * ANSWER_S:g} s")


async def _create(link: Link, reading: Reading) -> tuple[str, int]:
    """The name of the consumer, and how many messages it will give."""
    config = {
        **_where(reading),
        "ack_policy": "none",
        "replay_policy": "instant",
        "filter_subject": reading.subject,
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _FORGOTTEN_S * _SECOND,
        "headers_only": reading.headers_only,
    }
    request = {"stream_name": reading.stream, "config": config}
    answer = await call(link, f"CONSUMER.CREATE.{reading.stream}", request, f"stream {reading.stream}")
    return answer["name"], int(answer.get("num_pending", 0))


def _where(reading: Reading) -> dict[str, object]:
    if reading.from_sequence > 1:
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": reading.from_sequence}
    return {"deliver_policy": reading.start}


def _stored(item: _Item) -> tuple[Stored, int]:
    """The message, and how many more there are: both stand in the subject for its acknowledgement,
    ``$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.number.time.pending``."""
    subject, reply, headers, data = item
    tokens = reply.split(b".")
    at = 5 if len(tokens) == 9 else 7
    stored = Stored(
        subject.decode("utf-8", "replace"), int(tokens[at]), data, decoded_headers(headers) if headers else {}
    )
    return stored, int(tokens[at + 3])
