"""A message in the hands of a program, until it is settled."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from nats.aio.client import Client
from nats.aio.msg import Msg

_ACK_S = 5.0
# What NATS says of the copy that it delivers is not true of another copy.
_NATS = "nats-"
MESSAGE_ID = "Nats-Msg-Id"


class Held:
    """``settles`` False: read without a durable consumer, where there is nothing to acknowledge."""

    def __init__(
        self, nc: Client, message: Msg, *, settles: bool, dead_letter: str | None, most: int
    ) -> None:
        """``dead_letter``: the subject for what failed ``most`` times."""
        self._nc, self._message, self._dead_letter, self._most = nc, message, dead_letter, most
        self._headers = MappingProxyType(dict(message.headers or {}))
        self.metadata = message.metadata
        self.is_settled = not settles

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def payload(self) -> bytes:
        return self._message.data

    @property
    def stored_at(self) -> datetime:
        return self.metadata.timestamp

    @property
    def where(self) -> str:
        """For messages to people."""
        return f"message {self.metadata.sequence.stream} of {self.metadata.stream}"

    @property
    def is_last_delivery(self) -> bool:
        """One more failure, and it is a dead letter."""
        return self._dead_letter is not None and self.metadata.num_delivered >= self._most

    @property
    def was_delivered_too_often(self) -> bool:
        """It took whoever worked on it down each time, without a word."""
        return self._dead_letter is not None and self.metadata.num_delivered > self._most

    async def ack(self, *, confirmed: bool) -> None:
        if not self.is_settled:
            self.is_settled = True
            await (self._message.ack_sync(timeout=_ACK_S) if confirmed else self._message.ack())

    async def nak(self, delay_s: float | None) -> None:
        if self.is_last_delivery:
            await self.reject(f"failed {self.metadata.num_delivered} times")
        elif not self.is_settled:
            self.is_settled = True
            await self._message.nak(delay=delay_s)

    async def in_progress(self) -> None:
        if not self.is_settled:
            await self._message.in_progress()

    async def reject(self, reason: str) -> None:
        """The dead letter is durable before the message is given up."""
        if self.is_settled:
            return
        if self._dead_letter is not None:
            headers = self._letter_headers(reason)
            stream = self._nc.jetstream()
            await stream.publish(self._dead_letter, self._message.data, headers=headers)
        self.is_settled = True
        await self._message.term()

    def _letter_headers(self, reason: str) -> dict[str, str]:
        kept = {name: value for name, value in self._headers.items() if not name.lower().startswith(_NATS)}
        about = self.metadata
        return kept | {
            MESSAGE_ID: f"{about.stream}/{about.consumer}/{about.sequence.stream}",
            "Jmap-Dead-Stream": about.stream,
            "Jmap-Dead-Consumer": about.consumer,
            "Jmap-Dead-Sequence": str(about.sequence.stream),
            "Jmap-Dead-Subject": self._message.subject,
            "Jmap-Dead-Deliveries": str(about.num_delivered),
            "Jmap-Dead-Reason": " ".join(reason.split())[:500],
        }
