"""One type of one account as pages: what changed since a state, or all that is there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct, field

from veredus.client.calls import Call, GetCall, named
from veredus.client.errors import MethodError, ProtocolError
from veredus.client.record import Record
from veredus.client.watch.patience import Patience
from veredus.wire.types import Id, JsonObject

if TYPE_CHECKING:
    from veredus.client.client import Client

R = TypeVar("R", bound=Record)
# Few enough that a restart repeats little, many enough that requests cost little.
PAGE = 250
# Types whose records may be very many, and how they are listed: oldest first, where they have an age.
_LISTED: dict[str, list[JsonObject]] = {
    "Email": [{"property": "receivedAt", "isAscending": True}],
    "EmailSubmission": [{"property": "sentAt", "isAscending": True}],
    "ContactCard": [],
    "CalendarEvent": [],
}


class CannotCalculate(Exception):
    """The server cannot tell what changed since a state (RFC 8620 §5.2)."""


class Page(Struct, Generic[R]):
    """``state``: what is reached with this page; None: a full pass has more. ``changed``: in all of
    ``updated``, None: not known. ``resync``: a full pass begins, and not the first one."""

    state: str | None
    created: list[R] = field(default_factory=list)
    updated: list[R] = field(default_factory=list)
    destroyed: list[Id] = field(default_factory=list)
    changed: frozenset[str] | None = None
    resync: bool = False
    has_more: bool = False


class Source(Generic[R]):
    """Reads with patience. Raises what the client raises and does not pass."""

    def __init__(
        self,
        client: "Client",
        kind: type[R],
        account: Id,
        properties: Sequence[str] | None,
        patience: Patience,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """``extra``: further arguments of Foo/get, by their wire names."""
        self.client, self.account = client, account
        self.type, self.kind = named(kind)
        self._properties = None if properties is None else sorted({"id", *properties})
        self._patience, self._extra = patience, extra or {}

    @property
    def most(self) -> int:
        """How many records to ask for at once."""
        return max(1, min(PAGE, self.client.session.limits.max_objects_in_get))

    async def state(self) -> str:
        """The state now."""

        async def ask() -> str:
            async with self.client.batch(self.account) as batch:
                got = batch.get(self.kind, [], ["id"])
            return got.result.state

        return await self._patience.ask(ask)

    async def changes(self, since: str) -> Page[R]:
        """The next page. Raises CannotCalculate."""

        async def ask() -> Page[R]:
            async with self.client.batch(self.account, raise_errors=False) as batch:
                changes = batch.changes(self.kind, since, max_changes=self.most)
                created = batch.get(self.kind, changes.created_ref, self._properties, **self._extra)
                updated = batch.get(self.kind, changes.updated_ref, self._properties, **self._extra)
            _check(changes)
            result = changes.result
            if result.has_more_changes and result.new_state == since:
                raise ProtocolError(self.client.host, f"more changes of {self.type}, but no new state")
            only = result.updated_properties
            return Page(
                result.new_state,
                await self._records(created, result.created),
                await self._records(updated, result.updated),
                result.destroyed,
                None if only is None else frozenset(only),
                has_more=result.has_more_changes,
            )

        return await self._patience.ask(ask)

    async def _records(self, got: GetCall[R], ids: Sequence[Id]) -> list[R]:
        """In the order of ``ids``; what is gone by now is left out, later changes tell of it."""
        error = got.error
        if error is not None and error.type == "requestTooLarge":
            # RFC 8620 §5.2: at most maxChanges; some servers have thought otherwise.
            got_all = await self.client.get(
                self.kind, ids, self._properties, account=self.account, **self._extra
            )
            records = got_all.list
        else:
            records = got.list
        by_id = {record.id: record for record in records}
        return [by_id[id] for id in ids if id in by_id]

    async def everything(
        self, filter: Mapping[str, Any] | None = None, *, wanted: bool = True
    ) -> AsyncIterator[list[R]]:
        """All that is there, oldest first, in pages of at most ``most``.

        What is there from the first request to the last is given once; of what comes or goes meanwhile,
        changes tell since the state before.
        """
        if self.type in _LISTED:
            async for page in self._listed(filter):
                yield page
            return

        async def ask() -> list[R]:
            got = await self.client.get(
                self.kind, None, self._properties, account=self.account, **self._extra
            )
            return got.list

        records = await self._patience.ask(ask)
        for at in range(0, len(records), self.most):
            yield records[at : at + self.most]

    async def _listed(self, filter: Mapping[str, Any] | None) -> AsyncIterator[list[R]]:
        seen: set[Id] = set()
        anchor: Id | None = None
        while True:
            try:
                ids, records = await self._patience.ask(lambda after=anchor: self._after(after, filter))
            except MethodError as error:
                if anchor is None or error.type != "anchorNotFound":
                    raise
                # The position it had is not known, so from the beginning; what was given is not given again.
                anchor = None
                continue
            fresh = [record for record in records if record.id not in seen]
            if fresh:
                yield fresh
            if not ids:
                return
            seen.update(ids)
            anchor = ids[-1]

    async def _after(
        self, anchor: Id | None, filter: Mapping[str, Any] | None
    ) -> tuple[list[Id], list[R]]:
        where: JsonObject = {} if anchor is None else {"anchor": anchor, "anchorOffset": 1}
        async with self.client.batch(self.account) as batch:
            sort = _LISTED[self.type] or None
            query = batch.query(self.kind, filter, sort, limit=self.most, **where)
            got = batch.get(self.kind, query.ids_ref, self._properties, **self._extra)
        by_id = {record.id: record for record in got.list}
        return query.ids, [by_id[id] for id in query.ids if id in by_id]


def _check(changes: Call[Any]) -> None:
    """Raises CannotCalculate, MethodError."""
    if changes.error is None:
        return
    if changes.error.type == "cannotCalculateChanges":
        raise CannotCalculate(str(changes.error)) from changes.error
    raise changes.error
