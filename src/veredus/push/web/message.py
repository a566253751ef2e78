"""The messages of web push as bytes, and with which headers they go (RFC 8030 §5)."""

import hashlib
from datetime import datetime, timedelta

from msgspec import Struct

from veredus.formats.webpush import MAX_PLAINTEXT, encode_base64url
from veredus.push.event import Event
from veredus.push.web import records
from veredus.push.web.outcome import Urgency
from veredus.push.web.records import Record
from veredus.wire import json
from veredus.wire.push import PushVerification, StateChange
from veredus.wire.types import Id

# After an hour a subscription that nobody has verified is destroyed.
VERIFICATION_LIFE = timedelta(hours=1)
# How long a push service keeps what a device that is switched off has not got.
_STATE_TTL = timedelta(days=7)
_EMAIL_TTL = timedelta(days=1)


class Message(Struct, frozen=True):
    """One request to a URL. ``ttl``: seconds."""

    body: bytes
    ttl: int
    urgency: Urgency = "normal"
    topic: str | None = None


def verification(record: Record) -> Message:
    body = json.encode(PushVerification(record.id, record.code))
    return Message(body, int(VERIFICATION_LIFE.total_seconds()))


def state_changes(event: Event, record: Record, now: datetime) -> list[Message]:
    """Nearly always one; more when it would not fit into the channel."""
    ttl = _ttl(_STATE_TTL, record, now)
    body, topic = event.encoded(_state_change), event.encoded(_topic).decode()
    if len(body) <= MAX_PLAINTEXT:
        return [Message(body, ttl, topic=topic)]
    return [
        Message(part.encoded(_state_change), ttl, topic=part.encoded(_topic).decode())
        for part in _parts(event)
    ]


def email_push(body: bytes, urgency: Urgency, record: Record, now: datetime) -> Message:
    return Message(body, _ttl(_EMAIL_TTL, record, now), urgency)


def test_change() -> bytes:
    """A StateChange in which nothing has changed: every client understands it, and none does anything."""
    return json.encode(StateChange({}))


def _ttl(wanted: timedelta, record: Record, now: datetime) -> int:
    """§5.2: seconds; nothing is delivered after the subscription has expired."""
    left = records.moment(record.expires) - now
    return max(int(min(wanted, left).total_seconds()), 0)


def _state_change(event: Event) -> bytes:
    return json.encode(event.change)


def _topic(event: Event) -> bytes:
    """§5.4: a message replaces one of the same topic that still waits for its device.

    So only one that tells of the same types of the same accounts may: each message tells what is new since
    the one before, and a type that only the older one named would never be heard of.
    """
    names = sorted(f"{account}/{type}" for account, types in event.change.changed.items() for type in types)
    digest = hashlib.blake2b(" ".join(names).encode(), digest_size=24).digest()
    return encode_base64url(digest).encode()


def _parts(event: Event) -> list[Event]:
    """The event by accounts, as many in each as fit."""
    parts: list[dict[Id, dict[str, str]]] = [{}]
    for account, types in event.change.changed.items():
        wider = {**parts[-1], account: dict(types)}
        if parts[-1] and len(json.encode(StateChange(wider))) > MAX_PLAINTEXT:
            parts.append({account: dict(types)})
        else:
            parts[-1] = wider
    return [Event(StateChange(part), event.position) for part in parts]
