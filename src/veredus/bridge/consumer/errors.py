"""What a program that reads the streams of the bridge may meet.

ConsumerError
+-- Disconnected        the connection is closed for good; nats-py reconnects by itself before that
+-- NoSuchStream        no stream of that name, or none that takes the dead letters
+-- ConsumerMismatch    a durable consumer of that name is there, and is of another kind
+-- ConsumerGone        somebody has deleted the consumer while it was read
+-- NotOurs             a message that no bridge has written
+-- ApiError            any other refusal of JetStream
+-- PartError
    +-- NoSuchPart      the message has no such part
    +-- PartSkipped     left out by a rule of the bridge: too large, or not wanted
    +-- PartFailed      the bridge could not store it, and says why
    +-- PartMissing     it was stored, and has been evicted or has expired since
    +-- DigestMismatch  what is stored is not what was put there
"""


class ConsumerError(Exception):
    """One line, with ids and names and nothing of a message."""


class Disconnected(ConsumerError):
    """The connection has been closed."""


class NoSuchStream(ConsumerError):
    """Says which."""


class ConsumerMismatch(ConsumerError):
    """Says what is there and what is wanted."""


class ConsumerGone(ConsumerError):
    """Begin anew: a durable consumer is made again, from its beginning."""


class NotOurs(ConsumerError):
    """A payload that is not JSON, or lacks the ids; says where in the stream it is."""


class ApiError(ConsumerError):
    """``code``: the number in the server's errors.json, or 0."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class PartError(ConsumerError):
    """A part, or the whole of a large message, is not to be had from the object store."""


class NoSuchPart(PartError):
    """Says what there is."""


class PartSkipped(PartError):
    """It can be had from the JMAP server by its blobId."""


class PartFailed(PartError):
    """With the error that the bridge has written into the message."""


class PartMissing(PartError):
    """Objects live as long as the bucket has room and their age allows."""


class DigestMismatch(PartError):
    """By SHA-256, or by its size."""
