"""Web push over time: what was missed, restarts, rotated keys, and the counts of it all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from veredus.app import App
from veredus.push.web.outcome import PushCounts
from waiting import until
from web_push import Client, PushService, progress, push_app, pushing, quicken


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with push_app("sqlite", tmp_path) as app:
        yield app


async def test_what_was_missed_while_nothing_ran_is_told_afterwards(
    app: App, client: Client, service: PushService
) -> None:
    async with pushing(app):
        await client.subscribe(service)
        await client.mailboxes("One")
        await service.wait("/a", 2)
    await client.import_email(b"Subject: x\r\n\r\ny")
    async with pushing(app):
        told = (await service.wait("/a", 3)).object["changed"]
    assert "Email" in told[client.account]
    async with pushing(app):
        await asyncio.sleep(0.5)
    assert len(service.got) == 3


async def test_a_restart_does_not_shorten_the_wait(app: App, client: Client, service: PushService) -> None:
    async with pushing(app):
        await client.subscribe(service)
        service.answers["/a"] = (429, {"Retry-After": "600"})
        await client.mailboxes("One")
        await service.wait("/a", 2)
        await until(lambda: progress(app, "nextAttempt"))
    async with pushing(app):
        await client.mailboxes("Two")
        await asyncio.sleep(1)
    assert len(service.got) == 2


async def test_a_vapid_key_is_kept_as_long_as_a_subscription_was_made_with_it(
    app: App, client: Client, service: PushService
) -> None:
    first_id, first = app.vapid.current[0], app.vapid.current[1].public
    async with pushing(app):
        id = await client.subscribe(service)
    await app.vapid.rotate()
    async with pushing(app):
        await client.mailboxes("One")
        assert first in (await service.wait("/a", 2)).headers["Authorization"]
    await client.set("PushSubscription", destroy=[id])
    async with pushing(app):
        await until(lambda: app.vapid.by_id(first_id) is None)


async def test_the_counts_say_how_delivery_goes(app: App, client: Client, service: PushService) -> None:
    assert app.web_push.counts() == PushCounts()
    service.answers["/b"] = (503, {"Retry-After": "600"})
    async with pushing(app):
        await client.subscribe(service, "/a")
        await client.register(service.url + "/b")
        await service.wait("/b")
        await until(lambda: app.web_push.counts().waiting == 1)
        counts = app.web_push.counts()
        assert (counts.subscriptions, counts.in_flight) == (2, 0)
        assert (counts.outcomes["delivered"], counts.outcomes["retry"]) == (1, 1)
        service.delay_s = 0.5
        await client.mailboxes("One")
        await service.wait("/a", 2)
        assert app.web_push.counts().in_flight == 1
    assert app.web_push.counts().subscriptions == 0
