"""Records as Structs of encoded JSON, cut out of stored JSON objects without decoding the values.

A stored object is put together from its parts (live, fixed, cold), all objects of one level; a list
of them is decoded in one go by a type made for the wanted names. Shared by all stores.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

_NULL = Raw(b"null")


class Reader:
    """Decodes joined JSON objects to Structs with exactly ``id`` and some names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        fields = [(name, Raw, _NULL) for name in names if name != "id"]
        # gc=False: the values are bytes, there can be no cycle. Frozen: caches share them.
        self.struct = msgspec.defstruct("Projected", [("id", str), *fields], frozen=True, gc=False)
        self._all = msgspec.json.Decoder(list[self.struct])  # type: ignore[name-defined]
        self.one: Callable[[bytes], Any] = msgspec.json.Decoder(self.struct).decode

    def read(self, objects: Iterable[bytes]) -> list[Struct]:
        """All at once. The values point into the joined text, which lives as long as any of them."""
        records: list[Struct] = self._all.decode(b"[" + b",".join(objects) + b"]")
        return records


@lru_cache(maxsize=256)
def _reader(names: tuple[str, ...]) -> Reader:
    return Reader(names)


def reader(names: Sequence[str]) -> Reader:
    """The Reader for these names; made once for each list of them."""
    return _reader(tuple(dict.fromkeys(names)))


def splice(first: bytes, second: bytes) -> bytes:
    """One JSON object with the members of two; the first is never empty (it has the id)."""
    return first if second == b"{}" else first[:-1] + b"," + second[1:]


class Picker:
    """Decodes joined JSON objects to dicts with ``id`` and those of some names that are there.

    The other members are passed over undecoded, which for a few of many costs a third.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = tuple(name for name in names if name != "id")
        fields = [(name, Any, msgspec.UNSET) for name in self._names]
        self._decoder = msgspec.json.Decoder(list[msgspec.defstruct("Picked", [("id", str), *fields])])  # type: ignore[misc]

    def read(self, objects: Iterable[bytes]) -> list[dict[str, Any]]:
        unset = msgspec.UNSET
        picked = []
        for record in self._decoder.decode(b"[" + b",".join(objects) + b"]"):
            values = {"id": record.id}
            for name in self._names:
                value = getattr(record, name)
                if value is not unset:
                    values[name] = value
            picked.append(values)
        return picked


@lru_cache(maxsize=256)
def picker(names: frozenset[str]) -> Picker:
    """The Picker for these names; made once for each set of them."""
    return Picker(tuple(sorted(names)))
