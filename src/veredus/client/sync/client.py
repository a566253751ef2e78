"""Written by tools/sync_client.py (RFC 8620), from:

veredus.client.client
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from veredus.client import client as _client
from veredus.client.batch import Sort
from veredus.client.blobs import OCTETS
from veredus.client.credentials import Credentials
from veredus.client.portal import Data, Portal, octets
from veredus.client.query import PAGE
from veredus.client.record import Record
from veredus.client.results import Changes, Got, SetResult, Uploaded
from veredus.client.session import Session
from veredus.client.sync.batch import Batch
from veredus.client.sync.blobs import Download
from veredus.client.sync.events import Event, shown
from veredus.client.sync.mail import Mail
from veredus.client.sync.query import Query
from veredus.client.watch.watch import WatchOptions
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)


class Client:
    """Use it inside ``with``: ``with Client.connect("alice@example.com", token=…) as client``.

    Methods that take ``account`` use the primary account for the data type's capability by default. They
    raise what ``client.errors`` lists, and nothing else for what happens on the network or at the server.
    """

    def __init__(self, portal: Portal, of: _client.Client) -> None:
        self._portal, self._of = portal, of

    def open(self) -> "Client":
        """What ``with`` does, for a REPL; ``close`` it in the end."""
        self._portal.enter(self._of)
        return self

    def close(self) -> None:
        """Without effect when it is closed already."""
        self._portal.leave(self._of)

    def __enter__(self) -> "Client":
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def connect(
        cls,
        server: str,
        *,
        token: str | None = None,
        token_file: Path | str | None = None,
        basic: tuple[str, str] | None = None,
        credentials: Credentials | None = None,
        timeout_s: float = 60.0,
        tls_ca: Path | str | None = None,
        trust: Collection[str] = (),
    ) -> "Client":
        """``server``: an address or domain to discover it from (§2.2), or the URL of its Session resource.

        At most one kind of credentials. Nothing is sent before ``with``. ``trust``: hosts outside of
        the domain that may have the credentials when DNS names them.
        """
        return cls(
            Portal(),
            _client.Client.connect(
                server,
                token=token,
                token_file=token_file,
                basic=basic,
                credentials=credentials,
                timeout_s=timeout_s,
                tls_ca=tls_ca,
                trust=trust,
            ),
        )

    def __repr__(self) -> str:
        return self._of.__repr__()

    @property
    def session(self) -> Session:
        """The Session object (§2), as it was last fetched."""
        return self._of.session

    @property
    def host(self) -> str:
        return self._of.host

    def refresh_session(self) -> Session:
        """Fetch the Session object; done by itself when the server says that it has changed (§3.4)."""
        return self._portal.call(self._of.refresh_session())

    def account_for(self, type: str) -> Id:
        """The account that methods of a data type work on by default. Raises NotSupported."""
        return self._of.account_for(type)

    def batch(self, account: Id | None = None, *, raise_errors: bool = True) -> Batch:
        """Several calls in one request: see Batch."""
        return Batch(self._portal, self._of.batch(account, raise_errors=raise_errors))

    def call(
        self,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        account: Id | None = None,
        using: str | None = None,
    ) -> JsonObject:
        """One call of any method, with arguments and answer by their wire names. Raises MethodError."""
        return self._portal.call(self._of.call(method, arguments, account=account, using=using))

    @overload
    def get(
        self,
        kind: type[R],
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[R]: ...

    @overload
    def get(
        self,
        kind: str,
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[Record]: ...

    def get(
        self,
        kind: type[R] | str,
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[Any]:
        """Foo/get (§5.1), cut to the server's limit into as many calls as it takes. ``ids`` None: all."""
        return self._portal.call(self._of.get(kind, ids, properties, account=account, **extra))

    @overload
    def query(
        self,
        kind: type[R],
        filter: Mapping[str, Any] | None = None,
        sort: Sort | None = None,
        *,
        properties: Sequence[str] | None = None,
        limit: int | None = None,
        page: int = PAGE,
        account: Id | None = None,
        **extra: Any,
    ) -> Query[R]: ...

    @overload
    def query(
        self,
        kind: str,
        filter: Mapping[str, Any] | None = None,
        sort: Sort | None = None,
        *,
        properties: Sequence[str] | None = None,
        limit: int | None = None,
        page: int = PAGE,
        account: Id | None = None,
        **extra: Any,
    ) -> Query[Record]: ...

    def query(
        self,
        kind: type[R] | str,
        filter: Mapping[str, Any] | None = None,
        sort: Sort | None = None,
        *,
        properties: Sequence[str] | None = None,
        limit: int | None = None,
        page: int = PAGE,
        account: Id | None = None,
        **extra: Any,
    ) -> Query[Any]:
        """Foo/query and Foo/get, page by page; ``limit``: how many records in all."""
        return Query(
            self._portal,
            self._of.query(
                kind, filter, sort, properties=properties, limit=limit, page=page, account=account, **extra
            ),
        )

    def changes(
        self,
        kind: type[Record] | str,
        since: str,
        *,
        max_changes: int | None = None,
        account: Id | None = None,
    ) -> Iterator[Changes]:
        """Foo/changes (§5.2), page by page until there are no more."""
        return self._portal.iterate(self._of.changes(kind, since, max_changes=max_changes, account=account))

    def set(
        self,
        kind: type[Record] | str,
        *,
        create: Mapping[Id, JsonObject] | None = None,
        update: Mapping[Id, JsonObject] | None = None,
        destroy: Sequence[Id] | None = None,
        if_in_state: str | None = None,
        account: Id | None = None,
        chunk: bool = False,
        raise_errors: bool = True,
        **extra: Any,
    ) -> SetResult:
        """Foo/set (§5.3). Raises SetErrors, which holds what succeeded, unless ``raise_errors`` is false.

        ``chunk``: more records than the server takes at once are sent in several requests, each of which
        may fail alone; without it that is a LimitError.
        """
        return self._portal.call(
            self._of.set(
                kind,
                create=create,
                update=update,
                destroy=destroy,
                if_in_state=if_in_state,
                account=account,
                chunk=chunk,
                raise_errors=raise_errors,
                **extra,
            )
        )

    def upload(self, data: Data, type: str = OCTETS, *, account: Id | None = None) -> Uploaded:
        """Store octets (§6.1): bytes, a file, or an iterator of chunks, which cannot be tried again."""
        return self._portal.call(self._of.upload(octets(data), type, account=account))

    def download(
        self, blob_id: Id, *, name: str = "blob", type: str = OCTETS, account: Id | None = None
    ) -> AbstractContextManager[Download]:
        """A blob as a stream (§6.2): ``with client.download(id) as blob: for chunk in blob``."""
        return self._portal.manage(
            self._of.download(blob_id, name=name, type=type, account=account), Download
        )

    @property
    def mail(self) -> Mail:
        """Mail in the primary account, as people speak of it. Raises NotSupported."""
        return Mail(self._portal, self._of.mail)

    @overload
    def watch(self, kind: type[R], /, **options: Unpack[WatchOptions]) -> Generator[Event[R], None, None]: ...

    @overload
    def watch(
        self, *kinds: type[Record] | str, **options: Unpack[WatchOptions]
    ) -> Generator[Event[Record], None, None]: ...

    def watch(
        self, *kinds: type[Record] | str, **options: Unpack[WatchOptions]
    ) -> Generator[Event[Any], None, None]:
        """Endless events of records of these types: see WatchOptions, and ``event.ack()`` each.

        At least once: what is not acknowledged is given again after a restart. In order within a type, the
        types in turn. Raises what does not pass: Unauthorized, NotSupported, CursorError, a MethodError that
        will come again. Leaving the loop ends it soon; with ``contextlib.closing``, when the block is left.
        """
        return (shown(self._portal, item) for item in self._portal.iterate(self._of.watch(*kinds, **options)))
