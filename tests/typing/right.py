"""Programs that are right: a type checker must know what each name is."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import assert_type

from veredus.client import (
    Changes,
    Client,
    Created,
    Email,
    EmailAddress,
    Got,
    Mailbox,
    Record,
    SetResult,
    sync,
)
from veredus.client.sync import Client as SyncClient


async def async_client(client: Client) -> None:
    async for email in client.mail.search("is:unread", properties=["subject"]):
        assert_type(email, Email)
        assert_type(email.subject, str | None)
        assert_type(email.received_at, datetime)
        assert_type(email.from_, list[EmailAddress] | None)
        assert_type(email.keywords, frozenset[str])
    assert_type(await client.get(Mailbox, ["a"]), Got[Mailbox])
    assert_type(await client.get("Foo", None), Got[Record])
    assert_type(await client.query(Mailbox).first(), Mailbox | None)
    assert_type(await client.mail.move(["a"], "archive"), SetResult)
    async for changes in client.changes(Email, "0"):
        assert_type(changes, Changes)
    async with client.batch() as batch:
        found = batch.query(Email)
        emails = batch.get(Email, found.ids_ref)
        others = batch.get("Foo", emails.each_ref("fooIds"))
    assert_type(found.ids, list[str])
    assert_type(emails.list, list[Email])
    assert_type(others.list, list[Record])
    async with client.download("a") as download:
        assert_type(await download.read(), bytes)
    async for event in client.watch(Email):
        match event:
            case Created(record=record):
                assert_type(record, Email)
        await event.ack()


def sync_client(client: SyncClient, ids: Sequence[str]) -> None:
    for email in client.mail.search("is:unread"):
        assert_type(email, Email)
    client.mail.flag(ids)
    client.mail.flag(email for email in client.mail.search("from:bob"))
    client.mail.trash(client.mail.search("from:bob").ids())
    client.upload(chunk for chunk in [b"a"])
    assert_type(client.get(Mailbox), Got[Mailbox])
    assert_type(client.mail.save("a", "b"), Path)
    with client.batch() as batch:
        emails = batch.get(Email)
    assert_type(emails.list, list[Email])
    with client.mail.raw("a") as message:
        assert_type(message, sync.Download)
        assert_type(message.size, int | None)
    for event in client.watch(Email):
        match event:
            case sync.Created(record=record):
                assert_type(record, Email)
        event.ack()
