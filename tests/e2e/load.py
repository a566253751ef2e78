"""A client that changes an account without a pause and knows what was acknowledged to it.

Several work on one account, each on Mailboxes and Emails of its own. What a worker has asked for
and not been told of may have happened or not, but only as a whole.
"""

import copy
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from msgspec import Struct, field

from e2e.clients import HttpJmap, MailClient
from e2e.process import ServerProcess

# Of each worker; beyond it rather destroys.
_MANY_EMAILS, _MANY_MAILBOXES = 40, 5
_KEYWORDS = ("$seen", "$flagged", "$draft", "a", "b")


class Mail(Struct):
    """An Email, known by its Message-ID. ``id``: None when the worker has not looked it up."""

    id: str | None
    mailboxes: frozenset[str]
    keywords: frozenset[str] = frozenset()


class Model(Struct):
    """What a worker believes to be on the server: Emails by Message-ID, Mailboxes by name."""

    mails: dict[str, Mail] = field(default_factory=dict)
    mailboxes: dict[str, str | None] = field(default_factory=dict)

    def facts(self) -> tuple[dict[str, tuple[frozenset[str], frozenset[str]]], frozenset[str]]:
        """What can be compared: ids of Emails may be unknown, or change when Threads are joined."""
        return {key: (mail.mailboxes, mail.keywords) for key, mail in self.mails.items()}, frozenset(
            self.mailboxes
        )


# What the clients of a killed server see.
LOST = (httpx.TransportError, ConnectionError, OSError)


class Worker:
    """``run`` ends when the server is lost."""

    def __init__(self, name: str, address: str, chance: random.Random) -> None:
        self.name, self.address, self.chance = name, address, chance
        self.model = Model()
        # What is there if the operation in flight has happened.
        self.expected: Model | None = None
        self.acknowledged = 0
        # States that responses gave out.
        self.states: dict[str, list[str]] = {"Email": [], "Mailbox": []}
        self._number = 0

    async def run(self, client: HttpJmap, server: ServerProcess, inbox: str) -> None:
        self._client, self._lmtp_port, self._inbox = client, server.ports["lmtp"], inbox
        try:
            while True:
                await self._choose()()
                if self.expected is not None:
                    self.model, self.expected = self.expected, None
                    self.acknowledged += 1
        except LOST:
            if not server.is_killed:
                raise

    def _choose(self) -> Callable[[], Awaitable[None]]:
        model = self.model
        known = [key for key, mail in model.mails.items() if mail.id is not None]
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (10, self._import_some), (6, self._deliver), (4, self._create_draft), (4, self._create_mailbox),
        ]  # fmt: skip
        if len(known) > 3:
            actions += [(20, self._set_keywords), (20, self._move), (5, self._destroy)]
        if model.mailboxes:
            actions += [(4, self._rename_mailbox), (2, self._destroy_mailbox)]
        if len(known) < len(model.mails):
            actions.append((6, self._look_up))
        if len(known) > _MANY_EMAILS:
            actions = [(1, self._destroy)]
        elif len(model.mailboxes) > _MANY_MAILBOXES:
            actions = [(1, self._destroy_mailbox)]
        weights, choices = zip(*actions, strict=True)
        chosen: Callable[[], Awaitable[None]] = self.chance.choices(choices, weights)[0]
        return chosen

    # ------------------------------------------------------------ helpers

    def _intend(self) -> Model:
        """The model as it is to be; set before the server is asked."""
        self.expected = copy.deepcopy(self.model)
        return self.expected

    def _some(self, most: int) -> dict[str, str]:
        """Up to so many Emails: ids by Message-ID."""
        known = {key: mail.id for key, mail in self.model.mails.items() if mail.id is not None}
        chosen = self.chance.sample(sorted(known), min(len(known), self.chance.randint(1, most)))
        return {key: known[key] for key in chosen}

    def _place(self) -> str:
        return self.chance.choice(
            [self._inbox, *(id for id in self.model.mailboxes.values() if id is not None)]
        )

    def _new_name(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    async def _set(self, type: str, **args: Any) -> Any:
        response = await self._client.call(f"{type}/set", **args)
        refused = [response[name] for name in ("notCreated", "notUpdated", "notDestroyed") if response[name]]
        assert not refused, response
        self.states[type] = [*self.states[type][-20:], response["oldState"], response["newState"]]
        return response

    def _message(self, key: str) -> bytes:
        """Often a reply, sometimes to several at once: then Threads are joined."""
        others = self.chance.sample(
            sorted(self.model.mails), min(len(self.model.mails), self.chance.choice([0, 1, 1, 3]))
        )
        references = "".join(f" <{other}>" for other in others)
        size = self.chance.choice([10, 200, 3000]) if self.chance.random() < 0.97 else 400_000
        text = "\r\n".join(["some words of no meaning"] * (1 + size // 24))
        return (
            f"Message-ID: <{key}>\r\nSubject: Re: about {self.name}\r\nFrom: {self.name}@example.org\r\n"
            + (f"References:{references}\r\n" if references else "")
            + f"\r\n{text} {key}\r\n"
        ).encode()

    # ------------------------------------------------------------ what it does

    async def _import_some(self) -> None:
        keys = [f"{self._new_name()}@load" for _ in range(self.chance.randint(1, 3))]
        emails = {
            key.partition("@")[0]: {
                "blobId": await self._client.upload(self._message(key)),
                "mailboxIds": {self._place(): True},
            }
            for key in keys
        }
        model = self._intend()
        for key in keys:
            model.mails[key] = Mail(None, frozenset(emails[key.partition("@")[0]]["mailboxIds"]))
        response = await self._client.call("Email/import", emails=emails)
        assert not response["notCreated"], response
        # Threads may have been joined, and Emails got other ids by that.
        self._forget_ids()

    def _forget_ids(self) -> None:
        assert self.expected is not None
        for mail in self.expected.mails.values():
            mail.id = None

    async def _deliver(self) -> None:
        key = f"{self._new_name()}@load"
        message = self._message(key)
        lmtp = await MailClient.connect(self._lmtp_port, is_lmtp=True)
        try:
            model = self._intend()
            model.mails[key] = Mail(None, frozenset([self._inbox]))
            [reply] = await lmtp.send(message, self.address)
            assert reply.startswith("250"), reply
            self._forget_ids()
        finally:
            await lmtp.close()

    async def _look_up(self) -> None:
        """Read the ids again."""
        response = await self._client.call("Email/get", ids=None, properties=["messageId"])
        self.adopt_ids({email["messageId"][0]: email["id"] for email in response["list"]})

    def adopt_ids(self, ids: dict[str, str]) -> None:
        for key, mail in self.model.mails.items():
            mail.id = ids[key]

    async def _create_draft(self) -> None:
        key = f"{self._new_name()}@load"
        model = self._intend()
        place = self._place()
        model.mails[key] = Mail(None, frozenset([place]), frozenset(["$draft"]))
        draft = {
            "mailboxIds": {place: True}, "keywords": {"$draft": True}, "messageId": [key], "subject": f"draft of {self.name}",
            "bodyValues": {"1": {"value": f"some words {key}"}}, "textBody": [{"partId": "1", "type": "text/plain"}],
        }  # fmt: skip
        response = await self._set("Email", create={"d": draft})
        model.mails[key].id = response["created"]["d"]["id"]

    async def _set_keywords(self) -> None:
        keyword, is_set = self.chance.choice(_KEYWORDS), self.chance.random() < 0.6
        chosen, model = self._some(5), self._intend()
        for key in chosen:
            old = model.mails[key].keywords
            model.mails[key].keywords = old | {keyword} if is_set else old - {keyword}
        patch = {f"keywords/{keyword}": True if is_set else None}
        await self._set("Email", update=dict.fromkeys(chosen.values(), patch))

    async def _move(self) -> None:
        chosen, model = self._some(4), self._intend()
        places = frozenset(self._place() for _ in range(self.chance.randint(1, 2)))
        for key in chosen:
            model.mails[key].mailboxes = places
        patch = {"mailboxIds": dict.fromkeys(places, True)}
        await self._set("Email", update=dict.fromkeys(chosen.values(), patch))

    async def _destroy(self) -> None:
        chosen, model = self._some(8), self._intend()
        for key in chosen:
            del model.mails[key]
        await self._set("Email", destroy=list(chosen.values()))

    async def _create_mailbox(self) -> None:
        names, model = [self._new_name() for _ in range(self.chance.randint(1, 2))], self._intend()
        model.mailboxes.update(dict.fromkeys(names))
        response = await self._set("Mailbox", create={name: {"name": name} for name in names})
        model.mailboxes.update({name: response["created"][name]["id"] for name in names})

    async def _rename_mailbox(self) -> None:
        old, new, model = self.chance.choice(sorted(self.model.mailboxes)), self._new_name(), self._intend()
        id = model.mailboxes[new] = model.mailboxes.pop(old)
        assert id is not None
        await self._set("Mailbox", update={id: {"name": new}})

    async def _destroy_mailbox(self) -> None:
        """With what is in no other Mailbox."""
        model = self._intend()
        id = model.mailboxes.pop(self.chance.choice(sorted(model.mailboxes)))
        assert id is not None
        for key, mail in list(model.mails.items()):
            mail.mailboxes -= {id}
            if not mail.mailboxes:
                del model.mails[key]
        await self._set("Mailbox", destroy=[id], onDestroyRemoveEmails=True)
        self.states["Email"].append(str((await self._client.call("Email/get", ids=[]))["state"]))
