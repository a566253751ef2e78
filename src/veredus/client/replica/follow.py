"""Bringing one type of a replica up to date."""

import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from veredus.client.record import Record
from veredus.client.replica.database import Database
from veredus.client.replica.keep import Keep
from veredus.client.replica.table import Applied, Table
from veredus.client.search import Mailboxes
from veredus.client.search.mailboxes import PROPERTIES
from veredus.client.watch.patience import Patience
from veredus.client.watch.source import CannotCalculate, Source
from veredus.wire.types import Id

if TYPE_CHECKING:
    from veredus.client.client import Client

# What a search asks for changes with the time; it is looked after so often.
_PRUNE_S = 3600.0


class Track:
    """``properties`` None: all. Raises what the client raises, and ReplicaError."""

    def __init__(
        self,
        client: "Client",
        database: Database,
        table: Table,
        account: Id,
        keep: Keep,
        properties: list[str] | None,
        patience: Patience,
        extra: Mapping[str, Any],
    ) -> None:
        self._client, self._database, self.table, self.account, self._keep = (
            client, database, table, account, keep,
        )  # fmt: skip
        self._patience = patience
        self._source: Source[Record] = Source(
            client.exchange, table.type, account, properties, patience, extra
        )
        self._shaped_by = (keep.search, properties, sorted(extra.items()))
        self._pruned_at: float | None = None

    async def state(self) -> str | None:
        """Up to where the file is."""
        return (await self._database.run(self.table.position)).state

    async def bring_up_to_date(self) -> AsyncGenerator[Applied, None]:
        """Page by page; each is durable, with its state, when it is given."""
        shape = await self._shape()
        if self._keep.ages and self._prune_is_due():
            yield await self._database.run(self.table.prune)
        while True:
            try:
                async for applied in self._changes(shape):
                    yield applied
                return
            except CannotCalculate:
                await self._begin(shape)

    async def _changes(self, shape: str) -> AsyncGenerator[Applied, None]:
        """Raises CannotCalculate."""
        position = await self._database.run(self.table.position)
        if position.shape != shape or position.state is None:
            async for applied in self._pass(shape):
                yield applied
        has_more = True
        while has_more:
            state = await self.state()
            page = await self._source.changes(state or "")
            has_more = page.has_more
            if page.position is not None and page.position.state != state:
                yield await self._database.run(
                    partial(
                        self.table.apply,
                        records=[record.json for record in (*page.created, *page.updated)],
                        destroyed=page.destroyed,
                        state=page.position.state,
                    )
                )

    async def _shape(self) -> str:
        """What the records were chosen by; another one, and all must be read again."""
        boxes: list[Id] = []
        if self._keep.names_mailboxes:
            got = await self._patience.ask(
                lambda: self._client.get("Mailbox", None, PROPERTIES, account=self.account)
            )
            boxes = self._keep.mailboxes(Mailboxes(got.list))
        return msgspec.json.encode([*self._shaped_by, boxes]).decode()

    async def _begin(self, shape: str) -> None:
        # The state first: what changes while all is read, is told from it afterwards.
        state = await self._source.state()
        await self._database.run(partial(self.table.begin_pass, shape=shape, state=state))

    async def _pass(self, shape: str) -> AsyncGenerator[Applied, None]:
        """Read all that is there, or what is left of that."""
        position = await self._database.run(self.table.position)
        if position.shape != shape or position.pass_state is None:
            await self._begin(shape)
            position = await self._database.run(self.table.position)
        filter = self._keep.filter(position.pass_after) if self.table.type == "Email" else None
        async for records, after in self._source.everything(position.pass_state or "", filter):
            if not records:
                continue
            yield await self._database.run(
                partial(self.table.put_pass, records=[each.json for each in records], after=after)
            )
        yield await self._database.run(self.table.end_pass)

    def _prune_is_due(self) -> bool:
        now = time.monotonic()
        due = self._pruned_at is None or now - self._pruned_at >= _PRUNE_S
        if due:
            self._pruned_at = now
        return due
