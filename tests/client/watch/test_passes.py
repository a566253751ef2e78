"""Full passes: what is there, told page by page, while it changes; and what ends them."""

from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from client.watch.test_watch import next_of, some
from client.world import World, new_world
from jmap import message
from veredus.client.cursors import MemoryCursor
from veredus.client.errors import MethodError, NotFetchedError
from veredus.client.mail_types import Email, Mailbox, Thread
from veredus.client.watch import CannotList, Complete, Created, Destroyed


@pytest.mark.parametrize("done", [0, 4])
async def test_a_first_pass_that_is_interrupted_goes_on(tmp_path: Path, done: int) -> None:
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        ids = await world.add_emails(6)
        options: Any = {"cursor": MemoryCursor(), "start": "all", "properties": ["subject"]}
        async with aclosing(client.watch(Email, **options)) as events:
            for event in (await some(events, 4))[:done]:
                await event.ack()
        # Had been told, and is gone before the pass ends.
        await world.alice.set("Email", destroy=[ids[0]])
        # What was received in the second of the last that was done is given again: it might not be the only
        # one; and that of the second before, since not every server takes "after" to include the same.
        left = ids[done - 2 :] if done else ids[1:]
        async with aclosing(client.watch(Email, **options)) as events:
            told = await some(events, len(left))
            assert [each.record.id for each in told if isinstance(each, Created)] == left
            gone = await next_of(events)
            assert isinstance(gone, Destroyed)
            assert gone.id == ids[0]


async def test_what_helps_a_pass_to_go_on_is_not_given_to_who_did_not_ask_for_it(world: World) -> None:
    await world.add_emails(1)
    async with (
        world.connect() as client,
        aclosing(client.watch(Email, start="all", properties=["subject"])) as events,
    ):
        told = await next_of(events)
        assert isinstance(told, Created)
        assert sorted(told.record) == ["id", "subject"]
        with pytest.raises(NotFetchedError):
            _ = told.record.received_at


async def test_what_is_gone_is_known_when_the_pass_after_a_resync_is_complete(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        ids = await world.add_emails(5)
        cursor = MemoryCursor()
        key = f"watch/{client.session.username}/{client.account_for('Email')}/Email"
        await cursor.save(key, '{"state": "of another life"}')
        await world.alice.set("Email", destroy=[ids[1]])
        mirror = dict.fromkeys(ids, "old")
        # It is interrupted, and goes on in another life.
        for events_of_this_life in (3, 100):
            async with aclosing(client.watch(Email, cursor=cursor, properties=["id"])) as events:
                for _ in range(events_of_this_life):
                    event = await next_of(events)
                    if isinstance(event, Created):
                        mirror[event.record.id] = "new"
                    await event.ack()
                    if isinstance(event, Complete):
                        break
        assert isinstance(event, Complete)
        assert [id for id, told in mirror.items() if told == "old"] == [ids[1]]


async def test_a_pass_ends_though_mail_comes_all_the_time(world: World) -> None:
    await world.add_emails(3)
    async with world.connect() as client:
        send, came = client.exchange.send, 0

        async def meanwhile(calls: Any, **options: Any) -> Any:
            nonlocal came
            if calls[0].invocation.name == "Email/query":
                came += 1
                await world.alice.import_email(message(f"new {came}"))
            return await send(calls, **options)

        client.exchange.send = meanwhile  # type: ignore[method-assign]
        cursor = MemoryCursor()
        options: Any = {"start": "all", "properties": ["subject"], "auto_ack": True}
        async with aclosing(client.watch(Email, cursor=cursor, **options)) as events:
            told = [each.record.subject for each in await some(events, 4) if isinstance(each, Created)]
        assert told == ["0", "1", "2", "new 1"]
        assert came < 5


async def test_a_server_that_begins_after_the_second_asked_for_hides_nothing(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        inbox = await world.inbox()
        at = "2026-03-01T00:00:00Z"
        made = [await world.alice.import_email(message(str(n)), inbox, receivedAt=at) for n in range(5)]
        send = client.exchange.send

        async def strict(calls: Any, **options: Any) -> Any:
            for call in calls:
                filter = call.invocation.arguments.get("filter") or {}
                if "after" in filter:
                    later = datetime.fromisoformat(filter["after"]) + timedelta(seconds=1)
                    call.invocation.arguments["filter"] = {"after": f"{later:%Y-%m-%dT%H:%M:%SZ}"}
            return await send(calls, **options)

        client.exchange.send = strict  # type: ignore[method-assign]
        told: set[str] = set()
        options: Any = {"cursor": MemoryCursor(), "start": "all", "properties": ["subject"]}
        for count in (2, 5):
            async with aclosing(client.watch(Email, **options)) as events:
                for event in await some(events, count):
                    assert isinstance(event, Created)
                    told.add(event.record.id)
                    await event.ack()
        assert told == {each["id"] for each in made}


async def test_all_threads_are_told_however_many(tmp_path: Path) -> None:
    """Thread has no /query, and Thread/get of all is refused."""
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        ids = await world.add_emails(3)
        answer = message("Re", In_Reply_To="<a@x>", Message_ID="<b@x>")
        two = [
            (await world.alice.import_email(each))["id"]
            for each in (message("Re", Message_ID="<a@x>"), answer)
        ]
        async with aclosing(client.watch(Thread, start="all")) as events:
            told = [each.record for each in await some(events, 4) if isinstance(each, Created)]
        assert sorted(sorted(thread["emailIds"]) for thread in told) == sorted(
            [*([id] for id in ids), sorted(two)]
        )


async def test_what_cannot_be_listed_is_said_so(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        send = client.exchange.send

        async def without_query(calls: Any, **options: Any) -> Any:
            method = calls[0].invocation.name
            if method == "Mailbox/query":
                raise MethodError("there", {"type": "unknownMethod"}, method=method, account="a", call_id="0")
            return await send(calls, **options)

        client.exchange.send = without_query  # type: ignore[method-assign]
        with pytest.raises(
            CannotList, match=r"more Mailbox than maxObjectsInGet = 2, and there is no Mailbox/query"
        ):
            await next_of(client.watch(Mailbox, start="all"))
