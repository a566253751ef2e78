"""Written by tools/sync_client.py, from:

veredus.client.replica.replica
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

from veredus.client.batch import Sort
from veredus.client.portal import Portal
from veredus.client.record import Record
from veredus.client.replica import replica as _replica
from veredus.client.replica.replica import _POLL_S, Filter, Synced
from veredus.client.results import Got
from veredus.client.sync.client import Client
from veredus.client.sync.events import Event, shown
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)


class Replica:
    """Open at most once at a time; ``with`` or ``close`` frees the file.

    What is read is as it was when ``sync`` or ``follow`` last wrote, and may be read while they do.
    """

    def __init__(self, portal: Portal, of: _replica.Replica) -> None:
        self._portal, self._of = portal, of

    @classmethod
    def open(
        cls,
        client: Client | None,
        path: Path | str,
        keep: Mapping[str, str | None] | None = None,
        *,
        bodies: bool = False,
        properties: Mapping[str, Sequence[str]] | None = None,
        account: Id | None = None,
    ) -> "Replica":
        """As in the async client. With ``client`` None it has a thread of its own, until it is closed."""
        of = client._of if client is not None else None
        portal = client._portal if client is not None else Portal()
        if client is None:
            portal.start()
        opening = _replica.Replica.open(of, path, keep, bodies=bodies, properties=properties, account=account)
        try:
            replica = cls(portal, portal.call(opening))
        except BaseException:
            if client is None:
                portal.stop()
            raise
        replica._own = client is None
        return replica

    _own = False

    def __enter__(self) -> "Replica":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What is being written is finished first; without effect when it is closed already."""
        if self._portal.is_open:
            self._portal.call(self._of.close())
        if self._own:
            self._portal.stop()

    def sync(self) -> Synced:
        """Bring the file up to date once. Raises what the client raises; what was done by then is kept."""
        return self._portal.call(self._of.sync())

    def follow(
        self, *, give_up_after_s: float | None = None, poll_s: float = _POLL_S
    ) -> Generator[Event[Any], None, None]:
        """Keep the file up to date, and tell what that changed in it; first what ``sync`` would do.

        An event is told once, after it is in the file: it needs no ``ack``. There is no Resync: what has
        vanished is told as Destroyed. Transport trouble is waited for; raises what does not pass.
        """
        return (
            shown(self._portal, item)
            for item in self._portal.iterate(self._of.follow(give_up_after_s=give_up_after_s, poll_s=poll_s))
        )

    @overload
    def get(self, kind: type[R], ids: Sequence[Id] | None = None) -> Got[R]: ...

    @overload
    def get(self, kind: str, ids: Sequence[Id] | None = None) -> Got[Record]: ...

    def get(self, kind: type[R] | str, ids: Sequence[Id] | None = None) -> Got[Any]:
        """Records as Foo/get gives them, with the properties that are kept. ``ids`` None: all that are kept.

        ``state`` is empty before the first sync.
        """
        return self._portal.call(self._of.get(kind, ids))

    @overload
    def query(
        self,
        kind: type[R],
        filter: Filter = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        zone: tzinfo = UTC,
    ) -> list[R]: ...

    @overload
    def query(
        self,
        kind: str,
        filter: Filter = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        zone: tzinfo = UTC,
    ) -> list[Record]: ...

    def query(
        self,
        kind: type[R] | str,
        filter: Filter = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        zone: tzinfo = UTC,
    ) -> list[Any]:
        """Records that ``filter`` selects: JMAP's, or for Emails a search (docs/search-grammar.md).

        Words are looked for in what is kept: without bodies in addresses, subject and preview. ``zone``: the
        one that the days of a search begin in. Emails are sorted newest first by default.
        Raises SearchError for what only the server can answer, NotFetchedError for what is not kept.
        """
        return self._portal.call(self._of.query(kind, filter, sort, limit=limit, zone=zone))

    def search(self, search: str, *, limit: int | None = None, zone: tzinfo = UTC) -> list[Any]:
        """Emails that a search selects, newest first: ``replica.search("invoice from:bob")``."""
        return self._portal.call(self._of.search(search, limit=limit, zone=zone))
