"""Clients that change and read accounts over all nodes, by chance, and write down what they were told.

Each has its own chances, from the seed and its name; only what it finds on the server depends on the others.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, field

from cluster.history import Copy, History, Look, Part, Seen, Write
from cluster.node import Node
from cluster.speaker import Account, NotDone, Speaker, Unknown

TYPES = ("Email", "Mailbox", "Thread", "Quota")
_EMAIL = ["messageId", "mailboxIds", "keywords", "threadId", "size", "blobId"]
_MANY_EMAILS, _MANY_MAILBOXES = 80, 6
_STAMP = "w-"
NEWEST = [{"property": "receivedAt", "isAscending": False}, {"property": "size"}]


class Listing(Struct):
    """A query's result that a client has kept."""

    account: str
    mailbox: str
    state: str
    ids: list[str]


class Shared(Struct):
    """What all clients write down. ``known``: ids of Emails by key, and of Mailboxes, per account."""

    history: History
    emails: dict[str, dict[str, str]] = field(default_factory=dict)
    mailboxes: dict[str, dict[str, str]] = field(default_factory=dict)
    listings: list[Listing] = field(default_factory=list)
    # States that were told, by account and type: each must be good for /changes until the end.
    states: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    # A collector with a wrong clock may take an upload away before it is imported.
    blobs_may_go: bool = False

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def keep(self, account: str, type: str, state: int) -> None:
        self.states.setdefault((account, type), set()).add(state)


class Client:
    """``run`` works until it is told to stop."""

    def __init__(
        self,
        name: str,
        seed: int,
        nodes: list[Node],
        accounts: list[Account],
        shared: Shared,
        *,
        patient: bool = False,
    ) -> None:
        self.name, self._nodes, self._accounts, self._shared = name, nodes, accounts, shared
        self._chance = random.Random(f"{seed} {name}")
        chance = None if patient else random.Random(f"{seed} {name} patience")
        self._speaker = Speaker(shared.troubles, chance)
        self._number = 0

    async def run(self, stop: asyncio.Event, pause_s: float) -> None:
        try:
            while not stop.is_set():
                account, node = self._chance.choice(self._accounts), self._chance.choice(self._nodes)
                action, wait = self._choose(account), self._chance.uniform(0, 2 * pause_s)
                try:
                    await action(account, node)
                    self._shared.count("answered")
                except NotDone:
                    self._shared.count("refused")
                    wait += 0.05
                except Unknown:
                    self._shared.count("unanswered")
                await asyncio.sleep(wait)
        finally:
            await self.close()

    async def close(self) -> None:
        await self._speaker.close()

    def _choose(self, account: Account) -> Callable[[Account, Node], Awaitable[None]]:
        emails = self._shared.emails.setdefault(account.id, {})
        mailboxes = self._shared.mailboxes.setdefault(account.id, {})
        actions: list[tuple[int, Callable[[Account, Node], Awaitable[None]]]] = [
            (6, self.import_some), (6, self._deliver), (3, self._draft), (2, self._create_mailbox), (10, self.read),
            (5, self._list),
        ]  # fmt: skip
        if len(emails) > 3:
            actions += [(16, self._add), (8, self._replace), (3, self._destroy)]
        if len(emails) > _MANY_EMAILS:
            actions = [(3, self._destroy), (1, self.read)]
        if mailboxes:
            many = len(mailboxes) > _MANY_MAILBOXES
            actions += [(3, self._rename_mailbox), (5 if many else 1, self._destroy_mailbox)]
        weights, choices = zip(*actions, strict=True)
        return self._chance.choices(choices, weights)[0]

    # -------------------------------------------------------------- writes

    async def _write(
        self,
        account: Account,
        node: Node,
        type: str,
        method: str,
        parts: dict[str, Part],
        args: dict[str, Any],
    ) -> Any:
        """One /set or /import, written down. ``parts``: by creation id or id."""
        state = await self._condition(account, node, type)
        if state is not None:
            args = {**args, "ifInState": str(state)}
        began = time.monotonic()
        try:
            response = await self._speaker.call(node, account, method, **args)
        except NotDone:
            self._record(account, node, type, began, "refused", parts.values(), if_in_state=state)
            raise
        except (Unknown, asyncio.CancelledError):
            is_whole = method != "Email/import" or not self._shared.blobs_may_go
            self._record(
                account, node, type, began, "unknown", parts.values(), if_in_state=state, is_whole=is_whole
            )
            raise
        done = {
            *(response.get("created") or ()),
            *(response.get("updated") or ()),
            *(response.get("destroyed") or ()),
        }
        old, new = int(response["oldState"]), int(response["newState"])
        self._shared.keep(account.id, type, old)
        self._shared.keep(account.id, type, new)
        kept = [part for id, part in parts.items() if id in done]
        refused = [part for id, part in parts.items() if id not in done]
        if refused:
            self._record(account, node, type, began, "refused", refused)
            self._expect_not_found(method, node, response)
        if kept:
            self._record(account, node, type, began, "done", kept, old=old, new=new, if_in_state=state)
        return response

    def _expect_not_found(self, method: str, node: Node, response: Any) -> None:
        """Another client may have destroyed it, or the collector may have thought an upload old: no other reason."""
        for name in ("notCreated", "notUpdated", "notDestroyed"):
            for id, error in (response.get(name) or {}).items():
                is_collected = self._shared.blobs_may_go and error.get("properties") == ["blobId"]
                if is_collected or (error["type"] == "notFound" and name != "notCreated"):
                    self._shared.count("blob collected" if is_collected else "record gone")
                else:
                    self._shared.troubles.append(f"{method} over {node.name}: {name} {id}: {error}")

    async def _condition(self, account: Account, node: Node, type: str) -> int | None:
        """Now and then a write depends on the state, which is read just before."""
        if self._chance.random() > 0.15:
            return None
        began = time.monotonic()
        response = await self._speaker.call(node, account, f"{type}/get", ids=[])
        state = int(response["state"])
        self._look(account, node, type, began, state)
        return state

    def _record(
        self, account: Account, node: Node, type: str, began: float, outcome: Any, parts: Any, **more: Any
    ) -> None:
        now = time.monotonic()
        write = Write(account.id, type, self.name, node.name, began, now, outcome, tuple(parts), **more)
        self._shared.history.writes.append(write)

    def _next(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def _message(self, key: str) -> bytes:
        """A reply to one of few roots now and then, so that Threads grow and never join."""
        root = f"{self.name}-root{self._chance.randint(1, 5)}" if self._chance.random() < 0.5 else ""
        references = f"References: <{root}@cluster>\r\n" if root else ""
        subject = f"about {root or key}"
        words = "some words of no meaning " * self._chance.choice([1, 10, 200])
        return (
            f"Message-ID: <{key}@cluster>\r\nSubject: {subject}\r\nFrom: {self.name}@example.org\r\n"
            f"{references}\r\n{words}{key}\r\n"
        ).encode()

    def _places(self, account: Account) -> tuple[str, ...]:
        return tuple(sorted(self._chance.sample(account.mailboxes, self._chance.choice([1, 1, 2]))))

    def _facts(self, account: Account) -> dict[str, Any]:
        return {
            "boxes": self._places(account),
            "seen": self._chance.random() < 0.5,
            "flagged": self._chance.random() < 0.3,
        }

    async def import_some(self, account: Account, node: Node) -> None:
        parts, emails = {}, {}
        for number in range(self._chance.choice([1, 1, 2, 3])):
            key = self._next()
            facts, stamp = self._facts(account), f"{_STAMP}{key}"
            # The blob is put over one node, and referred to over another.
            blob = await self._speaker.upload(self._chance.choice(self._nodes), account, self._message(key))
            parts[f"e{number}"] = Part(key, "create", stamp, facts)
            emails[f"e{number}"] = {"blobId": blob, **_properties(facts, stamp)}
        await self._write(account, node, "Email", "Email/import", parts, {"emails": emails})

    async def _draft(self, account: Account, node: Node) -> None:
        key = self._next()
        facts, stamp = self._facts(account), f"{_STAMP}{key}"
        draft = {
            **_properties(facts, stamp), "messageId": [f"{key}@cluster"], "subject": f"draft {key}",
            "bodyValues": {"1": {"value": f"some words {key}"}}, "textBody": [{"partId": "1", "type": "text/plain"}],
        }  # fmt: skip
        parts = {"d": Part(key, "create", stamp, facts)}
        await self._write(account, node, "Email", "Email/set", parts, {"create": {"d": draft}})

    async def _deliver(self, account: Account, node: Node) -> None:
        key = self._next()
        part = Part(key, "create", "", {"boxes": (account.inbox,), "seen": False, "flagged": False})
        began = time.monotonic()
        try:
            await self._speaker.deliver(node, self._message(key), account.address)
        except NotDone:
            self._record(account, node, "Email", began, "refused", [part])
            raise
        except (Unknown, asyncio.CancelledError):
            self._record(account, node, "Email", began, "unknown", [part])
            raise
        self._record(account, node, "Email", began, "done", [part])

    def _some(self, account: Account, most: int) -> dict[str, str]:
        """Keys of some Emails by id."""
        known = self._shared.emails[account.id]
        keys = self._chance.sample(sorted(known), min(len(known), self._chance.randint(1, most)))
        return {known[key]: key for key in keys}

    async def _add(self, account: Account, node: Node) -> None:
        """A stamp more, and some facts."""
        stamp, all_facts = f"{_STAMP}{self._next()}", self._facts(account)
        facts = {
            name: all_facts[name]
            for name in self._chance.sample(sorted(all_facts), self._chance.randint(0, 2))
        }
        patch: dict[str, Any] = {f"keywords/{stamp}": True}
        if "boxes" in facts:
            patch["mailboxIds"] = dict.fromkeys(facts["boxes"], True)
        for name in ("seen", "flagged"):
            if name in facts:
                patch[f"keywords/${name}"] = True if facts[name] else None
        some = self._some(account, 4)
        parts = {id: Part(key, "add", stamp, facts) for id, key in some.items()}
        await self._write(account, node, "Email", "Email/set", parts, {"update": dict.fromkeys(some, patch)})

    async def _replace(self, account: Account, node: Node) -> None:
        """All keywords and all mailboxes anew."""
        stamp, facts = f"{_STAMP}{self._next()}", self._facts(account)
        some = self._some(account, 3)
        parts = {id: Part(key, "replace", stamp, facts) for id, key in some.items()}
        update = dict.fromkeys(some, _properties(facts, stamp))
        await self._write(account, node, "Email", "Email/set", parts, {"update": update})

    async def _destroy(self, account: Account, node: Node) -> None:
        some = self._some(account, 5)
        for key in some.values():
            self._shared.emails[account.id].pop(key, None)
        parts = {id: Part(key, "destroy") for id, key in some.items()}
        await self._write(account, node, "Email", "Email/set", parts, {"destroy": list(some)})

    # -------------------------------------------------------------- Mailboxes: "key.stamp" is the name

    async def _create_mailbox(self, account: Account, node: Node) -> None:
        key = self._next()
        parts = {"m": Part(key, "create", "0")}
        create = {"m": {"name": f"{key}.0"}}
        await self._write(account, node, "Mailbox", "Mailbox/set", parts, {"create": create})

    async def _rename_mailbox(self, account: Account, node: Node) -> None:
        key, id = self._chance.choice(sorted(self._shared.mailboxes[account.id].items()))
        stamp = self._next()
        parts = {id: Part(key, "replace", stamp)}
        update = {id: {"name": f"{key}.{stamp}"}}
        await self._write(account, node, "Mailbox", "Mailbox/set", parts, {"update": update})

    async def _destroy_mailbox(self, account: Account, node: Node) -> None:
        key, id = self._chance.choice(sorted(self._shared.mailboxes[account.id].items()))
        self._shared.mailboxes[account.id].pop(key, None)
        parts = {id: Part(key, "destroy")}
        await self._write(account, node, "Mailbox", "Mailbox/set", parts, {"destroy": [id]})

    # -------------------------------------------------------------- reads

    async def read(self, account: Account, node: Node) -> dict[str, Copy]:
        """A copy of everything."""
        began = time.monotonic()
        gets = [
            (f"{type}/get", {"ids": None, **({"properties": _EMAIL} if type == "Email" else {})})
            for type in TYPES
        ]
        answers = await self._speaker.calls(node, account, gets)
        ended = time.monotonic()
        copies: dict[str, Copy] = {}
        for type, (name, response) in zip(TYPES, answers, strict=True):
            self._speaker.judge(node, f"{type}/get", name, response)
            records = tuple(_seen(type, record) for record in response["list"])
            state = int(response["state"])
            copies[type] = Copy(account.id, type, self.name, node.name, began, ended, state, records)
            self._shared.history.copies.append(copies[type])
            self._shared.keep(account.id, type, state)
        self._shared.emails[account.id] = {seen.key: seen.id for seen in copies["Email"].records}
        made = (seen for seen in copies["Mailbox"].records if seen.stamps)
        self._shared.mailboxes[account.id] = {seen.key: seen.id for seen in made}
        return copies

    async def _list(self, account: Account, node: Node) -> None:
        """A query whose result is kept, or what has changed since a state that somebody was told."""
        began = time.monotonic()
        if self._chance.random() < 0.5:
            mailbox = self._chance.choice(account.mailboxes)
            args = {"filter": {"inMailbox": mailbox}, "sort": NEWEST}
            response = await self._speaker.call(node, account, "Email/query", **args)
            self._shared.listings.append(
                Listing(account.id, mailbox, response["queryState"], response["ids"])
            )
            return
        type = self._chance.choice(TYPES)
        states = sorted(self._shared.states.get((account.id, type), ()))
        if states:
            since = str(self._chance.choice(states[-20:]))
            response = await self._speaker.call(node, account, f"{type}/changes", sinceState=since)
            if not response["hasMoreChanges"]:
                self._look(account, node, type, began, int(response["newState"]))

    def _look(self, account: Account, node: Node, type: str, began: float, state: int) -> None:
        look = Look(account.id, type, self.name, node.name, began, time.monotonic(), state)
        self._shared.history.looks.append(look)


def _properties(facts: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """Of an Email with exactly these."""
    keywords = {stamp: True} | {f"${name}": True for name in ("seen", "flagged") if facts[name]}
    return {"keywords": keywords, "mailboxIds": dict.fromkeys(facts["boxes"], True)}


def _seen(type: str, record: Mapping[str, Any]) -> Seen:
    id = record["id"]
    if type == "Email":
        key = record["messageId"][0].partition("@")[0]
        keywords = record["keywords"]
        facts = {name: f"${name}" in keywords for name in ("seen", "flagged")}
        facts |= {
            "boxes": tuple(sorted(record["mailboxIds"])),
            "thread": record["threadId"],
            "blob": record["blobId"],
        }
        return Seen(key, id, frozenset(name for name in keywords if name.startswith(_STAMP)), facts)
    facts = {name: value for name, value in record.items() if name not in ("id", "name")}
    if type == "Mailbox":
        key, _, stamp = record["name"].partition(".")
        return Seen(key, id, frozenset([stamp] if stamp else []), facts)
    return Seen(id, id, frozenset(), dict(record))
