"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.6)."""

from typing import Any

import pytest

from veredus.formats.eventstream import block


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"event": "state", "data": b"{}", "id": "a.1"}, b"event: state\ndata: {}\nid: a.1\n\n"),
        ({"id": "a.1"}, b"id: a.1\n\n"),
        ({"retry_ms": 2000}, b"retry: 2000\n\n"),
    ],
    ids=str,
)
def test_the_event_comes_before_its_data_and_the_data_is_one_line(
    fields: dict[str, Any], text: bytes
) -> None:
    assert block(**fields) == text


@pytest.mark.parametrize(
    "fields", [{"event": "a\nb"}, {"data": b"a\rb"}, {"id": "a\nb"}, {"id": "a\0b"}], ids=str
)
def test_what_a_client_would_misread_is_not_sent(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"line break|U\+0000"):
        block(**fields)
