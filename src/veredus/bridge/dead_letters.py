"""The dead-letter stream: parked items, listed, retried and dropped."""

from veredus.bridge.nats.message import Message
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.settings import DlqSettings
from veredus.bridge.wire.dead_letter import DeadLetter, dead_letter


class DeadLetters:
    """``publisher`` is not the one of the events: a letter must not wait for them, nor fail with them."""

    def __init__(self, publisher: Publisher, settings: DlqSettings) -> None:
        self._publisher, self._settings = publisher, settings

    async def park(self, letter: DeadLetter) -> None:
        """Durable when it returns. Raises NatsError."""
        message = dead_letter(self._settings.subject_prefix, letter)
        await self._publisher.publish(Message(message.subject, message.payload, message.headers, message.msg_id))
