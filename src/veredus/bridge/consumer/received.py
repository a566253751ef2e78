"""What mails and events have in common: where they are from, and how they are settled."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from veredus.bridge.consumer.errors import NotOurs, PartError
from veredus.bridge.consumer.held import Held
from veredus.bridge.consumer.objects import Objects


class Received:
    """``json``: the payload, the whole of it also where it was too large for a message."""

    def __init__(self, held: Held, objects: Objects, json: dict[str, Any]) -> None:
        """Use ``MailStream`` and ``EventStream``."""
        self._held, self._objects, self.json = held, objects, json
        # Why `json` is not whole, if it is not: its object is gone.
        self.incomplete: PartError | None = None

    async def complete(self) -> None:
        """Fetch the whole payload, where the message has only a part of it."""
        key = self.json.get("objectKey")
        if self.json.get("truncated") is not True or not isinstance(key, str):
            return
        try:
            self.json = decoded(self._held, await self._objects.read(key))
        except PartError as error:
            self.incomplete = error

    @property
    def headers(self) -> Mapping[str, str]:
        """``Jmap-*`` and ``ce-*``, as text."""
        return self._held.headers

    @property
    def subject_name(self) -> str:
        """The subject of NATS that it was published to."""
        return self._held.subject

    @property
    def sequence(self) -> int:
        """Its number in the stream."""
        return self._held.metadata.sequence.stream

    @property
    def stored_at(self) -> datetime:
        return self._held.stored_at

    @property
    def deliveries(self) -> int:
        """How often this consumer was given it; 1: the first time."""
        return self._held.metadata.num_delivered

    @property
    def message_key(self) -> str:
        """The Nats-Msg-Id: the same whenever the same thing is published again, so made for an upsert."""
        return self.headers.get("Nats-Msg-Id", "")

    async def ack(self, *, confirmed: bool = False) -> None:
        """Done with it. ``confirmed``: wait until the server has it in writing."""
        await self._held.ack(confirmed=confirmed)

    async def nak(self, delay_s: float | None = None) -> None:
        """It failed: deliver it again, not before ``delay_s``. The last time it becomes a dead letter."""
        await self._held.nak(delay_s)

    async def reject(self, reason: str) -> None:
        """No further attempt: into the dead letters, if there is a subject for them, and off the consumer."""
        await self._held.reject(reason)

    async def in_progress(self) -> None:
        """Still at it. The stream says so by itself for as long as it runs and the object is referred to."""
        await self._held.in_progress()


def decoded(held: Held, payload: bytes) -> dict[str, Any]:
    """Raises NotOurs."""
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.DecodeError:
        raise NotOurs(f"{held.where} is no JSON object, so no bridge wrote it") from None


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def moment(value: Any) -> datetime | None:
    """A date of RFC 3339, aware; None: there is none, or it cannot be read."""
    try:
        found = datetime.fromisoformat(text(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
