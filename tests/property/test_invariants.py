"""After any history: changes replay, queryChanges splice, counters and quotas agree with the lists.

Nothing here knows what a history should lead to: what the server says in one way must be what it
says in another (DESIGN §2, invariants 2 and 3).
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmap import STORES, Jmap, message, new_user, open_server

NEWEST = [{"property": "receivedAt", "isAscending": False}]
BY_NAME = [{"property": "name"}]
ROLES = ("inbox", "archive", "trash", "junk")

small = st.integers(0, 5)
keyword = st.sampled_from(["$seen", "$flagged", "$draft", "Work"])
box = st.sampled_from(ROLES)
STEPS = st.one_of(
    st.tuples(st.just("import"), small, st.lists(small, max_size=2), st.sampled_from("ab"), st.sets(box, min_size=1), small),
    st.tuples(st.just("import"), small, st.lists(small, max_size=2), st.just("a"), st.just({"inbox"}), small),
    st.tuples(st.just("keyword"), small, keyword, st.booleans()),
    st.tuples(st.just("move"), small, st.sets(box, min_size=1)),
    st.tuples(st.just("destroy"), small),
    st.tuples(st.just("replace"), small, small),
    st.tuples(st.just("new mailbox"), small, st.none() | small),
    st.tuples(st.just("reparent"), small, st.none() | small),
    st.tuples(st.just("rename"), small, small),
    st.tuples(st.just("end mailbox"), small, st.booleans()),
    st.tuples(st.just("end trash")),
    st.tuples(st.just("swap trash")),
    st.tuples(st.just("look")),
)  # fmt: skip


class History:
    """Does what the steps say, and remembers what the server said in between."""

    def __init__(self, jmap: Jmap, boxes: dict[str, str]) -> None:
        self.jmap, self.boxes = jmap, boxes
        self.looks: list[Look] = []
        inbox = boxes["inbox"]
        self.queries: list[tuple[str, dict[str, Any]]] = [
            ("Email", {"sort": NEWEST}),
            ("Email", {"filter": {"inMailbox": inbox}, "sort": NEWEST}),
            ("Email", {"filter": {"inMailbox": inbox}, "sort": NEWEST, "collapseThreads": True}),
            ("Email", {"filter": {"inMailboxOtherThan": [inbox]}, "collapseThreads": True}),
            ("Email", {"filter": {"someInThreadHaveKeyword": "$flagged"}, "collapseThreads": True}),
            ("Email", {"filter": {"noneInThreadHaveKeyword": "$flagged", "inMailbox": inbox}}),
            ("Email", {"filter": {"allInThreadHaveKeyword": "work"}, "sort": [{"property": "subject"}]}),
            ("Email", {"filter": {"subject": "a"}, "sort": [{"property": "size"}]}),
            ("Email", {"sort": [{"property": "hasKeyword", "keyword": "$seen"}, *NEWEST]}),
            (
                "Email",
                {
                    "sort": [{"property": "someInThreadHaveKeyword", "keyword": "work"}],
                    "collapseThreads": True,
                },
            ),
            ("Mailbox", {"sort": BY_NAME}),
            ("Mailbox", {"filter": {"hasAnyRole": True}, "sort": [{"property": "sortOrder"}]}),
            ("Mailbox", {"sort": BY_NAME, "sortAsTree": True}),
            ("Mailbox", {"filter": {"name": "a"}, "sort": BY_NAME, "sortAsTree": True, "filterAsTree": True}),
        ]

    async def step(self, step: tuple[Any, ...]) -> None:
        kind, *args = step
        await getattr(self, kind.replace(" ", "_"))(*args)

    async def _pick(self, type: str, n: int, filter: Any = None) -> str | None:
        ids = await self.jmap.query(type, filter=filter, sort=NEWEST if type == "Email" else BY_NAME)
        return ids[n % len(ids)] if ids else None

    async def import_(self, id: int, references: list[int], subject: str, boxes: set[str], day: int) -> None:
        more = {"References": " ".join(f"<{n}@x>" for n in references)} if references else {}
        data = message(subject, Message_ID=f"<{id}@x>", **more)
        there = [self.boxes[name] for name in boxes if name in self.boxes] or [self.boxes["inbox"]]
        wanted = {"mailboxIds": dict.fromkeys(there, True), "receivedAt": f"2024-01-0{day + 1}T00:00:00Z"}
        await self.jmap.import_email(data, self.boxes["inbox"], **wanted)

    async def keyword(self, n: int, keyword: str, on: bool) -> None:
        if email := await self._pick("Email", n):
            await self.jmap.update("Email", email, **{f"keywords/{keyword}": on or None})

    async def move(self, n: int, boxes: set[str]) -> None:
        there = [self.boxes[name] for name in boxes if name in self.boxes]
        if there and (email := await self._pick("Email", n)):
            await self.jmap.update("Email", email, mailboxIds=dict.fromkeys(there, True))

    async def destroy(self, n: int) -> None:
        if email := await self._pick("Email", n):
            await self.jmap.set("Email", destroy=[email])

    async def replace(self, n: int, reference: int) -> None:
        """A draft takes the place of another Email, in one call."""
        draft = {"mailboxIds": {self.boxes["inbox"]: True}, "subject": "a", "references": [f"{reference}@x"]}
        email = await self._pick("Email", n)
        await self.jmap.set("Email", create={"k": draft}, destroy=[email] if email else [])

    async def new_mailbox(self, name: int, parent: int | None) -> None:
        above = None if parent is None else await self._pick("Mailbox", parent)
        await self.jmap.call("Mailbox/set", create={"k": {"name": f"a{name}", "parentId": above}})

    async def reparent(self, n: int, parent: int | None) -> None:
        if found := await self._pick("Mailbox", n, {"hasAnyRole": False}):
            above = None if parent is None else await self._pick("Mailbox", parent)
            await self.jmap.call("Mailbox/set", update={found: {"parentId": above}})

    async def rename(self, n: int, name: int) -> None:
        if found := await self._pick("Mailbox", n, {"hasAnyRole": False}):
            await self.jmap.call("Mailbox/set", update={found: {"name": f"a{name}"}})

    async def end_mailbox(self, n: int, remove: bool) -> None:
        if found := await self._pick("Mailbox", n, {"hasAnyRole": False}):
            await self.jmap.call("Mailbox/set", destroy=[found], onDestroyRemoveEmails=remove)

    async def end_trash(self) -> None:
        if "trash" in self.boxes:
            done = await self.jmap.call(
                "Mailbox/set", destroy=[self.boxes["trash"]], onDestroyRemoveEmails=True
            )
            if done["destroyed"]:
                del self.boxes["trash"]

    async def swap_trash(self) -> None:
        if "trash" in self.boxes:
            trash, junk = self.boxes["trash"], self.boxes["junk"]
            await self.jmap.set("Mailbox", update={trash: {"role": "junk"}, junk: {"role": "trash"}})
            self.boxes.update(trash=junk, junk=trash)

    async def look(self) -> None:
        look = Look()
        for type in ("Email", "Thread", "Mailbox", "Quota"):
            response = await self._everything(type)
            look.records[type] = {record["id"]: record for record in response["list"]}
            look.states[type] = response["state"]
        for type, args in self.queries:
            look.results.append(await self.jmap.call(f"{type}/query", calculateTotal=True, **args))
        self.looks.append(look)

    async def _everything(self, type: str) -> Any:
        properties = ["mailboxIds", "keywords", "threadId", "size", "receivedAt"] if type == "Email" else None
        return await self.jmap.call(f"{type}/get", ids=None, properties=properties)


class Look:
    """What the server said at one time."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.states: dict[str, str] = {}
        self.results: list[Any] = []


async def check_replay(history: History, old: Look, now: Look) -> None:
    for type in ("Email", "Thread", "Mailbox", "Quota"):
        cache = {id: dict(record) for id, record in old.records[type].items()}
        since, more = old.states[type], True
        while more:
            changes = await history.jmap.call(f"{type}/changes", sinceState=since, maxChanges=3)
            assert len(changes["created"] + changes["updated"] + changes["destroyed"]) <= 3
            assert not set(changes["created"]) & set(cache)
            assert set(changes["updated"]) <= set(cache)
            assert set(changes["destroyed"]) <= set(cache)
            for id in changes["destroyed"]:
                del cache[id]
            only = changes.get("updatedProperties")
            for id in changes["created"] + changes["updated"]:
                # What is gone by now a later step will say.
                record = now.records[type].get(id, {"id": id})
                known = cache.setdefault(id, {})
                names = only if only is not None and id in changes["updated"] else list(record)
                known.update({name: record[name] for name in names if name in record})
            since, more = changes["newState"], changes["hasMoreChanges"]
        assert since == now.states[type]
        assert cache == now.records[type]


async def check_splice(history: History, old: Look, now: Look) -> None:
    for (type, args), before, after in zip(history.queries, old.results, now.results, strict=True):
        changes = await history.jmap.call(
            f"{type}/queryChanges", sinceQueryState=before["queryState"], calculateTotal=True, **args
        )
        ids = [id for id in before["ids"] if id not in set(changes["removed"])]
        for item in changes["added"]:
            assert item["id"] not in ids, args
            ids.insert(item["index"], item["id"])
        assert ids == after["ids"], args
        assert changes["total"] == after["total"] == len(ids), args


def check_counters(history: History, now: Look) -> None:
    emails, trash = now.records["Email"].values(), history.boxes.get("trash")

    def unread(email: Any) -> bool:
        return not {"$seen", "$draft"} & set(email["keywords"])

    for id, mailbox in now.records["Mailbox"].items():
        inside = [email for email in emails if id in email["mailboxIds"]]
        threads = {email["threadId"] for email in inside}
        counts = (len(inside), sum(map(unread, inside)), len(threads))
        assert counts == (mailbox["totalEmails"], mailbox["unreadEmails"], mailbox["totalThreads"])
        # §2: those only in the trash do not count elsewhere, those not in it do not count there.
        shown: Callable[[Any], bool] = (
            (lambda email: trash in email["mailboxIds"])
            if id == trash
            else (lambda email: set(email["mailboxIds"]) != {trash})
        )
        unread_threads = {email["threadId"] for email in emails if unread(email) and shown(email)}
        assert mailbox["unreadThreads"] == len(threads & unread_threads), mailbox
    used = {quota["resourceType"]: quota["used"] for quota in now.records["Quota"].values()}
    assert used == {"count": len(emails), "octets": sum(email["size"] for email in emails)}


def check_threads(now: Look) -> None:
    emails = now.records["Email"]
    inside = [id for thread in now.records["Thread"].values() for id in thread["emailIds"]]
    assert sorted(inside) == sorted(emails)
    for id, thread in now.records["Thread"].items():
        assert {emails[email]["threadId"] for email in thread["emailIds"]} == {id}
        dates = [emails[email]["receivedAt"] for email in thread["emailIds"]]
        assert dates == sorted(dates)


async def run(store: str, steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as directory:
        async with open_server(store, Path(directory)) as app:
            jmap = await new_user(app)
            boxes = {role: await jmap.mailbox(role) for role in ROLES}
            history = History(jmap, boxes)
            await history.look()
            for step in steps:
                await history.step(("import_", *step[1:]) if step[0] == "import" else step)
                if step[0] == "look":
                    check_counters(history, history.looks[-1])
            await history.look()
            now = history.looks[-1]
            check_counters(history, now)
            check_threads(now)
            for old in history.looks:
                await check_replay(history, old, now)
                await check_splice(history, old, now)


@pytest.mark.rfc("8621", "4.5")
@pytest.mark.must
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", STORES)
@settings(max_examples=60)
@given(steps=st.lists(STEPS, min_size=1, max_size=14))
def test_all_ways_of_asking_agree_after_any_history(store: str, steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(store, steps))
