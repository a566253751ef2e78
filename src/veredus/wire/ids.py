"""New ids (RFC 8620 §1.2): a letter for the type, then time and chance, so that they sort by age."""

import secrets
import time

from veredus.wire.types import Id

_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        digits.append(_DIGITS[value & 31])
        value >>= 5
    return "".join(reversed(digits))


def new_id(prefix: str) -> Id:
    """A fresh id: ``prefix`` (a lower-case letter, so that no id begins with a digit or "-" or is all
    digits), 45 bits of milliseconds and 40 bits of chance."""
    moment = time.time_ns() // 1_000_000
    return prefix + _base32(moment, 9) + _base32(secrets.randbits(40), 8)
