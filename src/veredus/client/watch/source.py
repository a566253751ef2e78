"""One type of one account as pages: what changed since a state, or all that is there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from veredus.client.batch import Batch
from veredus.client.calls import ChangesCall, GetCall, named
from veredus.client.chunks import get_in_chunks
from veredus.client.errors import MethodError, ProtocolError
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.client.results import Changes, Got
from veredus.client.watch.patience import Patience
from veredus.wire.types import Id, JsonObject

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


class Position(Struct, frozen=True, omit_defaults=True):
    """Changes are told from ``state``. ``in_pass``: before that, what was there then; ``after``: and what was
    received before is done (UTCDate)."""

    state: str
    in_pass: bool = False
    after: str | None = None


class Page(Struct, Generic[R]):
    """``position``: what is reached with this page; None: no more than before. ``changed``: in all of
    ``updated``, None: not known. ``resync``: a full pass begins, and not the first one."""

    position: Position | None
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
        exchange: Exchange,
        kind: type[R] | str,
        account: Id,
        properties: Sequence[str] | None,
        patience: Patience,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """``extra``: further arguments of Foo/get, by their wire names."""
        self._exchange, self.account = exchange, account
        self.type, self.kind = named(kind)
        self._properties = None if properties is None else sorted({"id", *properties})
        self._patience, self._extra = patience, extra or {}

    @property
    def most(self) -> int:
        """How many records to ask for at once."""
        return max(1, min(PAGE, self._exchange.session.limits.max_objects_in_get))

    async def state(self) -> str:
        """The state now."""

        async def ask() -> str:
            async with Batch(self._exchange, self.account) as batch:
                got = batch.get(self.kind, [], ["id"])
            return got.result.state

        return await self._patience.ask(ask)

    async def changes(self, since: str) -> Page[R]:
        """The next page. Raises CannotCalculate."""

        async def ask() -> Page[R]:
            async with Batch(self._exchange, self.account, raise_errors=False) as batch:
                changes = batch.changes(self.kind, since, max_changes=self.most)
                created = batch.get(self.kind, changes.created_ref, self._properties, **self._extra)
                updated = batch.get(self.kind, changes.updated_ref, self._properties, **self._extra)
            result = self._checked(changes, since)
            only = result.updated_properties
            return Page(
                Position(result.new_state),
                await self._records(created, result.created),
                await self._records(updated, result.updated),
                result.destroyed,
                None if only is None else frozenset(only),
                has_more=result.has_more_changes,
            )

        return await self._patience.ask(ask)

    async def created(self, since: str) -> Changes:
        """The next page, without records. Raises CannotCalculate."""

        async def ask() -> Changes:
            async with Batch(self._exchange, self.account, raise_errors=False) as batch:
                changes = batch.changes(self.kind, since)
            return self._checked(changes, since)

        return await self._patience.ask(ask)

    def _checked(self, changes: ChangesCall, since: str) -> Changes:
        """Raises CannotCalculate, ProtocolError, MethodError."""
        if changes.error is not None and changes.error.type == "cannotCalculateChanges":
            raise CannotCalculate(str(changes.error)) from changes.error
        result = changes.result
        if result.has_more_changes and result.new_state == since:
            raise ProtocolError(self._exchange.session.host, f"more changes of {self.type}, but no new state")
        return result

    async def _records(self, got: GetCall[R], ids: Sequence[Id]) -> list[R]:
        """In the order of ``ids``; what is gone by now is left out, later changes tell of it."""
        error = got.error
        if error is not None and error.type == "requestTooLarge":
            # RFC 8620 §5.2: at most maxChanges; some servers have thought otherwise.
            records = (await self._get(ids, self._properties)).list
        else:
            records = got.list
        by_id = {record.id: record for record in records}
        return [by_id[id] for id in ids if id in by_id]

    async def everything(
        self, since: str, filter: Mapping[str, Any] | None = None
    ) -> AsyncIterator[tuple[list[R], str | None]]:
        """All that was there at the state ``since`` and still is, oldest first, in pages of at most ``most``;
        with each, up to when all is done that was received (UTCDate; None: not known).

        What came since then is left out: changes tell of it, but would not if it were destroyed before that.
        Raises CannotCalculate.
        """
        newcomers = Newcomers(self, since)
        if self.type in _LISTED:
            async for records, state in self._listed(filter):
                after = self._received(records[-1])
                yield await newcomers.removed(records, state), after
            return
        got = await self._patience.ask(partial(self._get, None, self._properties))
        for at in range(0, len(got.list), self.most):
            yield await newcomers.removed(got.list[at : at + self.most], got.state), None

    def _received(self, record: R) -> str | None:
        date: str | None = record.get("receivedAt") if self.type == "Email" else None
        return date

    async def there(self, ids: Sequence[Id]) -> set[Id]:
        """Those of ``ids`` that are there."""
        got = await self._patience.ask(partial(self._get, ids, ["id"]))
        return {record.id for record in got.list}

    async def _get(self, ids: Sequence[Id] | None, properties: Sequence[str] | None) -> Got[R]:
        return await get_in_chunks(self._exchange, self.kind, ids, properties, self.account, self._extra)

    async def _listed(self, filter: Mapping[str, Any] | None) -> AsyncIterator[tuple[list[R], str]]:
        """(records, the state they were read at)."""
        seen: set[Id] = set()
        anchors: list[Id] = []
        while True:
            try:
                ids, got = await self._patience.ask(partial(self._after, anchors, filter))
            except MethodError as error:
                if not anchors or error.type != "anchorNotFound":
                    raise
                # Then after the one before it; when a whole page is gone, from the beginning.
                anchors = anchors[:-1]
                continue
            by_id = {record.id: record for record in got.list}
            fresh = [by_id[id] for id in ids if id in by_id and id not in seen]
            if fresh:
                yield fresh, got.state
            if not ids:
                return
            seen.update(ids)
            anchors = ids

    async def _after(
        self, anchors: Sequence[Id], filter: Mapping[str, Any] | None
    ) -> tuple[list[Id], Got[R]]:
        where: JsonObject = {"anchor": anchors[-1], "anchorOffset": 1} if anchors else {}
        async with Batch(self._exchange, self.account) as batch:
            sort = _LISTED[self.type] or None
            query = batch.query(self.kind, filter, sort, limit=self.most, **where)
            got = batch.get(self.kind, query.ids_ref, self._properties, **self._extra)
        return query.ids, got.result


class Newcomers:
    """What was created since a state, as far as it is not destroyed again."""

    def __init__(self, source: Source[Any], since: str) -> None:
        self._source, self._since = source, since
        self._state = since
        self._ids: set[Id] = set()

    async def removed(self, records: list[R], state: str) -> list[R]:
        """``records``, read at ``state``, without newcomers.

        One that is created and destroyed between two looks is in no list of changes (RFC 8620 §5.2). Such a
        one is not there any more when the list has been read; all others are in it.
        """
        if state == self._since:
            return records
        has_more = True
        while has_more:
            changes = await self._source.created(self._state)
            self._ids.update(changes.created)
            self._state, has_more = changes.new_state, changes.has_more_changes
        there = await self._source.there([record.id for record in records])
        return [record for record in records if record.id in there and record.id not in self._ids]
