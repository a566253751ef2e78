"""Web push as a push service sees it: the handshake, merged states, failures, and what ends a subscription."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from veredus.app import App
from veredus.wire.dates import utc_date
from waiting import until
from web_push import Client, Keys, PushService, progress, push_app, push_service, pushing, quicken


class LaterClock:
    """The clock of a time still to come."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """On one store, as most of the time goes into waiting; test_email_push has both."""
    async with push_app("sqlite", tmp_path) as app:
        yield app


async def stored(app: App) -> int:
    async with app.store.read("system") as snapshot:
        return await snapshot.count("PushSubscription") + await snapshot.count("PushProgress")


# ------------------------------------------------------------ the handshake


async def test_until_the_code_is_written_back_nothing_but_the_code_is_sent(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        id = await client.register(service.url + "/a")
        verification = (await service.wait("/a")).object
        assert verification.pop("verificationCode")
        assert verification == {"@type": "PushVerification", "pushSubscriptionId": id}
        await client.mailboxes("One")
        refused = await client.refused("PushSubscription", "update", (id, {"verificationCode": "guess"}))
        assert (refused["type"], refused["properties"]) == ("invalidProperties", ["verificationCode"])
        await client.mailboxes("Two")
        await asyncio.sleep(0.5)
        assert len(service.got) == 1
        # What has happened since the subscription was made is then told at once.
        await client.verify(id, service.got[0].object["verificationCode"])
        told = (await service.wait("/a", 2)).object
        assert told["changed"][client.account]["Mailbox"] == await client.state("Mailbox")


async def test_each_subscription_has_its_own_verification(
    app: App, client: Client, service: PushService
) -> None:
    service.answers["/bad"] = (503, {})
    async with pushing(app):
        made = {path: await client.register(service.url + path) for path in ("/bad", "/good")}
        ids = {path: (await service.wait(path)).object["pushSubscriptionId"] for path in made}
        assert ids == made
        # The one that failed is tried again.
        service.answers.clear()
        again = await service.wait("/bad", 2)
        await client.verify(made["/bad"], again.object["verificationCode"])


async def test_a_subscription_that_nobody_verifies_is_gone_after_an_hour(
    app: App, client: Client, service: PushService
) -> None:
    await client.register(service.url + "/a")
    app.web_push.clock = LaterClock(timedelta(minutes=61))  # type: ignore[assignment]
    async with pushing(app):
        await until(lambda: _none_left(app))
    assert not service.got


async def _none_left(app: App) -> bool:
    return await stored(app) == 0


# ------------------------------------------------------------ states


async def test_only_the_types_asked_for_are_told(app: App, client: Client, service: PushService) -> None:
    async with pushing(app):
        await client.subscribe(service, "/mailbox", types=["Mailbox"])
        await client.subscribe(service, "/none", types=[])
        await client.subscribe(service, "/quota", types=["Quota", "Email"])
        await client.mailboxes("One")
        told = await service.wait("/mailbox", 2)
        assert told.object == {
            "@type": "StateChange",
            "changed": {client.account: {"Mailbox": await client.state("Mailbox")}},
        }
        assert int(told.headers["TTL"]) > 86_400
        assert told.headers["Content-Type"] == "application/json"
        assert told.headers["Authorization"].startswith("vapid ")
        await asyncio.sleep(0.3)
        assert len(service.at("/none")) == len(service.at("/quota")) == 1


async def test_keys_encrypt_all_that_is_sent(app: App, client: Client, service: PushService) -> None:
    keys = Keys()
    async with pushing(app):
        id = await client.register(service.url + "/a", keys=keys.given)
        verification = keys.read(await service.wait("/a"))
        assert verification["pushSubscriptionId"] == id
        await client.verify(id, verification["verificationCode"])
        await client.mailboxes("One")
        told = await service.wait("/a", 2)
        assert told.headers["Content-Encoding"] == "aes128gcm"
        assert keys.read(told)["@type"] == "StateChange"


async def test_what_happens_during_a_request_is_told_in_one_piece(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.delay_s = 0.5
        await client.mailboxes("One")
        await service.wait("/a", 2)
        await client.mailboxes(*"abcdefgh")
        await client.import_email(b"Subject: x\r\n\r\ny")
        last = (await service.wait("/a", 3)).object["changed"][client.account]
        assert last["Mailbox"] == await client.state("Mailbox")
        assert last["Email"] == await client.state("Email")
        await asyncio.sleep(0.8)
        assert len(service.got) == 3


async def test_a_message_replaces_only_one_that_tells_of_the_same_types(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
        await client.mailboxes("One")
        await service.wait("/a", 2)
        await client.mailboxes("Two")
        await service.wait("/a", 3)
        await client.import_email(b"Subject: x\r\n\r\ny")
        await service.wait("/a", 4)
        topics = [pushed.headers.get("Topic") for pushed in service.got[1:]]
    assert topics[0] == topics[1] != topics[2]


# ------------------------------------------------------------ failures


async def test_a_state_that_was_not_accepted_is_told_again_with_what_came_since(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.answers["/a"] = (500, {})
        await client.mailboxes("One")
        await service.wait("/a", 2)
        await client.import_email(b"Subject: x\r\n\r\ny")
        service.answers.clear()
        told = (await service.wait("/a", 3)).object["changed"][client.account]
        assert told["Mailbox"] == await client.state("Mailbox")
        assert told["Email"] == await client.state("Email")


async def test_too_many_requests_makes_it_wait_as_long_as_asked(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.answers["/a"] = (429, {"Retry-After": "1"})
        await client.mailboxes("One")
        await service.wait("/a", 2)
        asked_at = asyncio.get_running_loop().time()
        service.answers.clear()
        await client.mailboxes("Two", "Three")
        told = (await service.wait("/a", 3)).object["changed"][client.account]
        assert asyncio.get_running_loop().time() - asked_at > 0.7
        assert told["Mailbox"] == await client.state("Mailbox")
        # Slower from now on, although it takes them again.
        taken_at = asyncio.get_running_loop().time()
        await client.mailboxes("Four")
        await service.wait("/a", 4)
        assert asyncio.get_running_loop().time() - taken_at > 0.3


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_gone_is_destroyed(app: App, client: Client, service: PushService, status: int) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.answers["/a"] = (status, {})
        await client.mailboxes("One")
        await until(lambda: _none_left(app))
    assert await client.listed() == []


async def test_one_that_fails_for_days_is_given_up(app: App, client: Client, service: PushService) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.answers["/a"] = (500, {})
        await client.mailboxes("One")
        await service.wait("/a", 2)
        await until(lambda: progress(app, "failingSince"))
    app.web_push.clock = LaterClock(timedelta(days=3, minutes=1))  # type: ignore[assignment]
    async with pushing(app):
        await until(lambda: _none_left(app))


async def test_one_url_that_hangs_does_not_hold_up_others(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service, "/a")
        async with push_service() as other:
            await client.subscribe(other, "/b")
            service.delay_s = 3
            await client.mailboxes("One")
            await service.wait("/a", 2)
            for count in (2, 3, 4):
                await other.wait("/b", count)
                await client.mailboxes(f"More {count}")
            assert len(service.at("/a")) == 2


# ------------------------------------------------------------ what ends it


async def test_with_the_credentials_the_subscription_ends(
    app: App, client: Client, service: PushService
) -> None:
    other = await Client.of(app)
    async with pushing(app):
        await client.subscribe(service, "/a")
        kept = await other.subscribe(service, "/b")
        await app.accounts.revoke_token(client.token_id)
        app.directory.drop()
        await until(lambda: _is_gone(client))
        await other.mailboxes("One")
        await service.wait("/b", 2)
        assert len(service.at("/a")) == 1
        assert [found["id"] for found in await other.listed()] == [kept]


async def test_credentials_that_ended_while_nothing_ran_end_it_at_the_start(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
    await app.accounts.revoke_token(client.token_id)
    await (await Client.of(app)).mailboxes("One")
    async with pushing(app):
        await until(lambda: _none_left(app))
    assert len(service.got) == 1


async def _is_gone(client: Client) -> bool:
    return await client.listed() == []


async def test_with_a_grant_only_that_account_is_no_longer_told(
    app: App, client: Client, service: PushService
) -> None:
    other = await Client.of(app, "bob@example.com")
    await app.accounts.grant("bob@example.com", client.account, "read")
    app.directory.drop()
    async with pushing(app):
        await other.subscribe(service)
        await client.mailboxes("One")
        assert set((await service.wait("/a", 2)).object["changed"]) == {client.account}
        await app.accounts.grant("bob@example.com", client.account, None)
        app.directory.drop()
        await asyncio.sleep(0.6)
        await client.mailboxes("Two")
        await asyncio.sleep(0.3)
        await other.mailboxes("Three")
        assert set((await service.wait("/a", 3)).object["changed"]) == {other.account}


async def test_after_it_expired_nothing_is_sent(app: App, client: Client, service: PushService) -> None:
    async with pushing(app):
        soon = utc_date(app.clock.now() + timedelta(seconds=2))
        await client.subscribe(service, expires=soon)
        await until(lambda: _is_gone(client))
        assert utc_date(app.clock.now()) >= soon
        await client.mailboxes("One")
        await asyncio.sleep(0.5)
    assert len(service.got) == 1


async def test_a_destroyed_one_hears_nothing_more(app: App, client: Client, service: PushService) -> None:
    async with pushing(app):
        id = await client.subscribe(service)
        await client.set("PushSubscription", destroy=[id])
        await client.mailboxes("One")
        await asyncio.sleep(0.5)
        assert len(service.got) == 1
        assert await stored(app) == 0
