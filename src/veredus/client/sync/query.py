"""Written by tools/sync_client.py (RFC 8620), from:

veredus.client.query
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from veredus.client import query as _query
from veredus.client.portal import Portal
from veredus.client.record import Record
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)


class Query(Generic[R]):
    """An iterable of records, fetched a page at a time: query and get in one request.

    A page begins after the last record of the one before (``anchor``), so that records which come or go
    meanwhile neither repeat nor hide others; those that are found may be moved or destroyed on the way.
    Each iteration asks anew.
    """

    def __init__(self, portal: Portal, of: _query.Query[R]) -> None:
        self._portal, self._of = portal, of

    def __iter__(self) -> Iterator[R]:
        return self._portal.iterate(aiter(self._of))

    def ids(self) -> Iterator[Id]:
        """Only the ids."""
        return self._portal.iterate(self._of.ids())

    def all(self) -> list[R]:
        """All of them, in a list."""
        return self._portal.call(self._of.all())

    def first(self) -> R | None:
        """The first one; None: there is none."""
        return self._portal.call(self._of.first())
