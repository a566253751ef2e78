"""The streams, buckets and stores of one bridge in NATS: made at the start, and what is found in them."""

from contextlib import aclosing

import structlog
from msgspec import Struct

from veredus.bridge.nats import resources
from veredus.bridge.nats.errors import Misconfigured
from veredus.bridge.nats.jetstream import call, last_message, stream_info
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.objects import ObjectStore
from veredus.bridge.nats.reader import Reading, read
from veredus.bridge.nats.resources import Resource
from veredus.bridge.settings import BridgeSettings, Wire
from veredus.bridge.wire.generation import Generation, detect
from veredus.bridge.wire.spill import LEAST_SIZE

log = structlog.get_logger("veredus.bridge")
# So far back does a reader look for what it has published but not yet counted: many pages of many accounts.
_TAIL = 10_000


class Streams(Struct, frozen=True):
    """What a bridge writes to, on one link. ``max_size``: of a message for the stream of Emails and those of
    routes, ``event_size``: of one for that of events. ``before`` and ``mailboxes``: None where none is
    wanted."""

    link: Link
    generation: Generation
    max_size: int
    event_size: int
    objects: ObjectStore
    cursors: KeyValue
    state: KeyValue
    before: KeyValue | None = None
    mailboxes: KeyValue | None = None


def wanted(settings: BridgeSettings) -> list[tuple[Resource, bool]]:
    """What there must be, and whether somebody else manages it. Raises BadName, Misconfigured."""
    stream, events, dlq, parts = settings.stream, settings.events, settings.dlq, settings.parts
    buckets = [settings.cursor_bucket, settings.state_bucket, *filter(None, _optional(settings))]
    found = [
        *((resources.key_value(bucket, replicas=settings.replicas), False) for bucket in buckets),
        (
            resources.object_store(
                parts.bucket, ttl_s=stream.max_age_s, max_bytes=parts.max_bytes, replicas=settings.replicas
            ),
            False,
        ),
        (
            resources.stream(
                dlq.name,
                dlq.subject_prefix,
                max_age_s=dlq.max_age_s,
                max_bytes=dlq.max_bytes,
                dedup_window_s=0,
                replicas=settings.replicas,
            ),
            False,
        ),
    ]
    for one in (stream, events):
        if one.enabled:
            resource = resources.stream(
                one.name,
                one.subject_prefix,
                max_age_s=one.max_age_s,
                max_bytes=one.max_bytes,
                dedup_window_s=one.dedup_window_s,
                replicas=settings.replicas,
            )
            found.append((resource, one.externally_managed))
    return found


def _optional(settings: BridgeSettings) -> tuple[str | None, str | None]:
    """The buckets of old values and of Mailboxes; None: not wanted."""
    events = settings.events
    before = events.state_bucket if events.enabled and events.before == "kv" else None
    return before, settings.mailboxes_bucket


async def open_streams(link: Link, settings: BridgeSettings) -> Streams:
    """Make or find everything. Raises Misconfigured and other NatsErrors."""
    limits: dict[str, int] = {}
    for resource, managed in wanted(settings):
        info = await (resources.look_up if managed else resources.ensure)(link, resource)
        own = int(info.config.get("max_msg_size", -1))
        limits[resource.name] = min(link.max_payload, own) if own > 0 else link.max_payload
    limit = min(limits.get(settings.stream.name, link.max_payload), await _size_of_routes(link, settings))
    generation = Generation.of(await _wire(link, settings))
    log.info("streams_ready", server=link.server, wire=generation.name, max_size=limit)
    before, mailboxes = (KeyValue(link, name) if name else None for name in _optional(settings))
    return Streams(
        link,
        generation,
        limit,
        limits.get(settings.events.name, link.max_payload),
        ObjectStore(link, settings.parts.bucket),
        KeyValue(link, settings.cursor_bucket),
        KeyValue(link, settings.state_bucket),
        before,
        mailboxes,
    )


async def _size_of_routes(link: Link, settings: BridgeSettings) -> int:
    """The largest message that all routes take. A copy that no stream takes would never be acknowledged."""
    least = link.max_payload
    for route in settings.routes:
        subject = route.subject.replace("{account}", "account")
        answer = await call(link, "STREAM.NAMES", {"subject": subject}, f"route to {route.subject}")
        names = answer.get("streams")
        if not names:
            raise Misconfigured(f"no stream takes {route.subject!r}, to which a route leads: create one")
        own = int((await stream_info(link, names[0])).config.get("max_msg_size", -1))
        if 0 < own < LEAST_SIZE:
            raise Misconfigured(
                f"stream {names[0]}, to which a route leads: max_msg_size is {own}, {LEAST_SIZE} is the least"
            )
        least = min(least, own) if own > 0 else least
    return least


async def _wire(link: Link, settings: BridgeSettings) -> Wire:
    if settings.wire != "auto" or not settings.stream.enabled:
        return "1" if settings.wire == "auto" else settings.wire
    prefix = settings.stream.subject_prefix
    last = await last_message(link, settings.stream.name, f"{prefix}.>")
    return detect(*((None, prefix, None) if last is None else (last.subject, prefix, last.headers)))


async def published(link: Link, settings: BridgeSettings, account: str) -> set[str]:
    """Ids of the Emails of an account that are at the end of the stream.

    A reader that died between publishing and moving its cursor finds here what it would repeat, also when
    the stream does not remember the message ids any more.
    """
    stream, prefix = settings.stream.name, settings.stream.subject_prefix
    found: set[str] = set()
    first = (await stream_info(link, stream)).last_sequence - _TAIL
    for subject in (f"{prefix}.{account}", f"{prefix}.{account}.>"):
        reading = Reading(stream, subject, headers_only=True, from_sequence=first)
        async with aclosing(read(link, reading)) as messages:
            async for message in messages:
                if message is not None and message.headers.get("Jmap-Account-Id") == account:
                    found.add(message.headers.get("Jmap-Email-Id", ""))
    return found
