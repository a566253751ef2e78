"""The dead-letter stream: what failed again and again is parked there."""

from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.settings import DlqSettings
from veredus.bridge.wire.dead_letter import DeadLetter, dead_letter


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
