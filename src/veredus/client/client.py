"""The client: one user at one server (RFC 8620)."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload
from urllib.parse import urljoin

import msgspec

from veredus.client import blobs
from veredus.client.batch import Batch, Sort
from veredus.client.blobs import OCTETS, Data, Download
from veredus.client.calls import Call, named
from veredus.client.capabilities import capability_of, is_reading, using
from veredus.client.chunks import get_in_chunks, set_in_chunks
from veredus.client.credentials import Basic, Bearer, Credentials, TokenFile
from veredus.client.discovery import candidates
from veredus.client.errors import JMAPError, LimitError, ProtocolError, SetErrors, TransportError
from veredus.client.http import Connection
from veredus.client.query import Query
from veredus.client.record import Record
from veredus.client.results import Changes, Got, SetResult, Uploaded
from veredus.client.session import CORE, Session, decode_session
from veredus.wire.arguments import Response
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
_decode = msgspec.json.Decoder(Response).decode
_encode = msgspec.json.Encoder().encode
PAGE = 100


class Client:
    """Use it inside ``async with``: ``async with Client.connect("alice@example.com", token=…) as client``.

    Methods that take ``account`` use the primary account for the data type's capability by default. They
    raise what ``client.errors`` lists, and nothing else for what happens on the network or at the server.
    """

    def __init__(self, connection: Connection, server: str) -> None:
        self.connection = connection
        self._server = server
        self._session: Session | None = None
        self._seen_state = ""
        self._stale = False
        self._refreshing = asyncio.Lock()
        self._slots = asyncio.Semaphore(1)

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
        tls_ca: Path | None = None,
    ) -> "Client":
        """``server``: an address or domain to discover it from (§2.2), or the URL of its Session resource.

        At most one kind of credentials. Nothing is sent before ``async with``.
        """
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
        return cls(connection, server)

    async def __aenter__(self) -> "Client":
        await self.connection.__aenter__()
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

    @property
    def session(self) -> Session:
        """The Session object (§2), as it was last fetched."""
        if self._session is None:
            raise RuntimeError("the client has no session: use it inside `async with`")
        return self._session

    @property
    def host(self) -> str:
        return self.session.host

    async def refresh_session(self) -> Session:
        """Fetch the Session object; done by itself when the server says that it has changed (§3.4)."""
        async with self._refreshing:
            if self._session is not None:
                session = decode_session(*await self.connection.fetch(self._session.url))
            else:
                session = await self._discover()
            if self._session is None or self._session.limits != session.limits:
                self._slots = asyncio.Semaphore(max(1, session.limits.max_concurrent_requests))
            self._session, self._stale = session, False
            return session

    async def _discover(self) -> Session:
        failures: list[JMAPError] = []
        for url in await candidates(self._server):
            try:
                return decode_session(*await self.connection.fetch(url))
            except TransportError as error:
                failures.append(error)
        if not failures:
            raise JMAPError(f"{self._server}: no JMAP server to try")
        # The last place is the one that every server must have; a refusal says more than a missing host.
        raise next((error for error in failures if getattr(error, "status", None)), failures[-1])

    def account_for(self, method: str) -> Id:
        """The account that a method of this name works on by default. Raises NotSupported."""
        return self.session.account_for(capability_of(method.partition("/")[0]) or CORE)

    async def send(
        self,
        calls: Sequence[Call[Any]],
        *,
        using: Sequence[str] | None = None,
        created_ids: Mapping[Id, Id] | None = None,
    ) -> Response:
        """One request; each call is given its response. ``using``: further capabilities.

        Raises TransportError, RequestError, LimitError, NotSupported; MethodErrors stay with their calls.
        """
        if self._stale:
            await self.refresh_session()
        session = self.session
        body, repeatable = self._request(session, calls, using, created_ids)
        url = urljoin(session.url, session.api_url)
        async with self._slots:
            response = await self.connection.post(url, body, self._response, repeatable=repeatable)
        self._notice(response.session_state)
        by_id = {call.invocation.call_id: call for call in calls}
        answered = set()
        for name, arguments, call_id in response.method_responses:
            call = by_id.get(call_id)
            # A second response of one call is of another method, which the first implied (RFC 8621 §7.5).
            if call is not None and call_id not in answered:
                call.answered(name, arguments, session.host)
                answered.add(call_id)
        if len(answered) < len(by_id):
            missing = next(call.invocation.name for id, call in by_id.items() if id not in answered)
            raise ProtocolError(session.host, f"there is no response to {missing}")
        return response

    def _request(
        self,
        session: Session,
        calls: Sequence[Call[Any]],
        more: Sequence[str] | None,
        created_ids: Mapping[Id, Id] | None,
    ) -> tuple[bytes, bool]:
        """The request's body, and whether it may be sent twice."""
        limits, names = session.limits, [call.invocation.name for call in calls]
        if len(calls) > limits.max_calls_in_request:
            raise LimitError(session.host, "maxCallsInRequest", limits.max_calls_in_request, len(calls))
        types = {name.partition("/")[0] for name in names}
        capabilities = using(types, session)
        for capability in more or ():
            session.require(capability)
        request: JsonObject = {
            "using": sorted({*capabilities, *(more or ())}),
            "methodCalls": [call.invocation for call in calls],
        }
        if created_ids:
            request["createdIds"] = created_ids
        body = _encode(request)
        if len(body) > limits.max_size_request:
            raise LimitError(session.host, "maxSizeRequest", limits.max_size_request, len(body))
        return body, all(map(is_reading, names))

    def _response(self, body: bytes) -> Response:
        try:
            return _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolError(self.session.host, f"the answer is no Response object: {error}") from None

    def _notice(self, state: str) -> None:
        """The session is fetched again when its state moves; once, should a server's two never agree."""
        if state not in (self.session.state, self._seen_state):
            self._stale = True
        self._seen_state = state

    def batch(self, account: Id | None = None, *, raise_errors: bool = True) -> Batch:
        """Several calls in one request: see Batch."""
        return Batch(self, account, raise_errors=raise_errors)

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
        return await get_in_chunks(self, named(kind)[1], ids, properties, account, extra)

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
        return Query(self, named(kind)[1], arguments, properties, limit=limit, page=page, account=account)

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
        result = await set_in_chunks(self, name, changes, account, if_in_state, chunk=chunk, extra=extra)
        if raise_errors and result.errors:
            raise SetErrors(self.host, f"{name}/set", account, result)
        return result

    async def upload(self, data: Data, type: str = OCTETS, *, account: Id | None = None) -> Uploaded:
        """Store octets (§6.1): bytes, a file, or an iterator of chunks, which cannot be tried again."""
        account = account or self.account_for("Email/set")
        return await blobs.upload(self.connection, self.session, account, data, type)

    def download(
        self, blob_id: Id, *, name: str = "blob", type: str = OCTETS, account: Id | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """A blob as a stream (§6.2): ``async with client.download(id) as blob: async for chunk in blob``."""
        account = account or self.account_for("Email/get")
        return blobs.download(self.connection, self.session, account, blob_id, name=name, type=type)
