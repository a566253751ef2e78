"""What tests of submission by SMTP share: a server of it, clients, and what leaves."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from jmap import Jmap, new_user, open_server
from smtp_peer import Client
from veredus.app import App
from veredus.delivery.submitted import Policy, Submitted
from veredus.mail.outbox import Departure, load
from veredus.reception import Server
from veredus.smtp.submission import Terms
from veredus.smtp.submission import serve as serve_submission

T = TypeVar("T")
PASSWORD = "correct horse"
TEXT = "From: Alice <alice@example.com>\r\nTo: bob@example.org\r\nSubject: x\r\n\r\nhi\r\n"


class Submitter:
    """A server for submission alone, and clients of it."""

    def __init__(self, app: App, alice: Jmap) -> None:
        self.app, self.alice = app, alice

    async def start(self, policy: Policy | None = None, **terms: object) -> Server:
        app = self.app

        async def is_ours(domain: str) -> bool:
            return domain == "example.com"

        submitted = Submitted(
            app.store,
            app.blobs,
            app.directory,
            app.authenticator,
            app.clock,
            policy or Policy("mx.example.com", "all", is_ours),
        )
        settled = {"hostname": "mx.example.com", "delay_s": 0.0, "max_delay_s": 3600, **terms}
        self.server = await serve_submission(
            ["127.0.0.1:0"],
            ["127.0.0.1:0"] if "tls" in terms else [],
            submitted,
            Terms(**settled),  # type: ignore[arg-type]
        )
        return self.server

    async def on(self, act: Callable[[smtplib.SMTP], T], *, login: bool = True) -> T:
        """What comes of a session in a thread."""

        def run() -> T:
            host, port = self.server.sockets[0].getsockname()[:2]
            with smtplib.SMTP(host, port, local_hostname="laptop.alice.example") as smtp:
                if login:
                    smtp.login("alice@example.com", PASSWORD)
                return act(smtp)

        return await asyncio.to_thread(run)

    async def raw(self, *lines: bytes) -> list[str]:
        """The codes of the replies to lines that are sent at once, after a login."""
        client = await Client.connect(self.server)
        credentials = b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAGNvcnJlY3QgaG9yc2U=\r\n"
        assert await client.hear() == "220"
        assert await client.say(b"EHLO x\r\n" + credentials, 2) == ["250", "235"]
        client.writer.write(b"".join(line + b"\r\n" for line in lines) + b"QUIT\r\n")
        replies = []
        while reply := await client.hear():
            replies.append(reply)
        await client.close()
        return replies[:-1]


async def departures(user: Jmap, account: str | None = None) -> list[Departure]:
    async with user.app.store.read(account or user.account) as snapshot:
        return await load(snapshot, None)


async def only(user: Jmap, account: str | None = None) -> tuple[Departure, bytes]:
    """The one message that leaves an account."""
    [departure] = await departures(user, account)
    data = await user.app.blobs.get(departure.blob_id)
    assert data is not None
    assert len(data) == departure.size
    return departure, data


@asynccontextmanager
async def submitting(directory: Path) -> AsyncIterator[Submitter]:
    """A server with alice@example.com, who is also a.liddell@example.com, may write the account of
    team@example.com, and may read that of bob@example.com."""
    async with open_server("memory", directory) as app:
        account = await app.add_account("alice@example.com", PASSWORD)
        await app.accounts.add_address("a.liddell@example.com", account)
        team = await new_user(app, "team@example.com")
        await app.accounts.grant("alice@example.com", team.account, "write")
        bob = await new_user(app, "bob@example.com")
        await app.accounts.grant("alice@example.com", bob.account, "read")
        app.directory.drop()
        submitter = Submitter(app, Jmap(app, "alice@example.com", account))
        await submitter.start()
        yield submitter
        await submitter.server.close(timeout_s=0)
