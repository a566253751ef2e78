"""The client: one user at one server (RFC 8620)."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from veredus.client import blobs
from veredus.client.batch import Batch, Sort
from veredus.client.blobs import OCTETS, Data, Download
from veredus.client.calls import named
from veredus.client.chunks import get_in_chunks, set_in_chunks
from veredus.client.credentials import Basic, Bearer, Credentials, TokenFile
from veredus.client.exchange import Exchange
from veredus.client.http import Connection
from veredus.client.mail.mail import Mail
from veredus.client.push.push import Push
from veredus.client.query import PAGE, Query
from veredus.client.record import Record
from veredus.client.results import Changes, Got, SetErrors, SetResult, Uploaded
from veredus.client.session import Session
from veredus.client.watch.events import Event
from veredus.client.watch.hub import Hub
from veredus.client.watch.watch import WatchOptions, watch
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)


class Client:
    """Use it inside ``async with``: ``async with Client.connect("alice@example.com", token=…) as client``.

    Methods that take ``account`` use the primary account for the data type's capability by default. They
    raise what ``client.errors`` lists, and nothing else for what happens on the network or at the server.
    """

    def __init__(self, connection: Connection, server: str, trust: Collection[str] = ()) -> None:
        self.connection = connection
        self.exchange = Exchange(connection, server, trust)
        self.hub = Hub(Push(connection, self.refresh_session))

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

        At most one kind of credentials. Nothing is sent before ``async with``. ``trust``: hosts outside of
        the domain that may have the credentials when DNS names them.
        """
        address: object = server
        if not isinstance(address, str):
            raise ValueError("server: an address, a domain or a URL")
        pair: object = basic
        if pair is not None and not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise ValueError("basic: a pair of user name and password")
        given = [
            Bearer(token) if token is not None else None,
            TokenFile(Path(token_file)) if token_file is not None else None,
            Basic(*basic) if basic is not None else None,
            credentials,
        ]
        kinds = [each for each in given if each is not None]
        if len(kinds) > 1:
            raise ValueError("give one of token, token_file, basic and credentials")
        connection = Connection(kinds[0] if kinds else None, timeout_s=timeout_s, tls_ca=tls_ca)
        return cls(connection, server, trust)

    async def __aenter__(self) -> "Client":
        await self.connection.__aenter__()
        self.exchange.open()
        try:
            await self.refresh_session()
        except BaseException:
            await self.connection.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.connection.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<Client {self.exchange.about}>"

    @property
    def session(self) -> Session:
        """The Session object (§2), as it was last fetched."""
        return self.exchange.session

    @property
    def host(self) -> str:
        return self.session.host

    async def refresh_session(self) -> Session:
        """Fetch the Session object; done by itself when the server says that it has changed (§3.4)."""
        return await self.exchange.refresh_session()

    def account_for(self, type: str) -> Id:
        """The account that methods of a data type work on by default. Raises NotSupported."""
        return self.exchange.account_for(type)

    def batch(self, account: Id | None = None, *, raise_errors: bool = True) -> Batch:
        """Several calls in one request: see Batch."""
        return Batch(self.exchange, account, raise_errors=raise_errors)

    async def call(
        self,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        account: Id | None = None,
        using: str | None = None,
    ) -> JsonObject:
        """One call of any method, with arguments and answer by their wire names. Raises MethodError."""
        async with self.batch(account) as batch:
            call = batch.call(method, arguments, using=using)
        return call.result

    @overload
    async def get(
        self,
        kind: type[R],
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[R]: ...
    @overload
    async def get(
        self,
        kind: str,
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[Record]: ...
    async def get(
        self,
        kind: type[R] | str,
        ids: Sequence[Id] | None = None,
        properties: Sequence[str] | None = None,
        *,
        account: Id | None = None,
        **extra: Any,
    ) -> Got[Any]:
        """Foo/get (§5.1), cut to the server's limit into as many calls as it takes. ``ids`` None: all."""
        return await get_in_chunks(self.exchange, named(kind)[1], ids, properties, account, extra)

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
        arguments = {"filter": filter, "sort": sort, **extra}
        return Query(
            self.exchange, named(kind)[1], arguments, properties, limit=limit, page=page, account=account
        )

    async def changes(
        self,
        kind: type[Record] | str,
        since: str,
        *,
        max_changes: int | None = None,
        account: Id | None = None,
    ) -> AsyncIterator[Changes]:
        """Foo/changes (§5.2), page by page until there are no more."""
        while True:
            async with self.batch(account) as batch:
                call = batch.changes(kind, since, max_changes=max_changes)
            yield call.result
            if not call.result.has_more_changes:
                return
            since = call.result.new_state

    async def set(
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
        name = named(kind)[0]
        account = account or self.account_for(name)
        changes: JsonObject = {"create": create or {}, "update": update or {}, "destroy": destroy or []}
        result = await set_in_chunks(
            self.exchange, name, changes, account, if_in_state, chunk=chunk, extra=extra
        )
        if raise_errors and result.errors:
            raise SetErrors(self.host, f"{name}/set", account, result)
        return result

    async def upload(self, data: Data, type: str = OCTETS, *, account: Id | None = None) -> Uploaded:
        """Store octets (§6.1): bytes, a file, or an iterator of chunks, which cannot be tried again."""
        account = account or self.account_for("Email")
        return await blobs.upload(self.connection, self.session, account, data, type)

    def download(
        self, blob_id: Id, *, name: str = "blob", type: str = OCTETS, account: Id | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """A blob as a stream (§6.2): ``async with client.download(id) as blob: async for chunk in blob``."""
        account = account or self.account_for("Email")
        return blobs.download(self.connection, self.session, account, blob_id, name=name, type=type)

    @property
    def mail(self) -> Mail:
        """Mail in the primary account, as people speak of it. Raises NotSupported."""
        return Mail(self.exchange)

    @property
    def push(self) -> Push:
        """Signals that something changed; all that is watched is heard of by one stream of it."""
        return self.hub.push

    @overload
    def watch(self, kind: type[R], /, **options: Unpack[WatchOptions]) -> AsyncGenerator[Event[R], None]: ...
    @overload
    def watch(
        self, *kinds: type[Record] | str, **options: Unpack[WatchOptions]
    ) -> AsyncGenerator[Event[Record], None]: ...
    def watch(
        self, *kinds: type[Record] | str, **options: Unpack[WatchOptions]
    ) -> AsyncGenerator[Event[Any], None]:
        """Endless events of records of these types: see WatchOptions, and ``await event.ack()`` each.

        At least once: what is not acknowledged is given again after a restart. In order within a type, the
        types in turn. Raises what does not pass: Unauthorized, NotSupported, CursorError, a MethodError that
        will come again. Leaving the loop ends it soon; with ``contextlib.aclosing``, when the block is left.
        """
        return watch(self.exchange, self.hub, kinds, options)
