"""A JMAP client for tests: it speaks JSON to an engine, as HTTP would, and knows nothing else of it."""

import json
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Storage
from veredus.ports import Identity
from veredus.schema import DataType

STORES = ("memory", "sqlite", "postgresql")
DURABLE = ("sqlite", "postgresql")

USING = [
    "urn:ietf:params:jmap:core",
    "urn:ietf:params:jmap:mail",
    "urn:ietf:params:jmap:quota",
    "urn:ietf:params:jmap:blob",
]


@asynccontextmanager
async def open_server(
    store: str, directory: Path, *, types: Sequence[DataType] = (), **sections: Any
) -> AsyncIterator[App]:
    """A server without sockets. ``types``: beside ours; ``sections``: of ``Config``, by their names."""
    async with storage(store, directory, _kind(types)) as records:
        config = Config(
            hostname="mail.example.com",
            data_dir=directory,
            storage=records,
            blobs=Blobs(url="memory"),
            **sections,
        )
        async with open_app(config, types=types) as app:
            yield app


def _kind(types: Sequence[DataType]) -> str:
    """A name for the tables that these types make."""
    if not types:
        return "app"
    return "".join(f"{type.name}{zlib.crc32(repr(type.table).encode())}" for type in types).lower()


@asynccontextmanager
async def storage(store: str, directory: Path, kind: str = "app") -> AsyncIterator[Storage]:
    """The settings of an empty store. ``kind``: of stores that have the same tables."""
    if store != "postgresql":
        yield Storage(url=store)
        return
    # Needs the sources' tools, which tests that run us in a process of its own do not have.
    from contract import postgres

    schema = postgres.borrow(directory, kind)
    try:
        yield Storage(url=postgres.url(), schema=schema, connections=4)
    finally:
        await postgres.give_back(directory, kind)


async def new_user(app: App, address: str = "alice@example.com") -> "Jmap":
    """A user with an account of their own."""
    return Jmap(app, address, await app.add_account(address, None))


class Jmap:
    """One user's view of a server."""

    def __init__(self, app: App, user: str, account: str, *, scope: Any = "write") -> None:
        self.app, self.account = app, account
        self.identity = Identity(user, "test", scope)
        self.using = list(USING)

    async def raw(self, body: bytes) -> Any:
        """The response to the bytes of a request; raises RequestError."""
        return json.loads(await self.app.engine.process(body, self.identity, "http://test"))

    async def request(self, *calls: Any, **members: Any) -> Any:
        """The whole response to ``[name, arguments, id]`` calls."""
        return await self.raw(json.dumps({"using": self.using, "methodCalls": calls, **members}).encode())

    async def responses(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """``[name, arguments, id]`` responses to calls of (name, arguments); accountId is filled in."""
        filled = [[name, {"accountId": self.account, **args}, str(n)] for n, (name, args) in enumerate(calls)]
        return (await self.request(*filled))["methodResponses"]

    async def call(self, method: str, /, **args: Any) -> Any:
        """The arguments of the response to one call, which must not be an error."""
        name, response, _ = (await self.responses((method, args)))[0]
        assert name == method, response
        return response

    async def error(self, method: str, /, **args: Any) -> Any:
        """The error that one call must give."""
        name, response, _ = (await self.responses((method, args)))[0]
        assert name == "error", response
        return response

    async def upload(self, data: bytes, type: str = "message/rfc822") -> str:
        async def chunks() -> Any:
            yield data

        return (await self.app.engine.upload(self.identity, self.account, type, chunks()))["blobId"]

    async def import_email(self, data: bytes, mailbox: str | None = None, **more: Any) -> Any:
        """Import a message; gives what was created."""
        box = mailbox or await self.mailbox("inbox")
        wanted = {"blobId": await self.upload(data), "mailboxIds": {box: True}, **more}
        response = await self.call("Email/import", emails={"e": wanted})
        assert not response["notCreated"], response
        return response["created"]["e"]

    async def set(self, type: str, **args: Any) -> Any:
        """The response to a /set of which nothing was refused."""
        response = await self.call(f"{type}/set", **args)
        refused = [response[name] for name in ("notCreated", "notUpdated", "notDestroyed") if response[name]]
        assert not refused, refused
        return response

    async def create(self, type: str, /, **properties: Any) -> Any:
        """What the server says of a record it has created."""
        return (await self.set(type, create={"new": properties}))["created"]["new"]

    async def update(self, type: str, id: str, /, **patch: Any) -> Any:
        """What the server says of a record it has updated; ``patch`` is a PatchObject."""
        return (await self.set(type, update={id: patch}))["updated"][id]

    async def refused(self, type: str, verb: str, what: Any, **args: Any) -> Any:
        """The SetError of one "create" (properties), "update" (id, patch) or "destroy" (id)."""
        value = {"create": lambda: {"new": what}, "update": lambda: dict([what]), "destroy": lambda: [what]}[
            verb
        ]()
        response = await self.call(f"{type}/set", **{verb: value}, **args)
        errors = response[{"create": "notCreated", "update": "notUpdated", "destroy": "notDestroyed"}[verb]]
        assert errors, response
        return next(iter(errors.values()))

    async def state(self, type: str) -> str:
        return (await self.call(f"{type}/get", ids=[]))["state"]

    async def query(self, type: str, **args: Any) -> list[str]:
        return (await self.call(f"{type}/query", **args))["ids"]

    async def mailbox(self, role: str) -> str:
        return (await self.call("Mailbox/query", filter={"role": role}))["ids"][0]

    async def get(self, type: str, id: str, **args: Any) -> Any:
        """One record, which must exist."""
        return (await self.call(f"{type}/get", ids=[id], **args))["list"][0]


def message(subject: str = "Hello", body: str = "Text.", **headers: str) -> bytes:
    """A plain message; header names with ``_`` for ``-``."""
    fields = {
        "From": "Alice <alice@example.com>",
        "To": "bob@example.com",
        "Subject": subject,
        "MIME-Version": "1.0",
    }
    fields["Content-Type"] = "text/plain; charset=utf-8"
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (head + "\r\n" + body.replace("\n", "\r\n") + "\r\n").encode()
