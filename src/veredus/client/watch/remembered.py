"""Records as they were last seen, so that it can be told what changed."""

from collections import OrderedDict
from typing import Generic, TypeVar

from veredus.client.record import Record
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)


class Remembered(Generic[R]):
    """At most ``size``, those seen last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._records: OrderedDict[Id, R] = OrderedDict()

    def put(self, record: R) -> R | None:
        """Remember it; what was remembered of it before."""
        if not self._size:
            return None
        before = self._records.pop(record.id, None)
        self._records[record.id] = record
        if len(self._records) > self._size:
            self._records.popitem(last=False)
        return before

    def drop(self, id: Id) -> None:
        self._records.pop(id, None)


def changed(before: Record, after: Record) -> frozenset[str]:
    """The names of the properties that are not the same."""
    absent = object()
    names = before.json.keys() | after.json.keys()
    return frozenset(name for name in names if before.json.get(name, absent) != after.json.get(name, absent))
