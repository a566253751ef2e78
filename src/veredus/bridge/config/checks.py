"""What NATS or the bridge would refuse later, said at once and by key: names, subjects, limits, overlaps."""

import re
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import TypeVar

import msgspec

from veredus.bridge.config.errors import Findings
from veredus.bridge.config.grammar import format_duration, shown
from veredus.bridge.settings import BridgeSettings, EmailStreamSettings, EventStreamSettings

# nats-server: less than this it refuses, for an age as for a window.
_LEAST_S = 0.1
# nats-server takes this where a stream says nothing about duplicates.
_USUAL_WINDOW_S = 120.0
_MOST_REPLICAS = 5

_STREAM = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,255}")
_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a word of a subject, and of a key
_TOKEN = re.compile(r"[^\s.*>\x00-\x1f\x7f]+")
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")  # RFC 8620 §1.2
_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]*):([0-9]{1,5})")

Problem = tuple[str, str]  # the key, and the rest of the sentence
Stream = TypeVar("Stream", EmailStreamSettings, EventStreamSettings)


def check(
    settings: BridgeSettings, findings: Findings, named: Callable[[str], str] = str
) -> BridgeSettings | None:
    """The settings with windows that a server takes; None when there are problems, which ``findings`` tells.

    ``named``: what the file calls a key.
    """
    for part in (_names, _subjects, _amounts, _times, _access, _outside):
        findings.problems += [f"{named(key)} {text}" for key, text in part(settings)]
    if findings.problems:
        return None
    return msgspec.structs.replace(
        settings,
        stream=_with_window(settings.stream, "stream", findings),
        events=_with_window(settings.events, "events", findings),
    )


def overlap(one: str, other: str) -> bool:
    """Whether some subject lies below both prefixes."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _names(settings: BridgeSettings) -> Iterator[Problem]:
    streams = {"stream.name": settings.stream.name, "dlq.name": settings.dlq.name}
    buckets = {
        "cursor.bucket": settings.cursor_bucket,
        "state_bucket": settings.state_bucket,
        "mailboxes_bucket": settings.mailboxes_bucket,
    }
    if settings.events.enabled:
        streams["events.name"] = settings.events.name
        buckets["events.state_bucket"] = settings.events.state_bucket
    if not _NAME.fullmatch(settings.name):
        yield (
            "name",
            f"{shown(settings.name)} is no name of a bridge: letters, digits, _ and - only, at most 64",
        )
    for key, name in streams.items():
        if not _STREAM.fullmatch(name):
            yield (
                key,
                f"{shown(name)} is no name of a stream: no spaces, no . * > / \\, at most 255 characters",
            )
    given = {key: name for key, name in buckets.items() if name is not None}
    for key, name in {**given, "parts.bucket": settings.parts.bucket}.items():
        if not _BUCKET.fullmatch(name):
            yield key, f"{shown(name)} is no name of a bucket: letters, digits, _ and - only"
    for kind in (streams, given):
        for (key, name), (other, same) in combinations(kind.items(), 2):
            if name == same:
                yield other, f"is {shown(name)}, and so is {key}: each needs its own"


def _subjects(settings: BridgeSettings) -> Iterator[Problem]:
    streams, plain = _stored(settings), _not_stored(settings)
    for key, subject in (streams | plain).items():
        if why := _no_subject(subject.replace("{account}", "a") if key.startswith("route") else subject):
            yield key, f"{shown(subject)} is no subject: {why}"
    for (key, prefix), (other, second) in combinations(streams.items(), 2):
        if overlap(prefix, second):
            yield other, f"{shown(second)} overlaps {key} {shown(prefix)}: no two streams may share subjects"
    for (key, prefix), (other, subject) in product(streams.items(), plain.items()):
        if overlap(prefix, subject):
            yield other, f"{shown(subject)} overlaps {key} {shown(prefix)}: that stream would store it"


def _stored(settings: BridgeSettings) -> dict[str, str]:
    """The prefixes below which streams take everything."""
    prefixes = {
        "stream.subject_prefix": settings.stream.subject_prefix,
        "dlq.subject_prefix": settings.dlq.subject_prefix,
    }
    if settings.events.enabled:
        prefixes["events.subject_prefix"] = settings.events.subject_prefix
    return prefixes


def _not_stored(settings: BridgeSettings) -> dict[str, str]:
    """What must not lie below them."""
    routes = {f"route[{at}].subject": route.subject for at, route in enumerate(settings.routes)}
    return {
        "monitor.heartbeat_prefix": settings.monitor.heartbeat_prefix,
        "monitor.control_prefix": settings.monitor.control_prefix,
        **routes,
    }


def _no_subject(subject: str) -> str:
    """Why a text cannot begin a subject; empty: it can."""
    if subject.startswith("$"):
        return "those with $ are the server's own"
    if "{" in subject or "}" in subject:
        return "only {account} can stand in braces, and only in a route"
    if not all(_TOKEN.fullmatch(token) for token in subject.split(".")):
        return "words with . between them, without spaces, * or >"
    return ""


def _amounts(settings: BridgeSettings) -> Iterator[Problem]:
    positive = {
        "stream.max_bytes": settings.stream.max_bytes,
        "events.max_bytes": settings.events.max_bytes,
        "dlq.max_bytes": settings.dlq.max_bytes,
        "dlq.max_attempts": settings.dlq.max_attempts,
        "parts.max_bytes": settings.parts.max_bytes,
        "parts.max_per_part": settings.parts.max_per_part,
        "snapshot.limit": settings.snapshot.limit,
        "fetch_bytes": settings.fetch_bytes,
        "concurrency": settings.concurrency,
    }
    yield from ((key, "must be positive") for key, amount in positive.items() if amount <= 0)
    if settings.replicas < 1:
        yield "replicas", "must be at least 1"
    elif settings.replicas > _MOST_REPLICAS:
        yield "replicas", f"must be at most {_MOST_REPLICAS}, the most that NATS has"


def _times(settings: BridgeSettings) -> Iterator[Problem]:
    positive = {
        "jmap.timeout": settings.jmap.timeout_s,
        "poll": settings.poll_s,
        "lease": settings.lease_s,
        "monitor.max_lag": settings.monitor.max_lag_s,
        "monitor.heartbeat": settings.monitor.heartbeat_s,
    }
    ages = {
        "stream.max_age": settings.stream.max_age_s,
        "events.max_age": settings.events.max_age_s,
        "dlq.max_age": settings.dlq.max_age_s,
    }
    windows = {
        "stream.dedup_window": settings.stream.dedup_window_s,
        "events.dedup_window": settings.events.dedup_window_s,
    }
    yield from ((key, "must be positive") for key, time in {**positive, **ages}.items() if time <= 0)
    yield from ((key, "must not be negative") for key, time in windows.items() if time < 0)
    for key, time in {**ages, **windows}.items():
        if 0 < time < _LEAST_S:
            yield key, f"must be at least {format_duration(_LEAST_S)}, or NATS refuses it"


def _access(settings: BridgeSettings) -> Iterator[Problem]:
    jmap, nats = settings.jmap, settings.nats
    if (jmap.user is None) != (jmap.password is None):
        yield "jmap.user", "and jmap.password must be set together"
    if (jmap.token is None) == (jmap.user is None and jmap.password is None):
        yield "jmap.token", "is required, or jmap.user with jmap.password; not both"
    if (nats.user is None) != (nats.password is None):
        yield "nats.user", "and nats.password must be set together"
    if sum(way is not None for way in (nats.token, nats.user, nats.creds, nats.nkey_seed)) > 1:
        yield "nats", "takes one way to authenticate: token, user with password, creds, or nkey_seed"
    if (nats.tls_cert is None) != (nats.tls_key is None):
        yield "nats.tls_cert", "and nats.tls_key must be set together"
    for account in jmap.accounts:
        if not _ID.fullmatch(account) and account != "*":
            yield "jmap.accounts", f"{shown(account)} is no id of JMAP: letters, digits, _ and - only"


def _outside(settings: BridgeSettings) -> Iterator[Problem]:
    for key, url in (("jmap.session_url", settings.jmap.url), ("nats.url", settings.nats.url)):
        if not url.strip() or any(letter.isspace() or not letter.isprintable() for letter in url.strip()):
            yield key, "is no URL: there is a space or a line break in it"
    listen = settings.monitor.listen
    found = _LISTEN.fullmatch(listen) if listen is not None else None
    if listen is not None and (found is None or int(found[2]) > 65535):
        yield "monitor.listen", f'{shown(listen)} is no address: write host:port, such as "127.0.0.1:9090"'
    if not settings.stream.enabled and not settings.events.enabled:
        yield "stream.enabled", "and events.enabled are both off: there would be nothing to write"


def _with_window(stream: Stream, table: str, findings: Findings) -> Stream:
    """With the window of duplicates that the stream will really have."""
    age, window = stream.max_age_s, stream.dedup_window_s
    if window == 0:
        window = min(_USUAL_WINDOW_S, age)
    if window > age:
        if not stream.externally_managed:
            findings.warnings.append(
                f"{table}.dedup_window {format_duration(window)} is longer than {table}.max_age, which NATS "
                f"refuses: {format_duration(age)} is used"
            )
        window = age
    return msgspec.structs.replace(stream, dedup_window_s=window)
