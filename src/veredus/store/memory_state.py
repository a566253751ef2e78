"""What the memory store knows of an account at one time."""

import msgspec
from msgspec import Struct

from veredus.store.coalesce import Entry
from veredus.wire.types import Id, JsonObject


class Row(Struct, frozen=True):
    # Second of the order property, then arrival.
    place: tuple[int, int]
    record: JsonObject
    encoded: bytes
    texts: dict[str, str]


def row(place: tuple[int, int], record: JsonObject, texts: dict[str, str]) -> Row:
    encoded = msgspec.json.encode(record)
    return Row(place, msgspec.json.decode(encoded), encoded, texts)


class State(Struct):
    """An account at one time; never changed once it is the account's state."""

    rows: dict[str, dict[Id, Row]] = {}
    states: dict[str, int] = {}
    # Of each type, the modseq of the last forgotten entry.
    floors: dict[str, int] = {}
    log: list[Entry] = []
    modseq: int = 0
    arrivals: int = 0
