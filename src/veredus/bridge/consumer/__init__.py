"""For programs that read what the bridge writes: ``MailStream`` and ``EventStream``, over nats-py.

Nothing here needs the bridge itself, or any of its state.
"""

from veredus.bridge.consumer.errors import (
    ConsumerError,
    ConsumerGone,
    ConsumerMismatch,
    DigestMismatch,
    Disconnected,
    NoSuchPart,
    NoSuchStream,
    NotOurs,
    PartError,
    PartFailed,
    PartMissing,
    PartSkipped,
)
from veredus.bridge.consumer.event import Event, SetChange
from veredus.bridge.consumer.mail import Address, Mail, Part
from veredus.bridge.consumer.streams import EventStream, MailStream

__all__ = [
    "Address",
    "ConsumerError",
    "ConsumerGone",
    "ConsumerMismatch",
    "DigestMismatch",
    "Disconnected",
    "Event",
    "EventStream",
    "Mail",
    "MailStream",
    "NoSuchPart",
    "NoSuchStream",
    "NotOurs",
    "Part",
    "PartError",
    "PartFailed",
    "PartMissing",
    "PartSkipped",
    "SetChange",
]
