"""What can go wrong with NATS.

NatsError
+-- NatsLost          the connection is gone; what was not acknowledged may or may not have been stored
+-- CannotConnect     no connection could be made
+-- TimedOut          no answer to a request; the connection lives
+-- Unavailable       JetStream does not serve just now: a restart, an election, no resources
|   +-- NoStream      nobody takes messages of this subject
+-- NotAllowed        credentials or permissions
+-- TooLarge          over max_payload of the server, or the maximum of the stream
+-- StreamFull        a stream that refuses new messages when it is full
|   +-- BucketFull    the same of an object store, which is always of that kind
+-- Conflict          someone else has written since (compare-and-swap)
+-- Missing           no such stream, bucket or object
+-- Misconfigured     what is there does not fit what the settings ask for
+-- BadName           a name, subject, key or header name that NATS does not carry
+-- Corrupt           an object whose octets are not what its digest says
+-- Refused           any other error of JetStream
"""

import re


class NatsError(Exception):
    """One line, without secrets and without anything of a message."""


class NatsLost(NatsError):
    """The connection is gone, and with it every certainty about what was not acknowledged."""


class CannotConnect(NatsError):
    """No connection could be made; says why."""


class TimedOut(NatsError):
    """No answer in time; whether the request was carried out is not known."""


class Unavailable(NatsError):
    """JetStream does not serve just now; later it may."""


class NoStream(Unavailable):
    """No stream takes messages of this subject, or JetStream is not running."""


class NotAllowed(NatsError):
    """Wrong credentials, or a permission is missing; says which subject."""


class TooLarge(NatsError):
    """``octets`` of headers and body, where ``limit`` are allowed; None where the server has not told."""

    def __init__(self, octets: int | None, limit: int | None, subject: str) -> None:
        size = "message" if octets is None else f"message of {octets} octets (headers and body)"
        at_most = "than its stream takes" if limit is None else f"than the {limit} that NATS takes"
        super().__init__(f"{size} for {subject!r} is larger {at_most}")
        self.octets = octets
        self.limit = limit


class StreamFull(NatsError):
    """The stream is at its limit and refuses new messages."""


class BucketFull(StreamFull):
    """The object store is at its limit."""


class Conflict(NatsError):
    """The subject has another last sequence than expected."""


class Missing(NatsError):
    """No such stream, bucket or object. ``code``: the server's number, if it was JetStream that missed it."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Misconfigured(NatsError):
    """What is there does not fit what the settings ask for; says what to change."""


class BadName(NatsError):
    """A name that NATS does not carry."""


class Corrupt(NatsError):
    """The octets of an object do not fit its digest."""


class Refused(NatsError):
    """Any other error of JetStream. ``code``: its number, as in the server's errors.json."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# Numbers of the server's errors.json.
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
STREAM_NOT_FOUND = 10059
NO_MESSAGE = 10037
CONSUMER_NOT_FOUND = 10014
NAME_IN_USE = 10058
_STORE_FAILED = 10077
_MESSAGE_TOO_LARGE = 10054
_LATER = frozenset({10008, 10009, 10118, 10120, 10167})  # cluster or stream not available, offline, stalled
_NOT_ENABLED = frozenset({10039, 10076})
_RESOURCES = frozenset({10002, 10023, 10028, 10047, 10113, 10122})
_OVERLAP = 10065
_FULL = re.compile(r"maximum (bytes|messages|msgs)|limit.*exceeded|no space", re.IGNORECASE)


def of_jetstream(number: int, status: int, text: str, about: str) -> NatsError:
    """The error object of an answer of JetStream. ``about``: the subject, stream or bucket it concerns."""
    said = f"{about}: {text} (JetStream error {number or status})"
    simple: NatsError | None = None
    if number in WRONG_LAST_SEQUENCE:
        simple = Conflict(said)
    elif number in (STREAM_NOT_FOUND, NO_MESSAGE, CONSUMER_NOT_FOUND):
        simple = Missing(said, number)
    elif number == _STORE_FAILED and _FULL.search(text):
        simple = StreamFull(said)
    elif number == _MESSAGE_TOO_LARGE:
        simple = TooLarge(None, None, about)
    elif number in _NOT_ENABLED:
        simple = Misconfigured(f"{about}: JetStream is not enabled for this account (error {number})")
    elif number in _RESOURCES:
        simple = _of_resources(number, said)
    elif number == _OVERLAP:
        simple = Misconfigured(
            f"{about}: another stream already takes these subjects (error {number}): "
            "choose another subject_prefix, or remove that stream"
        )
    elif number in _LATER or status == 503:
        simple = Unavailable(said)
    return simple or Refused(number, said)


def _of_resources(number: int, said: str) -> NatsError:
    """Publishing (10047 while storing) and creating share these numbers; both end when there is room."""
    if number in (10113, 10122):
        return Misconfigured(f"{said}: the account limits the size of streams; lower max_bytes")
    return StreamFull(
        f"{said}: the server or the account has no room left; lower max_bytes or raise its limits"
    )
