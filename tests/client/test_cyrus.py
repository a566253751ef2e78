"""The client against Cyrus IMAP: a server that is not ours.

Set VEREDUS_CYRUS_URL to where one listens, with two users bench0 and bench1 (password benchpw), as the load
harness sets it up; VEREDUS_CYRUS_PASSWORD for another password.
"""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jmap import message
from veredus.client import (
    Client,
    Created,
    Email,
    FileCursor,
    Mailbox,
    MethodError,
    SetErrors,
    Thread,
    Updated,
)
from veredus.client.sync import Client as SyncClient

URL = os.environ.get("VEREDUS_CYRUS_URL")
BASIC = ("bench0", os.environ.get("VEREDUS_CYRUS_PASSWORD", "benchpw"))
pytestmark = pytest.mark.skipif(URL is None, reason="VEREDUS_CYRUS_URL names no Cyrus")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client.connect(URL or "", basic=BASIC) as client:
        yield client


@pytest.fixture
async def mailbox(client: Client) -> AsyncIterator[Mailbox]:
    """A Mailbox of the test's own, with five Emails: subjects 0 to 4, the newest last."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    made = (await client.set(Mailbox, create={"m": {"name": name, "parentId": None}})).created["m"]
    mailbox = await client.mail.mailbox(name)
    assert mailbox.id == made["id"]
    for n in range(5):
        data = message(str(n), f"body {name}", Message_ID=f"<{n}.{name}@example.org>")
        await client.mail.import_message(data, mailbox)
    yield mailbox
    await client.set(Mailbox, destroy=[mailbox.id], onDestroyRemoveEmails=True)


async def test_the_session_is_read(client: Client) -> None:
    assert client.session.username == BASIC[0]
    assert client.account_for("Email") in client.session.accounts
    assert client.session.limits.max_objects_in_get > 0


async def test_a_search_pages_by_itself(client: Client, mailbox: Mailbox) -> None:
    found = client.mail.search(f"in:{mailbox.name}", properties=["subject"], page=2)
    assert sorted([email.subject async for email in found]) == list("01234")
    assert len(await found.all()) == len([id async for id in found.ids()]) == 5
    for text in (
        "is:unread",
        "-is:read",
        "larger:10",
        "newer:1d",
        "from:alice",
        "subject:3 OR subject:4",
        "-has:attachment",
    ):
        assert await client.mail.search(f"in:{mailbox.name} ({text})").first(), text


async def test_a_batch_resolves_references(client: Client, mailbox: Mailbox) -> None:
    async with client.batch() as batch:
        found = batch.query(Email, {"inMailbox": mailbox.id}, limit=3)
        emails = batch.get(Email, found.ids_ref, ["threadId"])
        threads = batch.get(Thread, emails.each_ref("threadId"))
    assert len(found.ids) == len(emails.list) == 3
    assert {thread.id for thread in threads.list} == {email.thread_id for email in emails.list}


async def test_keywords_mailboxes_and_destruction(client: Client, mailbox: Mailbox) -> None:
    ids = [id async for id in client.mail.search(f"in:{mailbox.name}").ids()]
    await client.mail.flag(ids)
    await client.mail.set_keywords(ids[:2], add=["$work"], remove=["$flagged"])
    got = await client.get(Email, ids, ["keywords"])
    assert [email.keywords for email in got.list].count(frozenset({"$work"})) == 2
    await client.mail.add_to(ids[0], "archive")
    await client.mail.remove_from(ids[0], mailbox)
    await client.mail.move(ids[0], mailbox)
    with pytest.raises(SetErrors) as caught:
        # Not destroyed: what Cyrus 3.6 does not know, it calls destroyed.
        await client.mail.mark_read([ids[0], "Mnobody"])
    assert list(caught.value.result.updated) == ids[:1]
    assert (await client.mail.destroy(ids[0])).destroyed == ids[:1]
    assert len(await client.mail.search(f"in:{mailbox.name}").all()) == 4


async def test_changes_are_paged(client: Client, mailbox: Mailbox) -> None:
    state = (await client.get(Email, [])).state
    ids = [id async for id in client.mail.search(f"in:{mailbox.name}").ids()]
    await client.mail.mark_read(ids)
    seen: set[str] = set()
    async for page in client.changes(Email, state, max_changes=2):
        seen.update(page.updated)
    assert seen >= set(ids)


async def test_a_message_and_its_parts_come_out_as_they_went_in(
    client: Client, mailbox: Mailbox, tmp_path: Path
) -> None:
    draft = client.mail.compose(to="bob@example.org", subject="é", text="Hi.\n", from_="bench0@example.com")
    await draft.attach(b"%PDF-1.4", "résumé ü.pdf")
    email = await client.mail.get(await draft.save(), text=True)
    assert (email.subject, email.text().strip()) == ("é", "Hi.")
    [part] = await client.mail.attachments(email)
    assert (await client.mail.save(part, tmp_path)).read_bytes() == b"%PDF-1.4"
    await client.mail.destroy(email)
    data = message("raw", Message_ID=f"<raw.{mailbox.name}@x>")
    made = await client.mail.import_message(data, mailbox)
    async with client.mail.raw(made) as raw:
        assert await raw.read() == data
    assert [each.id for each in await client.mail.thread(made, ["subject"])] == [made.id]


async def test_a_draft_is_sent_and_filed(client: Client, mailbox: Mailbox) -> None:
    subject = uuid.uuid4().hex
    draft = client.mail.compose(
        to="bob@example.org", subject=subject, text="Hi.\n", from_="bench0@example.com"
    )
    await draft.save()
    assert await draft.send()
    sent = [email async for email in client.mail.search("in:sent") if email.subject == subject]
    assert len(sent) == 1
    assert "$draft" not in sent[0].keywords
    assert not [email async for email in client.mail.search("in:drafts") if email.subject == subject]
    await client.mail.destroy(sent)


async def test_a_failing_call_says_what_failed(client: Client) -> None:
    with pytest.raises(MethodError) as caught:
        await client.call("Email/query", {"filter": {"nonsense": 1}})
    assert caught.value.method == "Email/query"


async def test_what_happens_is_watched(client: Client, mailbox: Mailbox, tmp_path: Path) -> None:
    cursor = FileCursor(tmp_path / "cursor")
    subjects = set()
    watch = client.watch(Email, cursor=cursor, start="all", properties=["subject", "keywords", "mailboxIds"])
    async for event in watch:
        match event:
            case Created(record=email) if mailbox.id in email.mailbox_ids:
                subjects.add(email.subject)
                if len(subjects) == 5:
                    await client.mail.flag(email)
            case Updated(record=email) if "$flagged" in email.keywords and len(subjects) == 5:
                break
        await event.ack()
    await watch.aclose()
    assert subjects == set("01234")


async def test_the_sync_client_does_the_same(mailbox: Mailbox) -> None:
    import asyncio

    def work() -> list[str | None]:
        with SyncClient.connect(URL or "", basic=BASIC) as client:
            return [email.subject for email in client.mail.search(f"in:{mailbox.name}")]

    assert sorted(await asyncio.to_thread(work)) == list("01234")
