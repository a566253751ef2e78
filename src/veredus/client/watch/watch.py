"""Watching: what happens to the records of some types, each event at least once (RFC 8620 §5.2, §7)."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, Generic, Literal, TypedDict, TypeVar

import msgspec

from veredus.client.cursors import Cursor, CursorError, MemoryCursor
from veredus.client.exchange import Exchange
from veredus.client.record import Record
from veredus.client.watch.events import Complete, Created, Destroyed, Event, Resync, Updated
from veredus.client.watch.feed import Feed
from veredus.client.watch.hub import Hub
from veredus.client.watch.ledger import Entry, Ledger
from veredus.client.watch.patience import Patience
from veredus.client.watch.properties import Properties, properties_of
from veredus.client.watch.remembered import Remembered, changed
from veredus.client.watch.source import Page, Position, Source
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)
# Of each type, so many pages are read ahead while the consumer works.
PREFETCH = 2
_encode = msgspec.json.Encoder().encode
POLL_S = 600.0


class WatchOptions(TypedDict, total=False):
    """``cursor``: where it is kept how far all is acknowledged; without one, each start is a first one.
    ``name``: of this watcher, where several keep theirs in one place.

    ``properties``: a list, or lists by type; without it, all. ``account``: else the primary one of each type.
    ``start``: what a first start gives: "now" only what changes from now on, "all" also what is there.
    ``auto_ack``: an event counts as acknowledged when the next one is asked for.
    ``remember``: so many records of each type are remembered, so that ``Updated`` can say what changed.
    ``give_up_after_s``: how long transport trouble may last; without it, for ever.
    ``poll_s``: the longest time without a look at /changes, should push fail to tell.
    """

    cursor: Cursor | None
    name: str
    properties: Properties
    account: Id | None
    start: Literal["now", "all"]
    auto_ack: bool
    remember: int
    give_up_after_s: float | None
    poll_s: float


def watch(
    exchange: Exchange, hub: Hub, kinds: Sequence[type[Record] | str], options: WatchOptions
) -> AsyncGenerator[Event[Any], None]:
    """See Client.watch. Raises ValueError."""
    if not kinds:
        raise ValueError("nothing to watch: name a data type")
    wanted = properties_of(kinds, options.get("properties"))
    if len(wanted) < len(kinds):
        raise ValueError("a data type is named twice")
    if options.get("poll_s", POLL_S) <= 0:
        raise ValueError("poll_s must be more than 0")
    if options.get("start", "now") not in ("now", "all"):
        raise ValueError(f"start is 'now' or 'all', not {options.get('start')!r}")
    queues = [_Queue(exchange, kind, wanted, options) for kind in kinds]
    return _events(queues, hub, auto_ack=options.get("auto_ack", False))


async def _events(
    queues: "list[_Queue[Any]]", hub: Hub, *, auto_ack: bool
) -> AsyncGenerator[Event[Any], None]:
    """One of each type in turn, as long as there are any."""
    news = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    async with AsyncExitStack() as stack:
        try:
            for queue in queues:
                await stack.enter_async_context(hub.joined(queue.feed))
                tasks.append(asyncio.create_task(queue.run(news), name=f"watch-{queue.feed.type}"))
                tasks[-1].add_done_callback(lambda _: news.set())
            while True:
                news.clear()
                given = False
                for queue in queues:
                    event = queue.take()
                    if event is not None:
                        given = True
                        yield event
                        if auto_ack:
                            await event.ack()
                if not given:
                    for task in tasks:
                        if task.done():
                            task.result()
                    await news.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Queue(Generic[R]):
    """The events of one type: a task reads pages ahead of the consumer."""

    def __init__(
        self,
        exchange: Exchange,
        kind: type[R] | str,
        properties: dict[str, list[str] | None],
        options: WatchOptions,
    ) -> None:
        patience = Patience(options.get("give_up_after_s"))
        type = kind if isinstance(kind, str) else kind.TYPE
        account = options.get("account") or exchange.account_for(type)
        source: Source[Any] = Source(exchange, kind, account, properties[type], patience)
        self.feed = Feed(source, patience, poll_s=options.get("poll_s", POLL_S))
        self._start = options.get("start", "now")
        self._cursor = options.get("cursor") or MemoryCursor()
        self._key = f"{options.get('name', 'watch')}/{exchange.session.username}/{account}/{type}"
        self._ledger = Ledger(lambda state: self._cursor.save(self._key, state))
        self._remembered: Remembered[R] = Remembered(options.get("remember", 0))
        self._pages: deque[deque[Event[R]]] = deque()
        self._room = asyncio.Event()

    async def run(self, news: asyncio.Event) -> None:
        """Fill the queue; ``news`` is set when there is something. Raises what does not pass."""
        position = await self._load()
        async with aclosing(self.feed.pages(position, start=self._start)) as pages:
            async for page in pages:
                events = self._entered(page)
                if not events:
                    await self._ledger.settle()
                    continue
                self._pages.append(events)
                news.set()
                while len(self._pages) > PREFETCH:
                    self._room.clear()
                    await self._room.wait()

    async def _load(self) -> Position | None:
        value = await self._cursor.load(self._key)
        try:
            return None if value is None else msgspec.json.decode(value, type=Position)
        except msgspec.MsgspecError as error:
            raise CursorError(f"cursor {self._key} is not one of a watcher: {error}") from None

    def take(self) -> Event[R] | None:
        """The next event, if there is one now."""
        if not self._pages:
            return None
        page = self._pages[0]
        event = page.popleft()
        if not page:
            self._pages.popleft()
            self._room.set()
        return event

    def _entered(self, page: Page[R]) -> deque[Event[R]]:
        """The events of a page, which is in the ledger from now on."""
        count = len(page.created) + len(page.updated) + len(page.destroyed) + page.resync + page.complete
        entry = self._ledger.add(count, None if page.position is None else _encode(page.position).decode())
        type, account = self.feed.type, self.feed.account
        events: deque[Event[R]] = deque()
        if page.resync:
            events.append(Resync(type=type, account=account, entry=entry))
        for record in page.created:
            self._remembered.put(record)
            events.append(Created(record=record, type=type, account=account, entry=entry))
        for record in page.updated:
            events.append(self._updated(record, page.changed, entry))
        for id in page.destroyed:
            self._remembered.drop(id)
            events.append(Destroyed(id=id, type=type, account=account, entry=entry))
        if page.complete:
            events.append(Complete(type=type, account=account, entry=entry))
        return events

    def _updated(self, record: R, names: frozenset[str] | None, entry: Entry) -> Updated[R]:
        before = self._remembered.put(record)
        if names is None and before is not None:
            names = changed(before, record)
        return Updated(
            record=record,
            changed=names,
            before=before,
            type=self.feed.type,
            account=self.feed.account,
            entry=entry,
        )
