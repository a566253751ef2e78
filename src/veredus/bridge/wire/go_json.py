"""JSON as Go's encoding/json writes it, from 1.22 on: no white space, and five characters escaped.

Members keep the order of the dict, which is that of the Go struct; maps are sorted by whoever makes them.
"""

import re
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(value: Any) -> bytes:
    """``value`` as Go's json.Marshal writes it; a lone surrogate is U+FFFD, as it is when Go reads one."""
    encoded = plain(value)
    # Outside of strings JSON has none of the five, so the bytes may be replaced wherever they are.
    for raw, escaped in _ESCAPES:
        encoded = encoded.replace(raw, escaped)
    return encoded


def plain(value: Any) -> bytes:
    """``value`` as JSON without those escapes; lone surrogates are replaced here, too."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_scrubbed(value))


def scrub(string: str) -> str:
    """``string`` with every lone surrogate, which UTF-8 cannot say, replaced by U+FFFD."""
    return string if string.isascii() else _SURROGATE.sub("\ufffd", string)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {_scrubbed(name): _scrubbed(item) for name, item in value.items()}
    return value
