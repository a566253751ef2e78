"""The pages of one type, without an end: what is there, what changes, and again when they cannot be told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from veredus.client.record import Record
from veredus.client.watch.attention import Attention
from veredus.client.watch.listing import since
from veredus.client.watch.patience import Patience
from veredus.client.watch.source import CannotCalculate, Page, Position, Source

R = TypeVar("R", bound=Record)


class Feed(Attention, Generic[R]):
    """``poll_s``: the longest time between two looks."""

    def __init__(self, source: Source[R], patience: Patience, *, poll_s: float) -> None:
        super().__init__(source.account, source.type, patience)
        self.source, self._poll_s = source, poll_s

    async def pages(self, position: Position | None, *, start: str = "now") -> AsyncGenerator[Page[R], None]:
        """``position`` None: from now on, or with ``start`` "all" first what is there.

        A page that is empty but for its position says how far all is known. Raises what does not pass.
        """
        if position is None:
            position = Position(await self.source.state(), in_pass=start == "all")
            # Kept from the beginning: what is destroyed during a pass that is interrupted must be told, too.
            yield Page(position)
        while True:
            self.looking(position.state)
            try:
                async for page in caught_up(self.source, position):
                    position = page.position or position
                    self.reached(position.state)
                    yield page
            except CannotCalculate:
                yield Page(None, resync=True)
                position = Position(await self.source.state(), in_pass=True, resync=True)
                continue
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with its result.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self.wait()


async def caught_up(source: Source[R], position: Position) -> AsyncGenerator[Page[R], None]:
    """The pages from ``position`` to now. Raises CannotCalculate."""
    if position.in_pass:
        left = None if position.after is None else {"after": since(position.after)}
        async for records, after in source.everything(position.state, left):
            if records:
                yield Page(msgspec.structs.replace(position, after=after), records)
        was_resync, position = position.resync, Position(position.state)
        yield Page(position, complete=was_resync)
    while True:
        page = await source.changes(position.state)
        if page.position != position:
            yield page
        if not page.has_more or page.position is None:
            return
        position = page.position
