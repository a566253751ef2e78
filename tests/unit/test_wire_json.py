"""I-JSON in: what is refused, and that it costs little (RFC 7493, RFC 8620 §1.5)."""

import contextlib
import json as reference
import time

import pytest

from veredus.wire import json
from veredus.wire.json import MAX_CONTAINERS, MAX_DEPTH, NotIJson


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b'"\\ud800"', b"1e999", b"NaN", b"-Infinity", b"01", b"[1,]",
     b"9" * 5000, b"[" * 100_000, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"[" + b"{}," * MAX_CONTAINERS + b"1]"],
    ids=repr,
)  # fmt: skip
def test_what_is_not_i_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotIJson):
        json.decode(text)


@pytest.mark.parametrize(
    "value",
    [
        "é😀\u2028",
        "[" * 3 * MAX_CONTAINERS,
        '\\"[{' * MAX_CONTAINERS,
        [[]] * 1000,
        {"a": [1.5, -0, None, True]},
        2**53 - 1,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_i_json_is_read(value: object) -> None:
    for text in (reference.dumps(value), reference.dumps(value, ensure_ascii=False)):
        assert json.decode(text.encode()) == value


@pytest.mark.parametrize("piece", [b"{},", b"[[[]]],", b'{"a":1},', b'"ab",', b"1.5,", b'"\\"[",'])
def test_ten_megabytes_are_read_or_refused_in_seconds(piece: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(NotIJson):
        json.decode(b"[" + piece * (10_000_000 // len(piece)) + b"1]")
    assert time.process_time() - began < 5
