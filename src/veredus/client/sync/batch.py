"""Written by tools/sync_client.py (RFC 8620), from:

veredus.client.batch
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

from veredus.client import batch as _batch
from veredus.client.batch import Sort
from veredus.client.calls import ChangesCall, GetCall, Ids, QueryCall, QueryChangesCall, RawCall, SetCall
from veredus.client.portal import Portal
from veredus.client.record import Record
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)


class Batch:
    """Put together inside ``with``, and sent when that is left without an exception.

    The first call that failed raises its MethodError then; without ``raise_errors`` each call keeps its own.
    """

    def __init__(self, portal: Portal, of: _batch.Batch) -> None:
        self._portal, self._of = portal, of

    def __enter__(self) -> "Batch":
        self._portal.call(self._of.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return self._portal.call(self._of.__aexit__(kind, error, trace))

    @overload
    def get(
        self, kind: type[R], ids: Ids = None, properties: Sequence[str] | None = None, **extra: Any
    ) -> GetCall[R]: ...

    @overload
    def get(
        self, kind: str, ids: Ids = None, properties: Sequence[str] | None = None, **extra: Any
    ) -> GetCall[Record]: ...

    def get(
        self, kind: type[R] | str, ids: Ids = None, properties: Sequence[str] | None = None, **extra: Any
    ) -> GetCall[Any]:
        """Foo/get (§5.1); ``extra``: further arguments by their wire names."""
        return self._of.get(kind, ids, properties, **extra)

    def query(
        self,
        kind: type[Record] | str,
        filter: Mapping[str, Any] | None = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        **extra: Any,
    ) -> QueryCall:
        """Foo/query (§5.5)."""
        return self._of.query(kind, filter, sort, limit=limit, **extra)

    def changes(
        self, kind: type[Record] | str, since: str, *, max_changes: int | None = None, **extra: Any
    ) -> ChangesCall:
        """Foo/changes (§5.2)."""
        return self._of.changes(kind, since, max_changes=max_changes, **extra)

    def query_changes(self, kind: type[Record] | str, since: str, **extra: Any) -> QueryChangesCall:
        """Foo/queryChanges (§5.6)."""
        return self._of.query_changes(kind, since, **extra)

    def set(
        self,
        kind: type[Record] | str,
        *,
        create: Mapping[Id, JsonObject] | None = None,
        update: Mapping[Id, JsonObject] | None = None,
        destroy: Ids = None,
        if_in_state: str | None = None,
        **extra: Any,
    ) -> SetCall:
        """Foo/set (§5.3)."""
        return self._of.set(
            kind, create=create, update=update, destroy=destroy, if_in_state=if_in_state, **extra
        )

    def call(
        self, method: str, values: Mapping[str, Any] | None = None, *, using: str | None = None
    ) -> RawCall:
        """Any method, with arguments by their wire names; ``accountId`` is added where it fails to be there.

        ``using``: the capability it belongs to, if it is not one of the RFCs'.
        """
        return self._of.call(method, values, using=using)
