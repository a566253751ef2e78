"""What a fault proxy may do to a request, as values."""

import asyncio
import json
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

# ------------------------------------------------------------------ faults


class Stall(Struct, frozen=True):
    """Wait, then go on; ``seconds`` None: for ever, with the connection open.

    ``at``: before the request is forwarded, before the head of the answer, behind it, in the middle of the body.
    """

    seconds: float | None = None
    at: Literal["request", "head", "after_head", "body"] = "head"


class Hold(Struct, frozen=True, eq=False):
    """Keep a request from the server, or its answer from the client, until it is ``released``."""

    at: Literal["request", "answer"] = "answer"
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Cut(Struct, frozen=True):
    """Close the connection: the server never sees the ``request``; it has done its work and there is no
    ``answer``; there is half of the ``body``."""

    at: Literal["request", "answer", "body"] = "answer"


class Answer(Struct, frozen=True):
    """Answer in place of the server, which never sees the request. ``retry_after``: the field's value."""

    status: int
    retry_after: str | None = None
    type: str = "application/problem+json"
    body: bytes = b'{"type":"about:blank","detail":"made by the fault proxy"}'


class Truncate(Struct, frozen=True):
    """Half of the body, and a Content-Length that says it is all."""


class Replace(Struct, frozen=True):
    """Another body, with the status and the media type of the server's answer."""

    body: bytes = b'{"methodResponses": [[],,]}'


class MethodFails(Struct, frozen=True):
    """The response of each call of ``method`` becomes an error; what the call did is done."""

    type: str
    method: str


class Damage(Struct, frozen=True):
    """The ``nth`` property of that name in the answer, in the order of the JSON, gets another value."""

    property: str
    value: Any
    nth: int = 1


class Throttle(Struct, frozen=True):
    """Pass the body of the answer at so many octets a second."""

    octets_per_s: int


class Silence(Struct, frozen=True):
    """A stream passes its head, and then nothing more, while the connection stays open."""


Fault: TypeAlias = (
    Stall | Hold | Cut | Answer | Truncate | Replace | MethodFails | Damage | Throttle | Silence
)  # fmt: skip

TOO_MANY = Answer(429, retry_after="1")
BROKEN = Answer(500)
UNAVAILABLE = Answer(503, retry_after="1")
UNAUTHORIZED = Answer(401)
HTML = Answer(200, type="text/html", body=b"<!doctype html><title>Sign in to this network</title>")

# ------------------------------------------------------------------ what they are done to


class Request(Struct):
    """A request that came in. ``methods``: the names of its calls, when it is for the API."""

    verb: str
    path: str
    methods: tuple[str, ...]


class Rule(Struct, frozen=True, kw_only=True, eq=False):
    """A fault for those requests that match. Two that say the same are two.

    ``method``, ``path``: patterns (fnmatch), None: any. Of the requests that match, the ``nth`` is the first
    to suffer, and then the next ones, ``times`` in all (None: all of them), each with ``probability``. One whose
    answer has nothing in it that the fault is for does not count among these.
    """

    fault: Fault
    method: str | None = None
    path: str | None = None
    nth: int = 1
    times: int | None = None
    probability: float = 1.0

    def matches(self, request: Request) -> bool:
        if self.path is not None and not fnmatchcase(request.path, self.path):
            return False
        return self.method is None or any(fnmatchcase(name, self.method) for name in request.methods)


def method_names(body: bytes) -> tuple[str, ...]:
    """Of the calls in the body of an API request; none when it is something else."""
    try:
        return tuple(str(call[0]) for call in json.loads(body)["methodCalls"])
    except (ValueError, TypeError, KeyError, IndexError):
        return ()


def edited(fault: Truncate | Replace | MethodFails | Damage, body: bytes) -> bytes | None:
    """The body of an answer as the fault makes it; None: there is nothing in it that the fault is for."""
    match fault:
        case Truncate():
            return body[: len(body) // 2]
        case Replace():
            return fault.body
    document = json.loads(body)
    if isinstance(fault, Damage):
        return json.dumps(document).encode() if _damage(document, fault, 0) == fault.nth else None
    responses = document["methodResponses"]
    document["methodResponses"] = [
        ["error", {"type": fault.type}, response[2]] if fnmatchcase(response[0], fault.method) else response
        for response in responses
    ]
    return None if document["methodResponses"] == responses else json.dumps(document).encode()


def _damage(value: Any, fault: Damage, found: int) -> int:
    """How many there are, the damaged one being the last."""
    if found == fault.nth:
        return found
    if isinstance(value, list):
        for inner in value:
            found = _damage(inner, fault, found)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == fault.property and found < fault.nth:
                found += 1
                if found == fault.nth:
                    value[name] = fault.value
                    return found
            found = _damage(inner, fault, found)
    return found
