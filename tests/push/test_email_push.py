"""EmailPush: new Emails in the push itself, as many and as much of them as fit (draft-ietf-jmap-emailpush)."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jmap import STORES, message
from veredus.app import App
from veredus.formats.webpush import MAX_PLAINTEXT
from veredus.push.web.email_push import MOST, pack
from veredus.wire.dates import utc_date
from web_push import Client, Keys, PushService, push_app, pushing, quicken


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture(params=STORES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    async with push_app(request.param, tmp_path) as app:
        yield app


class Phone:
    """A client that is told of new Emails and of nothing else."""

    def __init__(self, client: Client, service: PushService) -> None:
        self.client, self.service, self.keys, self.count, self.id = client, service, Keys(), 0, ""

    async def subscribe(self, config: Any, account: str | None = None) -> None:
        wanted = {account or self.client.account: config}
        self.id = await self.client.register(
            self.service.url + "/a", keys=self.keys.given, types=[], emailPush=wanted
        )
        verification = await self.next()
        await self.client.verify(self.id, verification["verificationCode"])

    async def next(self) -> Any:
        self.count += 1
        return self.keys.read(await self.service.wait("/a", self.count))

    async def emails(self, count: int) -> list[Any]:
        """That many, in however many messages they come."""
        found: list[Any] = []
        while len(found) < count:
            pushed = await self.next()
            assert pushed["@type"] == "EmailPush"
            found += pushed["emails"]
        return found


@pytest.fixture
def phone(client: Client, service: PushService) -> Phone:
    return Phone(client, service)


async def test_a_new_email_comes_with_what_was_asked_for(
    app: App, phone: Phone, service: PushService
) -> None:
    async with pushing(app):
        await phone.subscribe({"properties": ["subject", "from", "id"], "urgency": "high"})
        email = await phone.client.import_email(message("Good news"))
        pushed = await phone.next()
        assert pushed == {
            "@type": "EmailPush",
            "accountId": phone.client.account,
            "emails": [
                {
                    "subject": "Good news",
                    "from": [{"name": "Alice", "email": "alice@example.com"}],
                    "id": email["id"],
                }
            ],
            "state": await phone.client.state("Email"),
        }
        assert list(pushed["emails"][0]) == ["subject", "from", "id"]
        assert service.got[-1].headers["Urgency"] == "high"


async def test_only_new_emails_that_match_are_pushed(app: App, phone: Phone) -> None:
    client = phone.client
    inbox, junk = await client.mailbox("inbox"), await client.mailbox("junk")
    old = await client.import_email(message("Old"))
    async with pushing(app):
        conditions = [{"inMailbox": inbox}, {"hasKeyword": "$notify"}]
        await phone.subscribe(
            {"properties": ["subject"], "filter": {"operator": "OR", "conditions": conditions}}
        )
        await client.update("Email", old["id"], **{"keywords/$notify": True})
        await client.import_email(message("Spam"), junk)
        await client.import_email(message("Wanted spam"), junk, keywords={"$notify": True})
        await client.import_email(message("Wanted"))
        assert await phone.emails(2) == [{"subject": "Wanted spam"}, {"subject": "Wanted"}]


async def test_emails_that_came_while_nothing_ran_are_pushed_together(app: App, phone: Phone) -> None:
    async with pushing(app):
        await phone.subscribe({"properties": ["subject"]})
    for n in range(5):
        await phone.client.import_email(message(f"Number {n}"))
    async with pushing(app):
        pushed = await phone.next()
    assert [email["subject"] for email in pushed["emails"]] == [f"Number {n}" for n in range(5)]


async def test_more_than_fits_comes_in_several_messages_and_nothing_twice(app: App, phone: Phone) -> None:
    async with pushing(app):
        await phone.subscribe({"properties": ["id", "preview"]})
    made = [(await phone.client.import_email(message(f"{n}", "word " * 50)))["id"] for n in range(60)]
    phone.service.answers["/a"] = (503, {})
    async with pushing(app):
        await phone.service.wait("/a", 2)
        phone.count += 1
        phone.service.answers.clear()
        found = await phone.emails(60)
    assert [email["id"] for email in found] == made
    assert phone.count > 4


async def test_what_is_old_and_what_is_a_draft_is_no_news(app: App, phone: Phone) -> None:
    client = phone.client
    now = app.clock.now()
    async with pushing(app):
        await phone.subscribe({"properties": ["subject"]})
        for name, hours in (("Imported", 25), ("Of today", 23)):
            at = utc_date(now - timedelta(hours=hours))
            await client.import_email(message(name), receivedAt=at)
        await client.import_email(message("Draft"), keywords={"$draft": True})
        await client.import_email(message("Just now"))
        assert await phone.emails(2) == [{"subject": "Of today"}, {"subject": "Just now"}]


async def test_of_very_many_at_once_the_newest_are_pushed(app: App, phone: Phone) -> None:
    client = phone.client
    async with pushing(app):
        await phone.subscribe({"properties": ["id"]})
    inbox, blob = await client.mailbox("inbox"), await client.upload(message("Imported"))
    new = {f"{n:04}": {"blobId": blob, "mailboxIds": {inbox: True}} for n in range(650)}
    created = (await client.call("Email/import", emails=new))["created"]
    async with pushing(app):
        found = await phone.emails(MOST)
        await client.import_email(message("The next"))
        (following,) = await phone.emails(1)
    assert {email["id"] for email in found} == {created[f"{n:04}"]["id"] for n in range(550, 650)}
    assert following not in found


async def test_what_was_found_in_an_account_is_not_pushed_when_it_may_no_longer_be_seen(
    app: App, client: Client, service: PushService
) -> None:
    bob = await Client.of(app, "bob@example.com")
    await app.accounts.grant("bob@example.com", client.account, "read")
    app.directory.drop()
    phone = Phone(bob, service)
    async with pushing(app):
        await phone.subscribe({"properties": ["subject", "preview"]}, client.account)
    for n in range(40):
        await client.import_email(message(f"Number {n}", "word " * 50))
    service.delay_s = 0.5
    async with pushing(app):
        await service.wait("/a", 2)
        # A part is taken, and the rest has to wait.
        service.answers["/a"] = (429, {"Retry-After": "1"})
        await service.wait("/a", 3)
        await app.accounts.grant("bob@example.com", client.account, None)
        app.directory.drop()
        service.answers.clear()
        await asyncio.sleep(1.7)
    assert len(service.got) == 3


async def test_a_changed_filter_holds_from_then_on(app: App, phone: Phone) -> None:
    client = phone.client
    async with pushing(app):
        await phone.subscribe({"properties": ["subject"], "filter": {"subject": "one"}})
        await client.import_email(message("one"))
        assert await phone.emails(1) == [{"subject": "one"}]
        change = {f"emailPush/{client.account}/filter": {"subject": "two"}}
        await client.update("PushSubscription", phone.id, **change)
        await client.import_email(message("one"))
        await client.import_email(message("two"))
        assert await phone.emails(1) == [{"subject": "two"}]


async def test_body_values_and_headers_may_be_asked_for(app: App, phone: Phone) -> None:
    async with pushing(app):
        await phone.subscribe({"properties": ["header:List-Id:asText", "textBody"]})
        await phone.client.import_email(message("x", List_Id="a list"))
        (email,) = await phone.emails(1)
        assert email["header:List-Id:asText"] == "a list"
        assert email["textBody"][0]["type"] == "text/plain"


# ------------------------------------------------------------ sizes


def test_properties_are_added_in_order_and_what_does_not_fit_is_left_out() -> None:
    email = {"subject": "s" * 3000, "preview": "p" * 2000, "id": "e1"}
    (body,) = pack("a1", "7", ["subject", "preview", "id"], [email])
    assert list(json.loads(body)["emails"][0]) == ["subject", "id"]
    (body,) = pack("a1", "7", ["preview", "subject", "id"], [email])
    assert list(json.loads(body)["emails"][0]) == ["preview", "id"]


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_no_message_is_too_large_and_none_wastes_room(length: int) -> None:
    emails = [{"id": f"e{n}", "subject": "ü" * length} for n in range(200)]
    bodies = list(pack("a1", "7", ["id", "subject"], emails))
    assert all(len(body) <= MAX_PLAINTEXT for body in bodies)
    parsed = [json.loads(body)["emails"] for body in bodies]
    assert [email for part in parsed for email in part] == emails
    for body, following in zip(bodies, parsed[1:], strict=False):
        first = json.dumps(following[0], ensure_ascii=False, separators=(",", ":")).encode()
        assert len(body) + 1 + len(first) > MAX_PLAINTEXT


def test_the_largest_property_that_fits_fills_the_message_exactly() -> None:
    (empty,) = pack("a1", "7", ["subject"], [{"subject": ""}])
    room = MAX_PLAINTEXT - len(empty)
    (full,) = pack("a1", "7", ["subject"], [{"subject": "x" * room}])
    assert len(full) == MAX_PLAINTEXT
    (less,) = pack("a1", "7", ["subject"], [{"subject": "x" * (room + 1)}])
    assert json.loads(less)["emails"] == [{}]
