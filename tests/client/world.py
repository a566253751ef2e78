"""A real server behind a socket, with one user, for tests of the client library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jmap import Jmap, new_user, open_server
from sockets import http
from veredus.app import App
from veredus.client.client import Client
from veredus.config.settings import Limits

MESSAGE = b"From: Bob <bob@example.org>\r\nTo: alice@example.com\r\nSubject: %b\r\nDate: Mon, 2 Mar 2026 10:00:00 +0100\r\n\r\n%b\r\n"


class World:
    """``url``: of the server. ``alice`` speaks to it without the client that is tested."""

    def __init__(self, app: App, url: str, alice: Jmap, token: str) -> None:
        self.app, self.url, self.alice, self.token = app, url, alice, token

    def connect(self, **options: Any) -> Client:
        return Client.connect(self.url, **({"token": self.token} | options))

    async def inbox(self) -> str:
        return str((await self.alice.call("Mailbox/query", filter={"role": "inbox"}))["ids"][0])

    async def add_emails(self, count: int) -> list[str]:
        """Ids of new Emails in the inbox, oldest first; their subjects are their numbers."""
        inbox = await self.inbox()
        blobs = [await self.alice.upload(MESSAGE % (b"%d" % n, b"body %d" % n)) for n in range(count)]
        emails = {
            f"k{n}": {
                "blobId": blob,
                "mailboxIds": {inbox: True},
                "receivedAt": f"2026-03-01T00:{n // 60:02}:{n % 60:02}Z",
            }
            for n, blob in enumerate(blobs)
        }
        created = (await self.alice.call("Email/import", emails=emails))["created"]
        return [created[name]["id"] for name in emails]


@asynccontextmanager
async def new_world(directory: Path, **limits: Any) -> AsyncIterator[World]:
    async with open_server("memory", directory, limits=Limits(**limits)) as app:
        alice = await new_user(app)
        _, token = await app.accounts.create_token(alice.identity.user, "test", "write", app.clock.now())
        async with http(app) as url:
            yield World(app, url, alice, token)
