"""I-JSON in, and what is refused before it is a request (RFC 8620 §1.5, RFC 7493)."""

import json
from typing import Any

import pytest

from jmap import Jmap
from veredus.wire.errors import RequestError

pytestmark = pytest.mark.rfc("8620", "1.5")

NOT_JSON = "urn:ietf:params:jmap:error:notJSON"


def echo(argument: bytes) -> bytes:
    """A request that echoes a piece of JSON text."""
    head = b'{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"x":'
    return head + argument + b'},"c"]]}'


async def echoed(jmap: Jmap, argument: bytes) -> Any:
    return (await jmap.raw(echo(argument)))["methodResponses"][0][1]["x"]


@pytest.mark.must
@pytest.mark.parametrize(
    "argument",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\xc3"',
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"9" * 5000,
        b"01",
        b"+1",
        b"1.",
        b"'a'",
        b'"a\nb"',
        b"[1,]",
        b"",
        b"/**/1",
    ],
)
async def test_what_is_no_i_json_is_no_request(jmap: Jmap, argument: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        await jmap.raw(echo(argument))
    assert caught.value.kind == NOT_JSON
    assert caught.value.status == 400
    assert caught.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"\xef\xbb\xbf" + echo(b"1"),
        echo(b"1") + b"x",
        echo(b"1") + b"{}",
        echo(b"1").decode().encode("utf-16"),
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\0" * 100,
    ],
)
async def test_a_body_that_is_no_json_text_is_no_request(jmap: Jmap, body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        await jmap.raw(body)
    assert caught.value.kind == NOT_JSON


@pytest.mark.parametrize("depth", [301, 500, 900, 990, 1000, 2000])
async def test_deep_nesting_is_refused_before_anything_recurses(jmap: Jmap, depth: int) -> None:
    with pytest.raises(RequestError) as caught:
        await jmap.raw(echo(b"[" * depth + b"]" * depth))
    assert caught.value.kind == NOT_JSON


async def test_reasonable_nesting_is_none_too_deep(jmap: Jmap) -> None:
    text = b"[" * 250 + b"]" * 250
    assert await echoed(jmap, text) == json.loads(text)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (b"null", None),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u0000"', "\0"),
        (b'"\xf0\x9f\x98\x80"', "😀"),
        (b"9007199254740991", 2**53 - 1),
        (b"-9007199254740991", -(2**53) + 1),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"1e-400", 0.0),
        (b"1.5", 1.5),
        (b"{}", {}),
        (b'{"a":null,"b":[]}', {"a": None, "b": []}),
    ],
)
async def test_what_is_i_json_comes_back_as_it_is(jmap: Jmap, argument: bytes, value: Any) -> None:
    assert await echoed(jmap, argument) == value
