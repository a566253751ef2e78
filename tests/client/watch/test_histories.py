"""After any history and any crashes: the events that were told, replayed, are what the server has."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from client.watch.histories import HISTORIES, begin, dice, everything, go_on
from client.world import World, new_world
from veredus.client.client import Client
from veredus.client.cursors import MemoryCursor
from veredus.client.watch import Created, Destroyed, Event, Resync, Updated

LOST = '{"state":"of another life"}'
COUNTERS = {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
PROPERTIES = {"Email": ["mailboxIds", "keywords", "threadId"], "Mailbox": ["name", "parentId", "role"]}


class Consumer:
    """Its ``records`` are all that it knows, and outlive every crash, as its cursor does.

    ``doubtful``: ids it was told of, but crashed before the cursor could move past that. Should such a record
    be gone at the next start, no list of changes names it (RFC 8620 §5.2), and nobody can tell.
    """

    def __init__(self, world: World, client: Client) -> None:
        self.world, self.client = world, client
        self.cursor = MemoryCursor()
        self.records: dict[str, dict[str, Any]] = {type: {} for type in PROPERTIES}
        self.doubtful: set[str] = set()

    def watch(self) -> AsyncGenerator[Event[Any], None]:
        return self.client.watch(
            *PROPERTIES, cursor=self.cursor, properties=PROPERTIES, start="all", remember=3
        )

    def apply(self, event: Event[Any]) -> None:
        known = self.records[event.type]
        match event:
            case Created(record):
                known[record.id] = record.json
            case Updated(record, changed):
                assert changed is None or changed <= {*PROPERTIES[event.type], *COUNTERS}
                known[record.id] = record.json
            case Destroyed(id):
                known.pop(id, None)
            case Resync():
                known.clear()

    async def crash(self, events: int, seed: int) -> None:
        """Take some, do some of the work, acknowledge some of that in any order, and be gone at any moment."""
        chance = dice(seed)
        if chance.random() < 0.1:
            await self.cursor.save(self._key(chance.choice(sorted(PROPERTIES))), LOST)
        taken: list[Event[Any]] = []
        with suppress(TimeoutError):
            async with aclosing(self.watch()) as watch, asyncio.timeout(chance.choice([0.003, 0.02, 0.1])):
                for _ in range(events):
                    taken.append(await anext(watch))
                    self.apply(taken[-1])
        if chance.random() < 0.8:
            chance.shuffle(taken)
            for event in taken[chance.randint(0, 2) :]:
                await event.ack()
        for event in taken:
            if isinstance(event, Created):
                is_open = event.entry in event.entry._ledger._entries
                (self.doubtful.add if is_open else self.doubtful.discard)(event.record.id)

    async def finish(self) -> None:
        """Until all is acknowledged that there is."""
        states = {type: await self.world.alice.state(type) for type in PROPERTIES}
        wanted = {
            self._key(type): json.dumps({"state": state}).replace(" ", "") for type, state in states.items()
        }

        async def consume() -> None:
            async with aclosing(self.watch()) as watch:
                async for event in watch:
                    self.apply(event)
                    await event.ack()

        task = asyncio.create_task(consume())
        async with asyncio.timeout(60):
            while {key: await self.cursor.load(key) for key in wanted} != wanted:
                assert not task.done(), task.result()
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])

    def _key(self, type: str) -> str:
        return f"watch/{self.client.session.username}/{self.client.account_for(type)}/{type}"


async def run(steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as directory:
        async with new_world(Path(directory), max_objects_in_get=3) as world, world.connect() as client:
            history, consumer = await begin(world), Consumer(world, client)
            for step in steps:
                if step[0] == "crash":
                    await consumer.crash(*step[1:])
                else:
                    await go_on(history, step)
            await consumer.finish()
            for type, properties in PROPERTIES.items():
                there, told = await everything(world, type, properties), consumer.records[type]
                assert told.keys() - there.keys() <= consumer.doubtful
                assert {id: told.get(id) for id in there} == there


@pytest.mark.timeout(600)
@settings(max_examples=30)
@given(steps=HISTORIES)
def test_what_was_told_is_what_there_is_after_any_history(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(steps))
