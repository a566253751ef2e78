"""Mistakes that a type checker must find, each on the line that says so."""

from veredus.client import Client, Email, Mailbox
from veredus.client.sync import Client as SyncClient


async def async_client(client: Client, email: Email) -> None:
    _ = email.sender_name  # error: attr-defined
    email.size + "a"  # error: operator
    email.subject.upper()  # error: union-attr
    client.mail.search(properties="subject", limit="10")  # error: arg-type
    await client.mail.move([1], "archive")  # error: list-item
    for _ in client.mail.search("a"):  # error: attr-defined
        pass
    async with client.batch() as batch:
        found = batch.query(Mailbox)
        batch.get(Email, found)  # error: call-overload
    Client.connect("a", password="x")  # error: call-arg


def sync_client(client: SyncClient) -> None:
    _ = client.mail.flag("a").updated.nothing  # error: attr-defined
    client.upload("text")  # error: arg-type
