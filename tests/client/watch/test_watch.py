"""Watching our own server, over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from client.world import World, new_world
from jmap import message
from veredus.client.client import Client
from veredus.client.cursors import CursorError, MemoryCursor, SqliteCursor
from veredus.client.errors import MethodError, NotSupported, TransportError, Unauthorized
from veredus.client.mail_types import Email, Mailbox
from veredus.client.watch import Complete, Created, Destroyed, Event, Resync, Updated

QUIET_S = 0.3


async def next_of(events: AsyncIterator[Event[Any]]) -> Event[Any]:
    async with asyncio.timeout(20):
        return await anext(events)


async def some(events: AsyncIterator[Event[Any]], count: int) -> list[Event[Any]]:
    return [await next_of(events) for _ in range(count)]


async def saved(cursor: MemoryCursor, client: Client, type: str) -> str | None:
    account = client.account_for(type)
    value = await cursor.load(f"watch/{client.session.username}/{account}/{type}")
    position = json.loads(value or "{}")
    return None if position.get("in_pass") else position.get("state")


async def started(cursor: MemoryCursor, client: Client, type: str) -> None:
    """When it is known from where on changes are told."""
    async with asyncio.timeout(20):
        while await saved(cursor, client, type) is None:
            await asyncio.sleep(0.005)


async def test_what_happens_is_told(world: World) -> None:
    async with world.connect() as client:
        cursor = MemoryCursor()
        async with aclosing(client.watch(Email, cursor=cursor, properties=["subject", "keywords"])) as events:
            first = asyncio.create_task(next_of(events))
            await started(cursor, client, "Email")
            [id] = await world.add_emails(1)
            match await first:
                case Created(email):
                    assert isinstance(email, Email)
                    assert (email.id, email.subject) == (id, "0")
                case other:
                    pytest.fail(f"{other}")
            await world.alice.update("Email", id, **{"keywords/$seen": True})
            match await next_of(events):
                case Updated(email, changed):
                    assert email.keywords == {"$seen"}
                    assert changed is None
                case other:
                    pytest.fail(f"{other}")
            await world.alice.set("Email", destroy=[id])
            match await next_of(events):
                case Destroyed(gone):
                    assert gone == id
                case other:
                    pytest.fail(f"{other}")
            assert client.push.transport == "websocket"


async def test_a_first_start_gives_what_is_there_when_asked_to(world: World) -> None:
    ids = await world.add_emails(7)
    async with world.connect() as client:
        events = client.watch("Email", start="all", properties=["subject"])
        async with aclosing(events):
            told = await some(events, 7)
            assert [each.record.id for each in told if isinstance(each, Created)] == ids
            [another] = await world.add_emails(1)
            new = await next_of(events)
            assert isinstance(new, Created)
            assert new.record.id == another


async def test_what_is_not_acknowledged_is_given_again(world: World, tmp_path: Path) -> None:
    ids = await world.add_emails(3)
    async with world.connect() as client, SqliteCursor(tmp_path / "cursor.db") as cursor:
        async with aclosing(client.watch(Email, cursor=cursor, start="all", properties=["id"])) as events:
            first = await some(events, 3)
            await first[0].ack()
            await first[2].ack()
        async with aclosing(client.watch(Email, cursor=cursor, start="all", properties=["id"])) as events:
            again = await some(events, 3)
            assert [each.record.id for each in again if isinstance(each, Created)] == ids
            for each in reversed(again):
                await asyncio.create_task(each.ack())
                await each.ack()
            [another] = await world.add_emails(1)
            await next_of(events)  # not acknowledged
        async with aclosing(client.watch(Email, cursor=cursor, start="all", properties=["id"])) as events:
            left = await next_of(events)
            assert isinstance(left, Created)
            assert left.record.id == another


async def test_the_cursor_moves_over_what_is_done_without_a_gap(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        cursor = MemoryCursor()
        async with aclosing(client.watch(Email, cursor=cursor, properties=["id"])) as events:
            waiting = asyncio.create_task(next_of(events))
            await started(cursor, client, "Email")
            begin = await saved(cursor, client, "Email")
            for _ in range(3):
                await world.add_emails(2)
            told = [await waiting, *await some(events, 5)]
            for each in told[2:]:
                await each.ack()
            await told[0].ack()
            assert await saved(cursor, client, "Email") == begin
            await told[1].ack()
            assert await saved(cursor, client, "Email") == await world.alice.state("Email")


async def test_with_auto_ack_an_event_is_done_when_the_next_is_asked_for(world: World) -> None:
    await world.add_emails(2)
    async with world.connect() as client:
        cursor = MemoryCursor()
        events = client.watch(Email, cursor=cursor, start="all", properties=["id"], auto_ack=True)
        async with aclosing(events):
            await some(events, 2)
            assert await saved(cursor, client, "Email") is None
            waiting = asyncio.create_task(next_of(events))
            await started(cursor, client, "Email")
            await world.add_emails(1)
            await waiting


async def test_what_changed_is_told_where_it_is_known(world: World) -> None:
    [id] = await world.add_emails(1)
    wanted = {"Email": ["keywords", "subject"], "Mailbox": ["name", "unreadEmails"]}
    async with world.connect() as client:
        options: Any = {"start": "all", "properties": wanted, "remember": 10}
        async with aclosing(client.watch(Email, Mailbox, **options)) as events:
            mailboxes = len(await world.alice.query("Mailbox"))
            await some(events, mailboxes + 1)
            await world.alice.update("Email", id, **{"keywords/$seen": True})
            told = {each.type: each for each in await some(events, 2)}
            email, mailbox = told["Email"], told["Mailbox"]
            assert isinstance(email, Updated)
            assert isinstance(mailbox, Updated)
            assert email.changed == {"keywords"}
            assert email.before is not None
            assert email.before["keywords"] == {}
            assert mailbox.changed is not None
            assert "unreadEmails" in mailbox.changed
            assert "name" not in mailbox.changed


async def test_types_take_turns(world: World) -> None:
    await world.add_emails(4)
    async with world.connect() as client:
        events = client.watch("Email", "Mailbox", start="all", properties=["subject", "name"])
        async with aclosing(events):
            await next_of(events)
            await asyncio.sleep(QUIET_S)  # until both have something
            types = [each.type for each in await some(events, 6)]
            assert types in (["Email", "Mailbox"] * 3, ["Mailbox", "Email"] * 3)


async def test_when_changes_cannot_be_calculated_all_is_told_anew(world: World) -> None:
    ids = await world.add_emails(3)
    async with world.connect() as client:
        cursor = MemoryCursor()
        account = client.account_for("Email")
        await cursor.save(f"watch/{client.session.username}/{account}/Email", '{"state": "of another life"}')
        async with aclosing(client.watch(Email, cursor=cursor, properties=["id"])) as events:
            match await next_of(events):
                case Resync() as resync:
                    assert (resync.type, resync.account) == ("Email", account)
                case other:
                    pytest.fail(f"{other}")
            told = await some(events, 3)
            assert [each.record.id for each in told if isinstance(each, Created)] == ids
            for each in told:
                await each.ack()
            assert await saved(cursor, client, "Email") == "of another life"
            await resync.ack()
            complete = await next_of(events)
            assert isinstance(complete, Complete)
            assert await saved(cursor, client, "Email") is None
            await complete.ack()
            assert await saved(cursor, client, "Email") == await world.alice.state("Email")


async def test_watchers_of_a_client_share_one_push_stream(world: World) -> None:
    async with world.connect() as client:
        one, other = client.watch(Email, start="all"), client.watch("Email", "Mailbox", start="all")
        async with aclosing(one), aclosing(other):
            waiting = asyncio.create_task(next_of(one))
            await some(other, len(await world.alice.query("Mailbox")))
            await world.add_emails(1)
            await waiting
            await next_of(other)
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert (names.count("watch-push"), names.count("push")) == (1, 1)


async def test_nothing_is_left_of_a_watch_that_is_cancelled(world: World) -> None:
    async with world.connect() as client:
        before = asyncio.all_tasks()

        async def consume() -> None:
            async with aclosing(client.watch("Email", "Mailbox", "Thread", start="all")) as events:
                async for _ in events:
                    pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(QUIET_S)
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() - before - {task} == set()
        assert client.push.transport is None


async def test_a_consumer_that_takes_its_time_is_not_flooded(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=5) as world, world.connect() as client:
        asked = 0
        send = client.exchange.send

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            return await send(*args, **options)

        client.exchange.send = counted  # type: ignore[method-assign]
        for _ in range(20):
            await world.add_emails(5)
        async with aclosing(client.watch(Email, start="all", properties=["id"])) as events:
            await next_of(events)
            await asyncio.sleep(QUIET_S)
            assert asked < 8
            await some(events, 99)


@pytest.mark.parametrize(
    ("kinds", "options", "said"),
    [
        ([], {}, "nothing to watch"),
        (["Email", Email], {}, "twice"),
        ([Email, Mailbox], {"properties": ["subjekt"]}, "'subjekt': no property of Email or Mailbox"),
        ([Email, "Foo"], {"properties": ["subject"]}, "which properties has Foo"),
        ([Email], {"properties": {"Mailbox": ["name"]}}, "properties of Mailbox, which are not watched"),
        ([Email], {"properties": "subject"}, "a list of names"),
        ([Email], {"poll_s": 0}, "poll_s"),
        ([Email], {"start": "here"}, "'now' or 'all'"),
    ],
)
async def test_what_cannot_be_meant_is_refused(world: World, kinds: Any, options: Any, said: str) -> None:
    async with world.connect() as client:
        with pytest.raises(ValueError, match=said):
            client.watch(*kinds, **options)


async def test_what_does_not_pass_is_raised(world: World) -> None:
    async with world.connect() as client:
        with pytest.raises(MethodError, match="subjekt"):
            await next_of(client.watch(Email, start="all", properties=["subjekt"]))
        with pytest.raises(NotSupported):
            await next_of(client.watch("CalendarEvent"))
        with pytest.raises(MethodError, match="accountNotFound"):
            await next_of(client.watch(Email, account="nobody"))


async def test_refused_credentials_end_it(world: World) -> None:
    async with world.connect() as client, aclosing(client.watch(Email)) as events:
        waiting = asyncio.create_task(next_of(events))
        await asyncio.sleep(QUIET_S)
        for token in await world.app.accounts.tokens():
            await world.app.accounts.revoke_token(token["id"])
        with pytest.raises(Unauthorized):
            await waiting


async def test_it_gives_up_when_told_to(world: World) -> None:
    async with world.connect() as client:

        async def cut(*args: Any, **options: Any) -> Any:
            raise TransportError("there", "cut")

        client.exchange.send = cut  # type: ignore[method-assign]
        with pytest.raises(TransportError, match="cut"):
            await next_of(client.watch(Email, give_up_after_s=0.2))


async def test_a_cursor_that_cannot_be_saved_is_told_and_made_up_for(world: World) -> None:
    class Full(MemoryCursor):
        is_full = False

        async def save(self, key: str, value: str) -> None:
            if self.is_full:
                raise CursorError("disk full")
            await super().save(key, value)

    async with world.connect() as client:
        cursor = Full()
        async with aclosing(client.watch(Email, cursor=cursor, properties=["id"])) as events:
            waiting = asyncio.create_task(next_of(events))
            await started(cursor, client, "Email")
            await world.add_emails(1)
            event = await waiting
            cursor.is_full = True
            with pytest.raises(CursorError):
                await event.ack()
            cursor.is_full = False
            await world.alice.create("Mailbox", name="a")
            await world.alice.import_email(message("another"))
            await (await next_of(events)).ack()
            assert await saved(cursor, client, "Email") == await world.alice.state("Email")


async def test_a_cursor_of_something_else_is_refused(world: World) -> None:
    async with world.connect() as client:
        cursor = MemoryCursor()
        await cursor.save(f"watch/{client.session.username}/{client.account_for('Email')}/Email", "x")
        with pytest.raises(CursorError, match="is not one of a watcher"):
            await next_of(client.watch(Email, cursor=cursor))
