"""A local copy of an account: kept up to date by /changes, read without the server."""

import asyncio
import builtins
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from msgspec import Struct

from veredus.client.batch import Sort
from veredus.client.calls import named
from veredus.client.record import Record
from veredus.client.replica.database import Database
from veredus.client.replica.errors import ReplicaError
from veredus.client.replica.follow import Track
from veredus.client.replica.plan import Plan, typed
from veredus.client.replica.select import Emails, Selection, plain
from veredus.client.replica.sort import ordered
from veredus.client.replica.table import Applied, Table, read, read_ids
from veredus.client.results import Got
from veredus.client.search import Context, Mailboxes, SearchError, parse
from veredus.client.watch.attention import Attention
from veredus.client.watch.events import Created, Destroyed, Event, Updated
from veredus.client.watch.ledger import Ledger
from veredus.client.watch.patience import Patience
from veredus.client.watch.remembered import changed
from veredus.wire.types import Id

if TYPE_CHECKING:
    from veredus.client.client import Client

R = TypeVar("R", bound=Record)
Filter = Mapping[str, Any] | str | None
_NEWEST: Sort = ({"property": "receivedAt", "isAscending": False},)
_POLL_S = 600.0


class Synced(Struct):
    """How many records of the file were created, updated and destroyed."""

    created: int = 0
    updated: int = 0
    destroyed: int = 0

    def add(self, applied: Applied) -> None:
        self.created += len(applied.created)
        self.updated += len(applied.updated)
        self.destroyed += len(applied.destroyed)


class Replica:
    """Open at most once at a time; ``async with`` or ``close`` frees the file.

    What is read is as it was when ``sync`` or ``follow`` last wrote, and may be read while they do.
    """

    def __init__(self, client: "Client | None", database: Database, plan: Plan) -> None:
        self._client, self._database, self._plan = client, database, plan
        self._writing = asyncio.Lock()
        self._tracks: builtins.list[Track] = []
        self._patience = Patience(0.0)

    @classmethod
    async def open(
        cls,
        client: "Client | None",
        path: Path | str,
        keep: Mapping[str, str | None] | None = None,
        *,
        bodies: bool = False,
        properties: Mapping[str, Sequence[str]] | None = None,
        account: Id | None = None,
    ) -> "Replica":
        """``client`` None: to read only what is there. ``account``: else the primary one of each type.

        ``keep``: which types, and of Email by a search which ones; by default all Emails and Mailboxes.
        ``bodies``: with their text. ``properties``: of a type, others than the usual ones. With another
        ``keep``, ``bodies`` or ``properties`` than before, ``sync`` reads all anew.

        Raises ReplicaError for a file that is in use, or is not this account's; SearchError for ``keep``.
        """
        plan = Plan(
            keep if keep is not None else {"Mailbox": None, "Email": None}, properties or {}, bodies=bodies
        )
        database = await Database.open(Path(path))
        replica = cls(client, database, plan)
        try:
            if client is not None:
                await replica._claim(client, account)
        except BaseException:
            await database.close()
            raise
        return replica

    async def __aenter__(self) -> "Replica":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """What is being written is finished first."""
        await self._database.close()

    async def _claim(self, client: "Client", account: Id | None) -> None:
        """The file is of this account from now on, and holds the types that it was opened for."""
        user = client.session.username
        for type, keep in self._plan.keep.items():
            table = Table(type, keep.holds)
            wanted = (user, account or client.account_for(type))
            found = await self._database.run(partial(table.declare, user=wanted[0], account=wanted[1]))
            if found != wanted:
                raise ReplicaError(
                    f"{self._database.path} holds {type} of account {found[1]} of {found[0]}, "
                    f"not of {wanted[1]} of {wanted[0]}"
                )
            properties, extra = self._plan.fetched(type)
            self._tracks.append(
                Track(client, self._database, table, wanted[1], keep, properties, self._patience, extra)
            )
        names = await self._database.run(lambda db: db.execute("SELECT name FROM type").fetchall())
        for (name,) in names:
            if name not in self._plan.keep:
                await self._database.run(Table(name, lambda _: True).forget)

    async def sync(self) -> Synced:
        """Bring the file up to date once. Raises what the client raises; what was done by then is kept."""
        self._require_client()
        synced = Synced()
        async with self._writing:
            for track in self._tracks:
                async for applied in track.bring_up_to_date():
                    synced.add(applied)
        return synced

    async def follow(
        self, *, give_up_after_s: float | None = None, poll_s: float = _POLL_S
    ) -> AsyncGenerator[Event[Any], None]:
        """Keep the file up to date, and tell what that changed in it; first what ``sync`` would do.

        An event is told once, after it is in the file: it needs no ``ack``. There is no Resync: what has
        vanished is told as Destroyed. Transport trouble is waited for; raises what does not pass.
        """
        client = self._require_client()
        news = asyncio.Event()
        async with self._writing:
            self._patience.allow(give_up_after_s)
            waits = [Attention(each.account, each.table.type, self._patience, news) for each in self._tracks]
            try:
                async with AsyncExitStack() as stack:
                    for each in waits:
                        await stack.enter_async_context(client.hub.joined(each))
                    while True:
                        for track, attention in zip(self._tracks, waits, strict=True):
                            if attention.is_due:
                                attention.looking(await track.state())
                                async for applied in track.bring_up_to_date():
                                    for event in _events(track, applied):
                                        yield event
                                attention.reached(await track.state())
                        await _news(waits, poll_s)
            finally:
                self._patience.allow(0.0)

    def _require_client(self) -> "Client":
        if self._client is None:
            raise ReplicaError(f"{self._database.path}: opened without a client, it can only be read")
        return self._client

    @overload
    async def get(self, kind: type[R], ids: Sequence[Id] | None = None) -> Got[R]: ...
    @overload
    async def get(self, kind: str, ids: Sequence[Id] | None = None) -> Got[Record]: ...
    async def get(self, kind: type[R] | str, ids: Sequence[Id] | None = None) -> Got[Any]:
        """Records as Foo/get gives them, with the properties that are kept. ``ids`` None: all that are kept.

        ``state`` is empty before the first sync.
        """
        name, record = named(kind)
        table = self._table(name)

        def work(db: Any) -> Got[Any]:
            found = [json for _, json in read(db, name)] if ids is None else read_ids(db, name, ids)
            there = {json["id"] for json in found}
            missing = [id for id in ids or () if id not in there]
            return Got([record(json) for json in found], missing, table.state(db) or "")

        return await self._database.run(work)

    @overload
    async def query(
        self,
        kind: type[R],
        filter: Filter = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        zone: tzinfo = UTC,
    ) -> list[R]: ...
    @overload
    async def query(
        self,
        kind: str,
        filter: Filter = None,
        sort: Sort | None = None,
        *,
        limit: int | None = None,
        zone: tzinfo = UTC,
    ) -> list[Record]: ...
    async def query(
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
        name, record = typed(kind)
        self._table(name)

        def work(db: Any) -> list[Any]:
            selection = _selection(db, name, filter, self._plan, zone)
            found = [(n, record(json)) for n, json in read(db, name, selection.only)]
            selected = [each for n, each in found if selection.test(n, each)]
            by = sort if sort is not None else _NEWEST if name == "Email" else ()
            return ordered(selected, by)[:limit]

        return await self._database.run(work)

    async def search(self, search: str, *, limit: int | None = None, zone: tzinfo = UTC) -> list[Any]:
        """Emails that a search selects, newest first: ``await replica.search("invoice from:bob")``."""
        return await self.query("Email", search, limit=limit, zone=zone)

    def _table(self, type: str) -> Table:
        if type not in self._plan.keep:
            raise ReplicaError(f"{self._database.path} keeps no {type}: name it in keep")
        return Table(type, self._plan.keep[type].holds)


def _selection(db: Any, type: str, filter: Filter, plan: Plan, zone: tzinfo) -> Selection:
    if type != "Email":
        if isinstance(filter, str):
            raise SearchError(f"a search finds Emails; for {type} give a filter")
        return plain(filter or {})
    context = Context(Mailboxes(json for _, json in read(db, "Mailbox")), datetime.now(UTC), zone)
    emails = Emails(db, context, with_body=plan.bodies)
    return emails.search(parse(filter)) if isinstance(filter, str) else emails.filter(filter or {})


async def _news(waits: Sequence[Attention], poll_s: float) -> None:
    """Return when one of them is due; after ``poll_s`` all are."""
    try:
        async with asyncio.timeout(poll_s):
            while not any(each.is_due for each in waits):
                await waits[0].wait()
    except TimeoutError:
        for each in waits:
            each.is_due = True


async def _nothing(_: str) -> None:
    """The file is the cursor, and it is saved already."""


def _events(track: Track, applied: Applied) -> builtins.list[Event[Any]]:
    type, account = track.table.type, track.account
    count = len(applied.created) + len(applied.updated) + len(applied.destroyed)
    entry = Ledger(_nothing).add(count, None)
    record = typed(type)[1]
    events: builtins.list[Event[Any]] = [
        Created(record=record(json), type=type, account=account, entry=entry) for json in applied.created
    ]
    for json_before, json in applied.updated:
        before, after = record(json_before), record(json)
        names = changed(before, after)
        events.append(
            Updated(record=after, changed=names, before=before, type=type, account=account, entry=entry)
        )
    events.extend(Destroyed(id=id, type=type, account=account, entry=entry) for id in applied.destroyed)
    return events
