"""Fuzz targets over the engine: request bodies, method calls, messages, and queries on two stores.

Each input has an account of its own, so that what it does never depends on the inputs before it.
"""

import asyncio
import contextlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import structlog

from tools.fuzz_input import Choices
from tools.fuzz_queries import mail, query_arguments
from tools.fuzz_requests import USING, method_calls
from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Storage
from veredus.formats.mime.message import parse
from veredus.mail.email.describe import texts
from veredus.ports import Identity
from veredus.wire.errors import RequestError

# Stores in memory grow with each account; a new one is taken after so many.
_ACCOUNTS = 200
_NAME = re.compile(rb'(?<=["/])@[a-z]+[0-9]*(?=")')


class Bug(Exception):
    """The server answered what it may never answer."""


class Engines:
    """An event loop with a server in it, and a new account for each input."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._left = 0
        self.directory = Path(tempfile.mkdtemp(prefix="veredus-fuzz-"))
        structlog.configure(processors=[_raise_faults])

    def run(self, work: Callable[["Account"], Awaitable[None]]) -> None:
        self.runner.run(self._run(work))

    async def _run(self, work: Callable[["Account"], Awaitable[None]]) -> None:
        if not self._left:
            await self._stack.aclose()
            self._app = await self._stack.enter_async_context(self.open("memory"))
            self._other = await Account.new(self._app, "other@example.com")
            await self._other.fill(2)
            self._left = _ACCOUNTS
        self._left -= 1
        user = f"u{self._left}@example.com"
        account = await Account.new(self._app, user)
        await self._app.accounts.grant(user, self._other.id, "read")
        self._app.directory.drop()
        # To copy from; none of its own names has this letter.
        account.names |= {f"@o{name[1:]}": id for name, id in self._other.names.items()}
        await work(account)

    def open(self, store: Any) -> contextlib.AbstractAsyncContextManager[App]:
        config = Config(data_dir=self.directory, storage=Storage(url=store), blobs=Blobs(url="memory"))
        return open_app(config, types=[])

    def close(self) -> None:
        self.runner.run(self._stack.aclose())
        self.runner.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        structlog.reset_defaults()


def _raise_faults(logger: Any, method: str, event: Any) -> NoReturn:
    """What the dispatcher logs and answers with serverFail is raised here as what it is."""
    if method in ("exception", "error") or event.get("exc_info"):
        raise Bug(event.get("event"))
    raise structlog.DropEvent


class Account:
    """A user's own account with some mail in it."""

    def __init__(self, app: App, user: str, id: str) -> None:
        self.app, self.id = app, id
        self.identity = Identity(user, "fuzz", "write")
        # What an input may name: "@inbox", "@e0", "@b0" ...
        self.names: dict[str, str] = {"@account": id}

    @classmethod
    async def new(cls, app: App, user: str) -> "Account":
        account = cls(app, user, await app.add_account(user, None))
        [boxes] = await account.calls(["Mailbox/get", {"ids": None}])
        for box in boxes["list"]:
            account.names["@" + (box["role"] or box["name"])] = box["id"]
        return account

    async def fill(self, count: int) -> None:
        for number in range(count):
            email = await self.import_mail(mail(number), number)
            self.names |= {
                f"@e{number}": email["id"],
                f"@b{number}": email["blobId"],
                f"@t{number}": email["threadId"],
            }

    async def import_mail(self, data: bytes, number: int = 0) -> Any:
        """What is created, or None when it was refused."""
        blob = await self.upload(data)
        boxes = ["@inbox", "@archive", "@trash", "@drafts"]
        keywords = ["$seen", "$flagged", "$draft", "other"]
        wanted = {
            "blobId": blob,
            "mailboxIds": {self.names[box]: True for box in {boxes[number % 4], boxes[number // 3 % 4]}},
            "keywords": {keyword: True for bit, keyword in enumerate(keywords) if number >> bit & 1},
            "receivedAt": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
        }
        [response] = await self.calls(["Email/import", {"emails": {"e": wanted}}])
        return (response["created"] or {}).get("e")

    async def upload(self, data: bytes) -> str:
        async def chunks() -> Any:
            yield data

        blob: str = (await self.app.engine.upload(self.identity, self.id, "message/rfc822", chunks()))[
            "blobId"
        ]
        return blob

    async def process(self, body: bytes) -> Any:
        """The response to a request whose names are filled in; None when it was refused as a whole."""
        body = _NAME.sub(lambda hit: self.names.get(hit[0].decode(), "nothing").encode(), body)
        try:
            answer = json.loads(await self.app.engine.process(body, self.identity, "http://fuzz"))
        except RequestError as error:
            json.dumps(error.to_json())
            return None
        for name, response, call_id in answer["methodResponses"]:
            if not isinstance(name, str) or not isinstance(response, dict) or not isinstance(call_id, str):
                raise Bug(f"not an Invocation: {name!r}")
            if name == "error" and response["type"] not in _ERRORS:
                raise Bug(f"error {response}")
        return answer

    async def calls(self, *calls: Any) -> list[Any]:
        """The responses to [name, arguments] calls, which may be errors."""
        filled = [[name, {"accountId": self.id, **arguments}, "c"] for name, arguments in calls]
        answer = await self.process(json.dumps({"using": USING, "methodCalls": filled}).encode())
        return [response for _, response, _ in answer["methodResponses"]]

    async def check(self) -> None:
        """What is derived agrees with what it is derived from (invariant 3 of the design)."""
        if problems := await self.app.store.check():
            raise Bug("\n".join(problems))
        async with self.app.store.read(self.id) as snapshot:
            emails = await snapshot.get("Email", None)
            counted = Counter(id for email in emails for id in email["mailboxIds"])
            for box in await snapshot.get("Mailbox", None):
                if box["totalEmails"] != counted[box["id"]]:
                    raise Bug(f"{box['name']} has {counted[box['id']]} Emails, and says {box['totalEmails']}")
            threads = Counter(email["threadId"] for email in emails)
            if threads != {
                thread["id"]: len(thread["emailIds"]) for thread in await snapshot.get("Thread", None)
            }:
                raise Bug("Threads do not list their Emails")
            used = {quota["id"]: quota["used"] for quota in await snapshot.get("Quota", None)}
            if used != {"count": len(emails), "octets": sum(email["size"] for email in emails)}:
                raise Bug(f"the quota says {used}")


# RFC 8620 §3.6.2 and §5, RFC 8621; not serverFail, serverUnavailable and serverPartialFail.
_ERRORS = frozenset(
    "unknownMethod invalidArguments invalidResultReference forbidden accountNotFound "
    "accountNotSupportedByMethod "
    "accountReadOnly requestTooLarge stateMismatch cannotCalculateChanges tooManyChanges anchorNotFound "
    "unsupportedSort "
    "unsupportedFilter fromAccountNotFound fromAccountNotSupportedByMethod unknownDataType".split()
)


# ---------------------------------------------------------------- targets


def request(engines: Engines, data: bytes) -> None:
    """A request body, octet by octet."""

    async def work(account: Account) -> None:
        await account.fill(2)
        await account.process(data)
        await account.check()

    engines.run(work)


def calls(engines: Engines, data: bytes) -> None:
    """Method calls with arguments that are nearly right; the account stays whole."""

    async def work(account: Account) -> None:
        await account.fill(3)
        body = {"using": USING, "methodCalls": method_calls(Choices(data)), "createdIds": {}}
        text = re.sub(rb"\\ud[89a-f]..", b"", json.dumps(body).encode())
        await account.process(text)
        await account.check()

    engines.run(work)


_EMAIL = (
    "blobId threadId size messageId inReplyTo references sender from to cc bcc replyTo subject sentAt "
    "hasAttachment preview "
    "headers bodyStructure bodyValues textBody htmlBody attachments header:From:asAddresses header:X:all "
    "header:Date:asDate"
).split()
_PART = (
    "partId blobId size headers name type charset disposition cid language location subParts header:X:asText"
).split()


def email(engines: Engines, data: bytes) -> None:
    """A message through the server: what /get shows of it is what /parse shows, and its parts can be read."""

    async def work(account: Account) -> None:
        view = {"bodyProperties": _PART, "fetchAllBodyValues": True, "maxBodyValueBytes": len(data) % 50}
        made = await account.import_mail(data)
        blob = made["blobId"] if made else await account.upload(data)
        arguments = {**view, "blobIds": [blob], "properties": _EMAIL}
        [parsed, got] = await account.calls(
            ["Email/parse", arguments],
            ["Email/get", {**view, "ids": [made["id"]] if made else [], "properties": _EMAIL}],
        )
        if made is None:
            if parsed["notParsable"] != [blob]:
                raise Bug("what cannot be imported can be parsed")
            return
        shown, [stored] = parsed["parsed"][blob], got["list"]
        different = [name for name in _EMAIL if name != "threadId" and shown[name] != stored[name]]
        if different:
            raise Bug(f"{different}: {[(shown[name], stored[name]) for name in different]}")
        await _check_parts(account, stored)
        await account.check()

    engines.run(work)


async def _check_parts(account: Account, email: Any) -> None:
    stack = [email["bodyStructure"]]
    leaves = []
    while stack:
        part = stack.pop()
        stack += part["subParts"] or []
        leaves += [part] if part["partId"] else []
    for part in leaves:
        found = await account.app.engine.download(account.identity, account.id, part["blobId"])
        if found is None or found.size != part["size"]:
            raise Bug(f"part {part['partId']} has {part['size']} octets, its blob {found and found.size}")
    words = (email["subject"] or "x").split()[:2]
    text_filter = {"text": " ".join(words)} if words else {}
    await account.calls(
        ["SearchSnippet/get", {"emailIds": [email.get("id", "x")], "filter": text_filter}],
        ["Email/parse", {"blobIds": [part["blobId"] for part in leaves[:20]]}],
        [
            "Blob/get",
            {
                "ids": [part["blobId"] for part in leaves[:20]],
                "properties": ["data", "digest:sha-256", "size"],
            },
        ],
    )


class Queries:
    """The same records in both stores: the same question has the same answer."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._stack = contextlib.AsyncExitStack()
        self._memory, self._sqlite = engines.runner.run(self._set_up())

    async def _set_up(self) -> tuple[Account, Account]:
        memory = await self._stack.enter_async_context(self._engines.open("memory"))
        sqlite = await self._stack.enter_async_context(self._engines.open("sqlite"))
        account = await Account.new(memory, "alice@example.com")
        await account.calls(
            ["Mailbox/set", {"create": {"a": {"name": "Ä box", "parentId": account.names["@inbox"]}}}]
        )
        await account.fill(24)
        for id in await memory.store.accounts():
            for type in ("User", "Account", "Address", *memory.registry.types):
                await self._copy(memory, sqlite, id, type)
        sqlite.directory.drop()
        twin = Account(sqlite, "alice@example.com", account.id)
        twin.names = account.names
        return account, twin

    async def _copy(self, source: App, target: App, account: str, type: str) -> None:
        async with source.store.read(account) as snapshot, target.store.write(account) as tx:
            for record in await snapshot.get(type, await snapshot.select(type)):
                full_text = None
                if type == "Email":
                    data = await source.blobs.get(record["blobId"]) or b""
                    await target.blobs.put(data, max_size=len(data))
                    full_text = texts(parse(data), record)
                await tx.put(type, record, full_text)

    def __call__(self, data: bytes) -> None:
        choices = Choices(data)
        type = choices.pick(["Email", "Email", "Email", "Mailbox", "Quota"])
        arguments = query_arguments(choices, type)
        asked = [[f"{type}/query", arguments]]
        if type == "Email":
            ids = [f"@e{number}" for number in range(5)]
            asked.append(["SearchSnippet/get", {"emailIds": ids, "filter": arguments.get("filter")}])
        first, second = self._engines.runner.run(self._both(asked))
        if first != second:
            raise Bug(f"{asked}: memory {first}, SQLite {second}")

    async def _both(self, asked: list[Any]) -> tuple[list[Any], list[Any]]:
        answers = (await self._memory.calls(*asked), await self._sqlite.calls(*asked))
        for answer in answers:
            for response in answer:
                response.pop("queryState", None)
        return answers

    def close(self) -> None:
        self._engines.runner.run(self._stack.aclose())


TARGETS: dict[str, Callable[[Engines, bytes], None]] = {"request": request, "calls": calls, "email": email}
