"""Dead letters: parked in a stream of their own, listed, and removed when somebody has dealt with them."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from veredus.bridge.nats.jetstream import Stored, delete_message, next_message
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.settings import DlqSettings
from veredus.bridge.wire.dead_letter import DeadLetter, dead_letter
from veredus.wire.types import Id

log = structlog.get_logger("veredus.bridge")


class Parking(Protocol):
    """Where a track leaves what failed again and again."""

    async def park(self, letter: DeadLetter) -> None:
        """Durable when it returns. Raises NatsError."""
        ...


class Parked(Struct, frozen=True, rename="camel", kw_only=True):
    """A letter as the stream has it. ``sequence`` names it; the rest is the body of ``dead-letter/1``."""

    sequence: int = 0
    account: Id = ""
    type: str = ""
    op: str = ""
    id: str = ""
    pipeline: str = "emails"
    error_type: str = ""
    error: str = ""
    attempts: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    old_state: str | None = None
    new_state: str | None = None
    server: str = ""


class DeadLetters:
    """Parks on one link, each letter by itself: it must not wait for events, nor fail with them."""

    def __init__(self, link: Link, settings: DlqSettings) -> None:
        self._link, self._settings = link, settings

    async def park(self, letter: DeadLetter) -> None:
        """Durable when it returns. Raises NatsError."""
        message = dead_letter(self._settings.subject_prefix, letter)
        await Publisher(self._link).publish(
            Message(message.subject, message.payload, message.headers, message.msg_id)
        )
        log.error(
            "parked",
            account=letter.account_id,
            pipeline=letter.pipeline,
            type=letter.type,
            id=letter.id[:255],
            error=letter.error_type,
            attempts=letter.attempts,
        )

    async def all(self, account: Id | None = None) -> AsyncIterator[Parked]:
        """Oldest first; of one account, or of every one. Raises NatsError; Missing: there is no stream."""
        subject = f"{self._settings.subject_prefix}.{account + '.' if account else ''}>"
        async with aclosing(read(self._link, Reading(self._settings.name, subject))) as messages:
            async for message in messages:
                if message is not None:
                    yield _parked(message)

    async def get(self, sequence: int) -> Parked | None:
        """One letter; None: it is not there (any more). Raises NatsError."""
        subject = f"{self._settings.subject_prefix}.>"
        message = await next_message(self._link, self._settings.name, subject, sequence)
        return None if message is None or message.sequence != sequence else _parked(message)

    async def drop(self, sequence: int) -> bool:
        """Whether it was there. Raises NatsError."""
        return await delete_message(self._link, self._settings.name, sequence)


def _parked(message: Stored) -> Parked:
    """Of a letter that is none, what its headers say: it must be possible to drop it."""
    try:
        letter = msgspec.json.decode(message.data, type=Parked)
    except msgspec.MsgspecError:
        headers = message.headers
        letter = Parked(
            account=headers.get("Jmap-Account-Id", ""),
            type=headers.get("Jmap-Type", ""),
            id=headers.get("Jmap-Id", ""),
            error=f"{message.subject}: this is no dead letter",
        )
    return msgspec.structs.replace(letter, sequence=message.sequence)
