"""Makes every message fit into ``max_payload`` of the server.

The server counts header block and payload, and closes the connection when they are more; the client checks
the payload alone. First the header block is cut to half of the room, if it has more. Then, when it is still
too much, the payload goes into the object store, and a slim one with ``"truncated": true`` and its
``objectKey`` takes its place.

Headers are cut in the order of ``FIRST``, then the largest first: shortened to 1 KiB until the block is small
enough, and if that was not enough, left out in the same order. ``KEPT`` are never touched. ``Jmap-Cut`` names
what was cut; the payload, or the object, has all of it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from veredus.bridge.wire import go_json
from veredus.bridge.wire.message import Message, block_size, line_size
from veredus.wire.types import JsonObject

# Room that is left for what the server and a reply subject add.
MARGIN = 8 * 1024
SHORT = 1024
# Below this the ids alone, 255 octets each, would not fit.
MIN_ROOM = 8 * 1024
LEAST_SIZE = MARGIN + MIN_ROOM
FIRST = (
    "Jmap-References",
    "Jmap-To",
    "Jmap-Cc",
    "Jmap-In-Reply-To",
    "Jmap-From",
    "Jmap-Subject",
    "Jmap-Keywords",
)
KEPT = frozenset(
    (
        "Nats-Msg-Id",
        "Jmap2nats-Schema-Version",
        *("Jmap-Account-Id", "Jmap-Email-Id", "Jmap-Id", "Jmap-Type", "Jmap-Op", "Jmap-Payload"),
        *("ce-specversion", "ce-id", "ce-source", "ce-type"),
    )
)
# Of the payload, what every slim one has, however long.
_IDS = frozenset(("id", "accountId", "schema", "op", "account", "type"))


class TooSmall(ValueError):
    """``max_payload`` of the server leaves no room even for the ids."""


class Spilled(Struct, frozen=True):
    """``payload`` is to be stored as ``object_key`` first, and ``message`` to be published then."""

    message: Message
    object_key: str
    payload: bytes


def fit(message: Message, max_payload: int) -> Message | Spilled:
    """``message`` as it can be published to a server with that ``max_payload``; raises TooSmall."""
    room = max_payload - MARGIN
    if room < MIN_ROOM:
        raise TooSmall(f"max_payload of the NATS server is {max_payload}; {LEAST_SIZE} is the least.")
    if message.size <= room:
        return message
    cut = replace(message, headers=_cut(message, room // 2 - SHORT))
    if cut.size <= room:
        return cut
    slim = replace(
        cut, headers=cut.headers | {"Jmap-Payload": "ref"}, payload=_slim(message, room // 2 - SHORT)
    )
    return Spilled(slim, message.spill_key, message.payload)


def _cut(message: Message, room: int) -> dict[str, str]:
    headers = dict(message.headers)
    size = block_size(message.all_headers)
    order = _order(headers)
    cut: list[str] = []
    for name in order:
        if size <= room:
            break
        short = _shortened(headers[name])
        if short != headers[name]:
            cut.append(name)
            size -= line_size(name, headers[name]) - line_size(name, short)
            headers[name] = short
    for name in order:
        if size <= room:
            break
        size -= line_size(name, headers.pop(name))
        cut += () if name in cut else (name,)
    return headers | {"Jmap-Cut": _shortened(",".join(cut))} if cut else headers


def _order(headers: Mapping[str, str]) -> list[str]:
    others = sorted(headers.keys() - KEPT - set(FIRST), key=lambda name: (-len(headers[name]), name))
    return [name for name in FIRST if name in headers] + others


def _shortened(value: str) -> str:
    """At most SHORT octets, cut after the last comma of a list, else between two characters."""
    octets = value.encode()
    if len(octets) <= SHORT:
        return value
    short = octets[:SHORT].decode(errors="ignore")
    whole, comma, _ = short.rpartition(",")
    return (whole if comma and len(whole) > SHORT // 2 else short).rstrip()


def _slim(message: Message, room: int) -> bytes:
    """The members of the payload that are small, in their order, up to ``room`` octets in all."""
    full: JsonObject = msgspec.json.decode(message.payload, type=dict[str, Any])
    reference: JsonObject = {"truncated": True, "objectKey": message.spill_key}
    sizes = {name: len(go_json.encode({name: value})) for name, value in full.items()}
    room -= len(go_json.encode(reference)) + sum(sizes[name] for name in full if name in _IDS)
    kept: JsonObject = {}
    for name, value in full.items():
        if name not in _IDS:
            if sizes[name] > min(SHORT, room):
                continue
            room -= sizes[name]
        kept[name] = value
    return go_json.encode(kept | reference)
