"""Property values as PostgreSQL keeps them: octets whose order is the order of the values.

null < numbers < strings < booleans (``store.values``), whatever collation a database has; its text could not
hold U+0000 either.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

_NUMBER, _STRING, _BOOLEAN = b"\x01", b"\x02", b"\x03"
# Longer ones do not fit into an index; what is kept of them is as good for equality.
_MEMBER_OCTETS = 1000
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def key(value: Any) -> bytes | None:
    """What a column keeps of a JSON scalar; None for null, arrays and objects.

    Numbers count as floats: JSON's are exact up to 2^53 (RFC 8620 §1.3).
    """
    match value:
        case bool():
            return _BOOLEAN + (b"\x01" if value else b"\x00")
        case int() | float():
            return _NUMBER + _number(value)
        case str():
            return _STRING + value.encode("utf-8", "surrogatepass")
        case _:
            return None


def _number(value: float) -> bytes:
    """A float, its bits so turned that octets compare as numbers."""
    try:
        near = float(value) + 0.0  # -0.0 is 0.0
    except OverflowError:
        near = float("inf") if value > 0 else float("-inf")
    (bits,) = struct.unpack(">Q", struct.pack(">d", near))
    return struct.pack(">Q", bits ^ _ALL if bits & _SIGN else bits | _SIGN)


def kind_of(value: Any) -> tuple[bytes, bytes]:
    """All keys of the value's kind: the least, and the first that is greater than all."""
    encoded = key(value)
    assert encoded is not None
    return encoded[:1], bytes([encoded[0] + 1])


def member(name: str) -> bytes:
    """What a table of members keeps of a member."""
    octets = name.encode("utf-8", "surrogatepass")
    if len(octets) <= _MEMBER_OCTETS:
        return octets
    return octets[:_MEMBER_OCTETS] + hashlib.sha256(octets).digest()


def storable(values: Iterable[str]) -> list[str]:
    """Those that PostgreSQL's text can hold; no id has the others (they may be asked for all the same)."""
    return [value for value in values if _is_text(value)]


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
