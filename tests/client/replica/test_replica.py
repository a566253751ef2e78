"""A copy of an account of our own server."""

import asyncio
import sqlite3
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from client.replica.agreeing import agrees
from client.world import MESSAGE, World, new_world
from jmap import message
from veredus.client.errors import NotFetchedError, TransportError
from veredus.client.mail_types import Email, Mailbox
from veredus.client.replica import Replica, ReplicaError
from veredus.client.search import SearchError
from veredus.client.watch import Created, Destroyed, Updated


async def test_it_is_what_the_server_has(world: World, tmp_path: Path) -> None:
    ids = await world.add_emails(7)
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        first = await replica.sync()
        assert first.created == 7 + len(await world.alice.query("Mailbox"))
        await agrees(replica, world)
        await world.alice.update("Email", ids[0], **{"keywords/$seen": True})
        await world.alice.set("Email", destroy=[ids[1]])
        await world.alice.create("Mailbox", name="a")
        again = await replica.sync()
        # The inbox's counters changed.
        assert (again.created, again.updated, again.destroyed) == (1, 2, 1)
        await agrees(replica, world)
        got = await replica.get(Email, [ids[2], ids[1], ids[0]])
        assert [email.id for email in got.list] == [ids[2], ids[0]]
        assert got.not_found == [ids[1]]
        assert got.list[1].keywords == {"$seen"}


async def test_it_is_read_without_the_server(world: World, tmp_path: Path) -> None:
    await world.add_emails(3)
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        await replica.sync()
    async with await Replica.open(None, tmp_path / "a.db") as replica:
        found = await replica.query(Email, {"subject": "1"})
        assert [email.subject for email in found] == ["1"]
        with pytest.raises(ReplicaError, match="can only be read"):
            await replica.sync()


async def fill(world: World) -> dict[str, str]:
    """A few Emails that differ; ids by subject."""
    archive = await world.alice.mailbox("archive")
    made = {}
    for number, (subject, sender, body, more) in enumerate(
        [
            ("Invoice 17", "Bob <bob@example.org>", "please pay", {}),
            ("Re: Invoice 17", "Carol <carol@example.net>", "paid it", {"keywords": {"$seen": True}}),
            ("Grüße aus Köln", "Bob <bob@example.net>", "x" * 3000, {"mailboxIds": {archive: True}}),
            ("日本語のメール", "Dora <dora@example.org>", "東京 invoice", {"keywords": {"$flagged": True}}),
        ]
    ):
        data = message(subject, body, From=sender)
        date = f"2026-03-0{number + 1}T00:00:00Z"
        created = await world.alice.import_email(data, **({"receivedAt": date} | more))
        made[subject] = created["id"]
    return made


FILTERS: list[Any] = [
    None,
    {"subject": "invoice"},
    {"from": "bob"},
    {"from": "bob@example.org"},
    {"text": "invoice"},
    {"body": "invoice"},
    {"body": "tokyo"},
    {"body": "京"},
    {"subject": "koln"},
    {"hasKeyword": "$seen"},
    {"notKeyword": "$SEEN", "minSize": 1000},
    {"maxSize": 1000},
    {"hasAttachment": False},
    {"after": "2026-03-02T00:00:00Z", "before": "2026-03-04T00:00:00Z"},
    {"operator": "OR", "conditions": [{"subject": "köln"}, {"hasKeyword": "$flagged"}]},
    {"operator": "NOT", "conditions": [{"subject": "invoice"}, {"from": "dora"}]},
    {"operator": "AND", "conditions": []},
]
SORTS: list[Any] = [
    None,
    [{"property": "receivedAt"}],
    [{"property": "subject"}, {"property": "receivedAt", "isAscending": False}],
    [{"property": "from", "isAscending": False}, {"property": "receivedAt"}],
    [{"property": "hasKeyword", "keyword": "$seen"}, {"property": "size"}],
    [{"property": "sentAt"}, {"property": "size"}, {"property": "receivedAt"}],
]


async def test_a_query_finds_what_the_server_finds(world: World, tmp_path: Path) -> None:
    await fill(world)
    inbox = await world.inbox()
    newest = [{"property": "receivedAt", "isAscending": False}]
    async with (
        world.connect() as client,
        await Replica.open(client, tmp_path / "a.db", bodies=True) as replica,
    ):
        await replica.sync()
        for filter in [*FILTERS, {"inMailbox": inbox}, {"inMailboxOtherThan": [inbox]}]:
            for sort in SORTS:
                wanted = await world.alice.query("Email", filter=filter, sort=sort or newest)
                found = await replica.query(Email, filter, sort)
                assert [email.id for email in found] == wanted, (filter, sort)
        for filter in (None, {"name": "in"}, {"hasAnyRole": True}, {"role": "inbox"}, {"parentId": None}):
            wanted = await world.alice.query("Mailbox", filter=filter, sort=[{"property": "name"}])
            boxes = await replica.query(Mailbox, filter, [{"property": "name"}])
            assert [box.id for box in boxes] == wanted, filter


@pytest.mark.parametrize("bodies", [False, True])
async def test_a_search_finds_words_and_more(world: World, tmp_path: Path, bodies: bool) -> None:
    made = await fill(world)
    async with (
        world.connect() as client,
        await Replica.open(client, tmp_path / "a.db", bodies=bodies) as replica,
    ):
        await replica.sync()
        searches = {
            "invoice from:bob": ["Invoice 17"],
            # In the preview, too.
            "invoice": ["日本語のメール", "Re: Invoice 17", "Invoice 17"],
            "-invoice": ["Grüße aus Köln"],
            "invoice -is:read": ["日本語のメール", "Invoice 17"],
            "in:archive OR is:flagged": ["日本語のメール", "Grüße aus Köln"],
            "from:@example.net larger:2K": ["Grüße aus Köln"],
            "(grusse OR 日本語) after:2026-03-04": ["日本語のメール"],
        }
        for search, subjects in searches.items():
            found = await replica.search(search)
            assert [email.id for email in found] == [made[subject] for subject in subjects], search
        assert len(await replica.search("", limit=2)) == 2
        if not bodies:
            with pytest.raises(SearchError, match="keeps no bodies"):
                await replica.search("body:invoice")


async def test_what_only_the_server_can_answer_is_refused(world: World, tmp_path: Path) -> None:
    await fill(world)
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        await replica.sync()
        for search in ("thread:flagged", "in:nowhere", "is:odd"):
            with pytest.raises(SearchError):
                await replica.search(search)
        with pytest.raises(SearchError, match="'allInThreadHaveKeyword': ask the server"):
            await replica.query(Email, {"allInThreadHaveKeyword": "$seen"})
        with pytest.raises(SearchError, match="does not sort by 'cc'"):
            await replica.query(Email, sort=[{"property": "cc"}])
        with pytest.raises(SearchError, match="no operator 'XOR'"):
            await replica.query(Email, {"operator": "XOR", "conditions": []})
        with pytest.raises(SearchError, match="a search finds Emails"):
            await replica.query(Mailbox, "inbox")
        with pytest.raises(NotFetchedError, match="List-Id"):
            await replica.search("list:a.example")
        with pytest.raises(ReplicaError, match="keeps no Thread"):
            await replica.get("Thread")


async def test_it_keeps_what_it_is_told_to(world: World, tmp_path: Path) -> None:
    made = await fill(world)
    keep = {"Email": "in:inbox is:unread", "Mailbox": None}

    async def kept(replica: Replica) -> set[str]:
        return {email.subject or "" for email in (await replica.get(Email)).list}

    async with world.connect() as client:
        async with await Replica.open(client, tmp_path / "a.db", keep) as replica:
            await replica.sync()
            assert await kept(replica) == {"Invoice 17", "日本語のメール"}
            await world.alice.update("Email", made["Invoice 17"], **{"keywords/$seen": True})
            await world.alice.update("Email", made["Re: Invoice 17"], **{"keywords/$seen": None})
            assert (await replica.sync()).destroyed == 1
            assert await kept(replica) == {"Re: Invoice 17", "日本語のメール"}
        async with await Replica.open(client, tmp_path / "b.db", {"Email": "in:archive"}) as replica:
            await replica.sync()
            assert await kept(replica) == {"Grüße aus Köln"}
            # Another archive.
            archive, junk = await world.alice.mailbox("archive"), await world.alice.mailbox("junk")
            await world.alice.set("Mailbox", update={archive: {"role": "junk"}, junk: {"role": "archive"}})
            await replica.sync()
            assert await kept(replica) == set()
        async with await Replica.open(client, tmp_path / "a.db", {"Email": "subject:invoice"}) as replica:
            await replica.sync()
            assert await kept(replica) == {"Invoice 17", "Re: Invoice 17"}
            with pytest.raises(ReplicaError, match="keeps no Mailbox"):
                await replica.get(Mailbox)


async def test_what_becomes_too_old_goes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    inbox = await world.inbox()
    for hours in (1, 23, 30):
        date = (now - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await world.alice.import_email(MESSAGE % (b"%d" % hours, b""), inbox, receivedAt=date)
    path, keep = tmp_path / "a.db", {"Email": "newer:1d"}
    async with world.connect() as client:
        async with await Replica.open(client, path, keep) as replica:
            assert (await replica.sync()).created == 2

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return now + timedelta(hours=2)

        monkeypatch.setattr("veredus.client.replica.keep.datetime", Later)
        async with await Replica.open(client, path, keep) as replica:
            assert (await replica.sync()).destroyed == 1
            assert [email.subject for email in (await replica.get(Email)).list] == ["1"]


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"Email": "older:1y"}, "becomes older"),
        ({"Email": "-newer:1y"}, "becomes older"),
        ({"Email": "thread:flagged"}, "one Email alone"),
        ({"Email": "body:x"}, "not fetched here"),
        ({"Email": "in:"}, "expected"),
        ({"Mailbox": "in:inbox"}, "a search chooses Emails"),
    ],
)
async def test_what_cannot_be_kept_is_refused(world: World, tmp_path: Path, keep: Any, said: str) -> None:
    async with world.connect() as client:
        with pytest.raises((SearchError, ValueError), match=said):
            await Replica.open(client, tmp_path / "a.db", keep)
    assert not (tmp_path / "a.db").exists()


async def test_following_tells_what_changed_in_it(world: World, tmp_path: Path) -> None:
    ids = await world.add_emails(3)
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        await replica.sync()
        async with aclosing(replica.follow()) as events:

            async def next_of(type: str) -> Any:
                async with asyncio.timeout(20):
                    while (event := await anext(events)).type != type:
                        pass
                return event

            waiting = asyncio.create_task(next_of("Email"))
            await world.alice.update("Email", ids[0], **{"keywords/$seen": True})
            updated = await waiting
            assert isinstance(updated, Updated)
            assert (updated.record.id, updated.changed) == (ids[0], {"keywords"})
            assert (await replica.get(Email, [ids[0]])).list[0].keywords == {"$seen"}
            await world.alice.set("Email", destroy=[ids[1]])
            gone = await next_of("Email")
            assert isinstance(gone, Destroyed)
            assert gone.id == ids[1]
            await gone.ack()
            await world.alice.create("Mailbox", name="a")
            made = await next_of("Mailbox")
            while not isinstance(made, Created):
                made = await next_of("Mailbox")
            assert made.record["name"] == "a"
        await replica.sync()
        await agrees(replica, world)


async def test_what_vanished_unseen_is_replaced(world: World, tmp_path: Path) -> None:
    ids = await world.add_emails(5)
    async with world.connect() as client:
        async with await Replica.open(client, tmp_path / "a.db") as replica:
            await replica.sync()
        with sqlite3.connect(tmp_path / "a.db") as db:
            db.execute("UPDATE type SET state = 'of another life'")
        db.close()
        await world.alice.set("Email", destroy=ids[:2])
        await world.alice.update("Email", ids[2], **{"keywords/$seen": True})
        async with await Replica.open(client, tmp_path / "a.db") as replica:
            again = await replica.sync()
            assert again.destroyed == 2
            assert again.created == 0
            await agrees(replica, world)


async def test_an_interrupted_first_sync_goes_on(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=4) as world, world.connect() as client:
        for _ in range(5):
            await world.add_emails(4)
        send, left = client.exchange.send, 5

        async def limited(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise TransportError("there", "cut")
            return await send(*args, **options)

        client.exchange.send = limited  # type: ignore[method-assign]
        async with await Replica.open(client, tmp_path / "a.db", {"Email": None}) as replica:
            with pytest.raises(TransportError, match="cut"):
                await replica.sync()
            begun = len((await replica.get(Email)).list)
            assert 0 < begun < 20
            left = 1000
            assert (await replica.sync()).created == 20 - begun
            # Not all pages again.
            assert left > 1000 - 6


async def test_what_comes_and_goes_during_a_first_sync_is_not_kept(tmp_path: Path) -> None:
    """The changes since its beginning do not tell of such an Email at all (RFC 8620 §5.2)."""
    async with new_world(tmp_path, max_objects_in_get=2) as world, world.connect() as client:
        ids = await world.add_emails(5)
        send, passing = client.exchange.send, None

        async def meanwhile(calls: Any, **options: Any) -> Any:
            nonlocal passing
            if calls[0].invocation.name != "Email/query":
                return await send(calls, **options)
            if passing is None:
                passing = (await world.alice.import_email(message("passing")))["id"]
            answer = await send(calls, **options)
            if passing in calls[0].result.ids:
                await world.alice.set("Email", destroy=[passing])
            return answer

        client.exchange.send = meanwhile  # type: ignore[method-assign]
        async with await Replica.open(client, tmp_path / "a.db", {"Email": None}) as replica:
            await replica.sync()
            assert [email.id for email in (await replica.get(Email)).list] == ids
            assert passing is not None
