"""Several method calls in one request, with results by name (RFC 8620 §3.3)."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

from veredus.client.calls import (
    Call,
    ChangesCall,
    GetCall,
    Ids,
    QueryCall,
    QueryChangesCall,
    RawCall,
    SetCall,
    arguments,
    named,
)
from veredus.client.capabilities import has_account
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.wire.arguments import Invocation
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
Sort = Sequence[Mapping[str, Any]]


class Batch:
    """Put together inside ``async with``, and sent when that is left without an exception.

    The first call that failed raises its MethodError then; without ``raise_errors`` each call keeps its own.
    """

    def __init__(self, exchange: Exchange, account: Id | None, *, raise_errors: bool = True) -> None:
        self._exchange, self._account, self._raise = exchange, account, raise_errors
        self._calls: list[Call[Any]] = []
        self._using: set[str] = set()

    async def __aenter__(self) -> "Batch":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._calls:
            return
        await self._exchange.send(self._calls, using=sorted(self._using) or None)
        for call in self._calls:
            if self._raise and call.error is not None:
                raise call.error

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
        name, record = named(kind)
        account, invocation = self._invocation(f"{name}/get", {"ids": ids, "properties": properties, **extra})
        if ids is None:
            invocation.arguments["ids"] = None  # all of them; not the same as leaving it out everywhere
        return self._added(GetCall(invocation, account, record))

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
        values = {"filter": filter, "sort": sort, "limit": limit, **extra}
        account, invocation = self._invocation(f"{named(kind)[0]}/query", values)
        return self._added(QueryCall(invocation, account))

    def changes(
        self, kind: type[Record] | str, since: str, *, max_changes: int | None = None, **extra: Any
    ) -> ChangesCall:
        """Foo/changes (§5.2)."""
        values = {"sinceState": since, "maxChanges": max_changes, **extra}
        account, invocation = self._invocation(f"{named(kind)[0]}/changes", values)
        return self._added(ChangesCall(invocation, account))

    def query_changes(self, kind: type[Record] | str, since: str, **extra: Any) -> QueryChangesCall:
        """Foo/queryChanges (§5.6)."""
        account, invocation = self._invocation(
            f"{named(kind)[0]}/queryChanges", {"sinceQueryState": since, **extra}
        )
        return self._added(QueryChangesCall(invocation, account))

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
        values = {"create": create, "update": update, "destroy": destroy, "ifInState": if_in_state, **extra}
        account, invocation = self._invocation(f"{named(kind)[0]}/set", values)
        return self._added(SetCall(invocation, account))

    def call(
        self, method: str, values: Mapping[str, Any] | None = None, *, using: str | None = None
    ) -> RawCall:
        """Any method, with arguments by their wire names; ``accountId`` is added where it fails to be there.

        ``using``: the capability it belongs to, if it is not one of the RFCs'.
        """
        null = {name: None for name, value in (values or {}).items() if value is None}
        account, invocation = self._invocation(method, values or {})
        invocation.arguments.update(null)  # a vendor's method may tell it from what is absent
        if using is not None:
            self._using.add(using)
        return self._added(RawCall(invocation, account))

    def _invocation(self, method: str, values: Mapping[str, Any]) -> tuple[Id | None, Invocation]:
        given, call_id = arguments(values), str(len(self._calls))
        if not has_account(method):
            return None, Invocation(method, given, call_id)
        type = method.partition("/")[0]
        account = given.get("accountId") or self._account or self._exchange.account_for(type)
        return account, Invocation(method, {"accountId": account, **given}, call_id)

    def _added(self, call: "C") -> "C":
        self._calls.append(call)
        return call


C = TypeVar("C", bound=Call[Any])
