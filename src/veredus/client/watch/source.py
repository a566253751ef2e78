"""One type of one account as pages: what changed since a state, or all that is there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from veredus.client.batch import Batch
from veredus.client.calls import ChangesCall, GetCall, named
from veredus.client.errors import ProtocolError
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.client.results import Changes
from veredus.client.watch.listing import Listing
from veredus.client.watch.patience import Patience
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)
# Few enough that a restart repeats little, many enough that requests cost little.
PAGE = 250


class CannotCalculate(Exception):
    """The server cannot tell what changed since a state (RFC 8620 §5.2)."""


class Position(Struct, frozen=True, omit_defaults=True):
    """Changes are told from ``state``. ``in_pass``: before that, what was there then; ``after``: and what was
    received before is done (UTCDate). ``resync``: the pass is not the first one."""

    state: str
    in_pass: bool = False
    resync: bool = False
    after: str | None = None


class Page(Struct, Generic[R]):
    """``position``: what is reached with this page; None: no more than before. ``changed``: in all of
    ``updated``, None: not known. ``resync``: a full pass begins, and not the first one.
    ``complete``: such a one ends."""

    position: Position | None
    created: list[R] = field(default_factory=list)
    updated: list[R] = field(default_factory=list)
    destroyed: list[Id] = field(default_factory=list)
    changed: frozenset[str] | None = None
    resync: bool = False
    complete: bool = False
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
        self._listing = Listing(exchange, kind, account, self._properties, patience, self._extra)

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
            records = (await self._listing.get(ids, self._properties)).list
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
        Raises CannotCalculate, CannotList.
        """
        newcomers = Newcomers(self, since)
        async for listed in self._listing.pages(filter, self.most):
            records = await newcomers.removed(listed.records, listed.state)
            if listed.is_end and not records:
                # Newcomers alone are left; those who wait for the last of them may wait for ever.
                return
            yield records, listed.after

    async def there(self, ids: Sequence[Id]) -> set[Id]:
        """Those of ``ids`` that are there."""
        got = await self._patience.ask(partial(self._listing.get, ids, ["id"]))
        return {record.id for record in got.list}


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
