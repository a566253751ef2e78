"""Values of an Email as a server gave them, or the empty value of their type when they are of another.

The empty value is also what jmap2nats has for null and for a missing property, so the three look alike on
the wire.
"""

from collections.abc import Mapping
from typing import Any

from veredus.bridge.wire.go_json import scrub
from veredus.wire.types import JsonObject, is_id

_UINT64 = 2**64


class NotAnId(ValueError):
    """Something that is part of a subject or a key is no Id (RFC 8620 §1.2)."""


def require_id(value: object, what: str) -> str:
    """``value``, which must be an Id; raises NotAnId, which does not repeat it."""
    if not isinstance(value, str) or not is_id(value):
        raise NotAnId(f"The {what} is not an Id: 1 to 255 of A-Z, a-z, 0-9, - and _ are (RFC 8620 §1.2).")
    return value


def text(value: Any) -> str:
    """A string, or the empty one."""
    return value if isinstance(value, str) else ""


def octets(value: Any) -> int:
    """A size, or 0: Go reads it into a uint64."""
    is_size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _UINT64
    return value if is_size else 0


def texts(value: Any) -> list[str]:
    """The strings of a list. A null in it is an empty string, as Go reads it."""
    if not isinstance(value, list):
        return []
    return [text(item) for item in value if item is None or isinstance(item, str)]


def flags(value: Any) -> dict[str, bool]:
    """A set as JMAP writes it, ``{"$seen": true}``, sorted by key; Go reads a null as false."""
    if not isinstance(value, Mapping):
        return {}
    named = {
        scrub(key): item is True
        for key, item in value.items()
        if isinstance(key, str) and (item is None or isinstance(item, bool))
    }
    # The order of code points is the order of UTF-8, by which Go sorts.
    return dict(sorted(named.items()))


def objects(value: Any) -> list[JsonObject | None]:
    """The objects of a list; a null stays, as it does in a list of Go's pointers."""
    if not isinstance(value, list):
        return []
    return [item for item in value if item is None or isinstance(item, dict)]


def without_empty(members: JsonObject) -> JsonObject:
    """What Go's ``omitempty`` leaves: no false, 0, null, empty string or list.

    A struct stays, even an empty one; whoever has a map that may be empty gives None instead.
    """
    return {name: value for name, value in members.items() if value or isinstance(value, dict)}
