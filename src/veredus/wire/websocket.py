"""What JMAP over WebSocket adds to the wire (RFC 8887): a capability and some messages."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from veredus.wire import json
from veredus.wire.errors import RequestError
from veredus.wire.types import JsonObject

CAPABILITY = "urn:ietf:params:jmap:websocket"
PATH = "/jmap/ws"
# A client may name types that we do not know; it is only kept from filling the memory with them.
_TypeName = Annotated[str, Meta(max_length=255)]


def capability(base_url: str) -> Mapping[str, Any]:
    """What a session says of it (§3): under http its URL begins with ws, under https with wss."""
    return {"url": f"ws{base_url.removeprefix('http')}{PATH}", "supportsPush": True}


class WebSocketPushEnable(Struct, frozen=True, rename="camel"):
    """What is to be pushed (§4.3.5.2). ``data_types`` None: all; ``push_state`` None: from now on."""

    data_types: Annotated[list[_TypeName], Meta(max_length=1000)] | None = None
    push_state: str | None = None


def identifier(message: JsonObject) -> str | None:
    """The ``id`` of a Request (§4.3.2). Raises RequestError."""
    id = message.get("id")
    if id is None or isinstance(id, str):
        return id
    raise RequestError.not_request("id must be a string.")


def push_enable(message: JsonObject) -> WebSocketPushEnable:
    """Raises RequestError."""
    try:
        return msgspec.convert(message, WebSocketPushEnable)
    except msgspec.ValidationError as error:
        raise RequestError.not_request(f"Not a WebSocketPushEnable object: {error}") from None


def response(body: bytes, request_id: str | None) -> bytes:
    """A Response (§4.3.3) from one as HTTP has it, which is JSON already and not encoded again."""
    head = b'{"@type":"Response",'
    if request_id is not None:
        head += b'"requestId":%b,' % json.encode(request_id)
    return head + body[1:]


def request_error(problem: dict[str, Any], request_id: str | None) -> bytes:
    """A RequestError (§4.3.4) from problem details; without an id ``requestId`` is null, as in §4.4."""
    return json.encode({"@type": "RequestError", "requestId": request_id, **problem})
